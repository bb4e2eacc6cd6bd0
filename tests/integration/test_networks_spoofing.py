"""A container with raw sockets that pretends to be another, a router or a DHCP server."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import containerlib as cl
from rig import frames
from rig.bundles import parent_of, until
from rig.frames import FRAGMENT, ICMP6, OPTIONS, SENDER, TCP, UDP, Ear, ethernet, ipv4, ipv6
from rig.networks import elements, interfaces, own_network

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

MAC, OTHER_MAC = bytes.fromhex("0242ac990002"), bytes.fromhex("0242ac990003")
LOCAL, OTHER_LOCAL = "fe80::42:acff:fe99:2", "fe80::42:acff:fe99:3"
OWN4, OTHER4, OWN6, OTHER6 = "10.9.0.2", "10.9.0.3", "fd09::2", "fd09::3"
GATEWAY4 = "10.9.0.1"

LAST = ethernet(MAC, frames.IPV4, ipv4(OWN4, UDP, frames.udp(9)))
HONEST = {
    "ARP": ethernet(MAC, frames.ARP, frames.arp(MAC, OWN4)),
    "IPv4": ethernet(MAC, frames.IPV4, ipv4(OWN4, UDP, frames.udp(10))),
    "IPv6": ethernet(MAC, frames.IPV6, ipv6(OWN6, UDP, frames.udp(11))),
    "link-local": ethernet(MAC, frames.IPV6, ipv6(LOCAL, UDP, frames.udp(12))),
    "TCP": ethernet(MAC, frames.IPV4, ipv4(OWN4, TCP, b"segment of IPv4")),
    "TCP over IPv6": ethernet(MAC, frames.IPV6, ipv6(OWN6, TCP, b"segment of IPv6")),
    "tagged": ethernet(MAC, frames.IPV4, ipv4(OWN4, UDP, frames.udp(13)), tags=1),
    "solicitation": ethernet(MAC, frames.IPV6, ipv6(OWN6, ICMP6, frames.icmp6(135, OTHER6))),
    "advertisement": ethernet(MAC, frames.IPV6, ipv6(OWN6, ICMP6, frames.icmp6(136, OWN6))),
    "whether its address is free": ethernet(MAC, frames.IPV6, ipv6("::", ICMP6, frames.icmp6(135, LOCAL))),
    "first fragment": ethernet(
        MAC, frames.IPV6, ipv6(OWN6, FRAGMENT, frames.fragment(ICMP6) + frames.icmp6(128))
    ),
    "second fragment": ethernet(
        MAC, frames.IPV6, ipv6(OWN6, FRAGMENT, frames.fragment(ICMP6, offset=24) + b"12345678")
    ),
}
SPOOFED = {
    "MAC": ethernet(OTHER_MAC, frames.IPV4, ipv4(OWN4, UDP, frames.udp(14))),
    "MAC over IPv6": ethernet(OTHER_MAC, frames.IPV6, ipv6(OWN6, TCP, b"segment of a MAC")),
    "MAC of ARP": ethernet(OTHER_MAC, frames.ARP, frames.arp(MAC, OWN4)),
    "TCP": ethernet(MAC, frames.IPV4, ipv4(OTHER4, TCP, b"segment of another")),
    "TCP over IPv6": ethernet(MAC, frames.IPV6, ipv6(OTHER6, TCP, b"segment of another's")),
    "IPv4": ethernet(MAC, frames.IPV4, ipv4(OTHER4, UDP, frames.udp(15))),
    "IPv4 of the gateway": ethernet(MAC, frames.IPV4, ipv4(GATEWAY4, UDP, frames.udp(16))),
    "tagged IPv4": ethernet(MAC, frames.IPV4, ipv4(OTHER4, UDP, frames.udp(17)), tags=1),
    "twice tagged": ethernet(MAC, frames.IPV4, ipv4(OWN4, UDP, frames.udp(18)), tags=2),
    "IPv6": ethernet(MAC, frames.IPV6, ipv6(OTHER6, UDP, frames.udp(19))),
    "link-local": ethernet(MAC, frames.IPV6, ipv6(OTHER_LOCAL, UDP, frames.udp(20))),
    "address in ARP": ethernet(MAC, frames.ARP, frames.arp(MAC, OTHER4)),
    "gateway in ARP": ethernet(MAC, frames.ARP, frames.arp(MAC, GATEWAY4)),
    "MAC in ARP": ethernet(MAC, frames.ARP, frames.arp(OTHER_MAC, OWN4)),
    "advertisement of another": ethernet(MAC, frames.IPV6, ipv6(OWN6, ICMP6, frames.icmp6(136, OTHER6))),
    "advertisement behind options": ethernet(
        MAC, frames.IPV6, ipv6(OWN6, OPTIONS, frames.options(ICMP6) + frames.icmp6(136, OTHER6))
    ),
    "whether another's is free": ethernet(MAC, frames.IPV6, ipv6("::", ICMP6, frames.icmp6(135, OTHER6))),
    "router": ethernet(MAC, frames.IPV6, ipv6(LOCAL, ICMP6, frames.icmp6(134))),
    "router in a fragment": ethernet(
        MAC, frames.IPV6, ipv6(LOCAL, FRAGMENT, frames.fragment(ICMP6) + frames.icmp6(134))
    ),
    "router in the second fragment": ethernet(
        MAC, frames.IPV6, ipv6(LOCAL, FRAGMENT, frames.fragment(OPTIONS) + frames.options(ICMP6))
    ),
    "redirect": ethernet(MAC, frames.IPV6, ipv6(LOCAL, ICMP6, frames.icmp6(137, OTHER6))),
    "DHCP server": ethernet(MAC, frames.IPV4, ipv4(OWN4, UDP, frames.udp(67))),
    "DHCPv6 server": ethernet(MAC, frames.IPV6, ipv6(LOCAL, UDP, frames.udp(547))),
    "another protocol": ethernet(MAC, 0x88B5, b"x" * 46),
}


@pytest.fixture(autouse=True)
def network() -> Iterator[None]:
    with own_network():
        reassembling = Path("/proc/sys/net/bridge/bridge-nf-call-ip6tables")
        if reassembling.exists():
            reassembling.write_text("0")
        yield


def heard(
    host: cl.ContainerRecipe, box: cl.ContainerRecipe, lan: cl.Network, sent: Mapping[str, bytes]
) -> set[str]:
    """Which of what a container sends comes to another."""
    mac = ":".join(f"{byte:02x}" for byte in MAC)
    liar = host.join(lan, address=OWN4, address6=OWN6, mac=mac)
    with liar.start("sleep", "600") as container, box.join(lan).start("sleep", "600") as other:
        with Ear(f"cl{other.id[:10]}0") as ear:
            lines = "\n".join(map(bytes.hex, [*sent.values(), LAST])).encode()
            container.exec(sys.executable, "-c", SENDER, input=lines)
            said = ear.until(LAST)
    # a tag is taken off on the way
    return {name for name, frame in sent.items() if frame[18:] in said}


def _lan(engine: cl.Engine) -> cl.NetworkRecipe:
    return engine.network("lan").subnet("10.9.0.0/24").subnet("fd09::/64")


def test_container_is_heard_as_itself(
    engine: cl.Engine, host: cl.ContainerRecipe, box: cl.ContainerRecipe
) -> None:
    with _lan(engine).create() as lan:
        assert lan.anti_spoofing
        assert heard(host, box, lan, HONEST) == set(HONEST)


def test_container_is_not_heard_as_another(
    engine: cl.Engine, host: cl.ContainerRecipe, box: cl.ContainerRecipe
) -> None:
    with _lan(engine).create() as lan:
        assert heard(host, box, lan, SPOOFED) == set()


def test_anti_spoofing_switched_off_everything_is_heard(
    engine: cl.Engine, host: cl.ContainerRecipe, box: cl.ContainerRecipe
) -> None:
    with _lan(engine).anti_spoofing(False).create() as lan:
        assert not lan.anti_spoofing
        assert heard(host, box, lan, SPOOFED) == set(SPOOFED)


def test_changed_mac_and_address_of_a_container_lead_nowhere(
    engine: cl.Engine, box: cl.ContainerRecipe
) -> None:
    with _lan(engine).create() as lan:
        with box.join(lan).cap_add("NET_ADMIN").start("sleep", "600") as container:
            assert container.exec("ping", "-c", "1", "-W", "5", GATEWAY4).exit_code == 0
            container.exec("ip", "address", "add", "10.9.0.77/24", "dev", "eth0")
            said = container.exec("ping", "-c", "1", "-W", "1", "-I", "10.9.0.77", GATEWAY4, check=False)
            assert said.exit_code == 1
            container.exec("ip", "link", "set", "eth0", "address", "02:42:ac:99:00:77")
            assert container.exec("ping", "-c", "1", "-W", "1", GATEWAY4, check=False).exit_code == 1


def test_end_of_a_container_leaves_nothing_of_its_identity(
    engine: cl.Engine, box: cl.ContainerRecipe
) -> None:
    with _lan(engine).create() as lan:
        with box.join(lan).start("sleep", "600") as container:
            for name in ("macs", "sources4", "sources6"):
                assert container.id[:10] in elements(name, "bridge")
        for name in ("macs", "sources4", "sources6"):
            assert not elements(name, "bridge")


def test_running_container_that_is_connected_is_heard_as_itself(
    engine: cl.Engine, box: cl.ContainerRecipe
) -> None:
    with _lan(engine).create() as lan, box.cap_add("NET_ADMIN").start("sleep", "600") as container:
        lan.connect(container, address=OWN4)
        assert container.exec("ping", "-c", "1", "-W", "5", GATEWAY4).exit_code == 0
        container.exec("ip", "address", "add", "10.9.0.77/24", "dev", "eth0")
        said = container.exec("ping", "-c", "1", "-W", "1", "-I", "10.9.0.77", GATEWAY4, check=False)
        assert said.exit_code == 1
        lan.disconnect(container)
        assert not elements("macs", "bridge")
        assert not elements("sources6", "bridge")


def test_namespace_that_outlives_its_container_says_nothing(
    engine: cl.Engine, box: cl.ContainerRecipe
) -> None:
    """What joined it would else send as anybody, since the filter knows its device no more."""
    with _lan(engine).create() as lan:
        with box.join(lan).start("sleep", "600") as container:
            with box.network(container).start("sleep", "600") as joined:
                assert joined.exec("ping", "-c", "1", "-W", "5", GATEWAY4).exit_code == 0
                container.stop(timeout=0)
                assert joined.exec("ping", "-c", "1", "-W", "1", GATEWAY4, check=False).exit_code == 1


def test_identity_left_by_a_killed_supervisor_is_taken_back(
    engine: cl.Engine, box: cl.ContainerRecipe
) -> None:
    with _lan(engine).create() as lan:
        container = box.join(lan).start("sleep", "600", detach=True)
        pid = container.inspect().pid
        assert pid is not None
        os.kill(parent_of(pid), signal.SIGKILL)
        until(lambda: not Path(f"/proc/{pid}").exists())
        with box.join(lan).start("sleep", "600") as other, cl.Engine(engine.root):
            assert container.id[:10] not in elements("macs", "bridge")
            assert other.id[:10] in elements("macs", "bridge")
            assert other.id[:10] in elements("sources6", "bridge")
        container.remove(force=True)


def test_removed_container_of_a_killed_supervisor_leaves_nothing(
    engine: cl.Engine, box: cl.ContainerRecipe
) -> None:
    """Its addresses may be another's at once, which would have its published ports."""
    with _lan(engine).create() as lan:
        container = box.join(lan).publish(80, host=8080).start("sleep", "600", detach=True)
        pid = container.inspect().pid
        assert pid is not None
        os.kill(parent_of(pid), signal.SIGKILL)
        container.remove(force=True)
        assert not elements("macs", "bridge")
        assert not elements("any4")
    until(lambda: interfaces() == {"lo"})


def test_host_takes_no_router_from_a_container(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    """CVE-2020-13401, CVE-2020-10749: also where containers may say what they like."""
    with engine.network("lan").anti_spoofing(False).create() as lan:
        box.join(lan).run("true")
        taking = Path(f"/proc/sys/net/ipv6/conf/cl-{lan.id[:12]}/accept_ra")
        assert taking.read_text() == "0\n"
