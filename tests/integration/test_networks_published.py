"""Ports that are published by more than TCP over IPv4, and what a network is told of itself."""

from __future__ import annotations

import ipaddress
import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

import containerlib as cl
from rig.bundles import until
from rig.networks import Machine, elements

pytestmark = [
    pytest.mark.usefixtures("network"),
    pytest.mark.privileged("CAP_SYS_ADMIN: makes containers"),
]

ECHO = """
import socket, sys
family = {"4": socket.AF_INET, "6": socket.AF_INET6}[sys.argv[1]]
with socket.socket(family, socket.SOCK_DGRAM) as server:
    server.bind(("", 7))
    while True:
        said, who = server.recvfrom(100)
        server.sendto(said.upper(), who)
"""
ASK = """
import socket, sys
with socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM) as client:
    client.settimeout(1)
    client.connect((sys.argv[1], int(sys.argv[2])))
    client.send(b"said")
    print(client.recv(100).decode())
"""
SERVE = ("sh", "-c", "while true; do echo well | nc -l -p 80; done")


def answered(address: str, port: int) -> bytes:
    """What the echo there answers over UDP; it may not listen yet."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.5)
        client.connect((address, port))
        for _ in range(20):
            try:
                client.send(b"said")
                return client.recv(100)
            except (ConnectionRefusedError, TimeoutError):
                time.sleep(0.1)
    return b""


def test_udp_port_is_answered_from_everywhere(
    host: cl.ContainerRecipe, box: cl.ContainerRecipe, outside: Machine
) -> None:
    recipe = host.publish(7, host=7007, protocol="udp")
    with recipe.start(sys.executable, "-c", ECHO, "4") as server:
        assert [(port.host, port.protocol) for port in server.ports] == [(7007, "udp")]
        assert answered("127.0.0.1", 7007) == b"SAID"
        assert answered("198.51.100.1", 7007) == b"SAID"
        assert outside.run(sys.executable, "-c", ASK, "198.51.100.1", "7007").stdout == "SAID\n"
        with host.join("bridge").start("sleep", "600") as other:
            assert other.exec(sys.executable, "-c", ASK, "198.51.100.1", "7007").text == "SAID\n"
        with pytest.raises(cl.Conflict, match=f"udp port 7007 is published by the container '{server.name}'"):
            box.publish(8, host=7007, protocol="udp").run("true")
        with socket.create_server(("127.0.0.1", 7007)):
            pass  # TCP's ports are others


def test_port_of_one_address_is_at_no_other(box: cl.ContainerRecipe, outside: Machine) -> None:
    with Machine("203.0.113.2/24", host="203.0.113.1/24") as elsewhere:
        with box.publish(80, host=8080, address="203.0.113.1").start(*SERVE) as server:
            assert [port.address for port in server.ports] == ["203.0.113.1"]
            asked = ("busybox", "nc", "-w", "2")
            until(lambda: elsewhere.run(*asked, "203.0.113.1", "8080").stdout == "well\n")
            assert not outside.run(*asked, "198.51.100.1", "8080").stdout
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", 8080), timeout=2)


def test_port_is_reached_from_another_machine_over_ipv6(engine: cl.Engine, host: cl.ContainerRecipe) -> None:
    with Machine("fd98::2/64", host="fd98::1/64") as outside, engine.network("six").ipv6().create() as six:
        recipe = host.join(six).publish(7, host=7007, protocol="udp")
        with recipe.start(sys.executable, "-c", ECHO, "6"):
            until(lambda: outside.run(sys.executable, "-c", ASK, "fd98::1", "7007").stdout == "SAID\n")


def test_container_reaches_another_machine_over_ipv6_and_the_host_still_hears_routers(
    engine: cl.Engine, host: cl.ContainerRecipe
) -> None:
    with Machine("fd98::2/64", host="fd98::1/64") as outside, engine.network("six").ipv6().create() as six:
        echo = outside.popen(sys.executable, "-c", ECHO, "6")
        with host.join(six).start("sleep", "600") as client:
            ask = (sys.executable, "-c", ASK, "fd98::2", "7")
            until(lambda: client.exec(*ask, check=False).text == "SAID\n")
        echo.kill()
        echo.communicate()
        wire = next(name for _, name in socket.if_nameindex() if name.startswith("wire"))
        conf = Path("/proc/sys/net/ipv6/conf", wire)
        taking, forwarding = ((conf / name).read_text() for name in ("accept_ra", "forwarding"))
        assert taking == "2\n" or (taking, forwarding) == ("1\n", "0\n")


@pytest.mark.parametrize("bridged", ["0", "1"])
def test_port_is_reached_from_its_own_network(box: cl.ContainerRecipe, bridged: str) -> None:
    """Whether bridges hand packets to the packet filter or not; and from the container itself where they do not."""
    handing = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
    if handing.exists():
        handing.write_text(bridged)
    with (
        box.publish(80, host=8080).start(*SERVE) as server,
        box.join("bridge").start("sleep", "600") as other,
    ):
        host = server.exec("ip", "route").text.split()[2]
        for client in (other, server):
            until(lambda client=client: client.exec("nc", "-w", "2", host, "8080", check=False).text)


def rules() -> int:
    ruleset = subprocess.run(["nft", "--json", "list", "ruleset"], capture_output=True, text=True, check=True)
    return sum("rule" in one for one in json.loads(ruleset.stdout)["nftables"])


def test_container_and_network_cost_elements_and_no_rules(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    with box.publish(80).start("sleep", "600"):
        before = rules()
        with engine.network("lan").create() as lan, box.join(lan).publish(80).start("sleep", "600"):
            assert rules() == before
        with cl.Engine(engine.root) as again, again.network("lan").create() as lan:
            again.container(again.images.list()[0]).join(lan).run("true")
            assert rules() == before
    assert before


def test_sctp_port_is_published_or_refused_by_its_name(box: cl.ContainerRecipe) -> None:
    recipe = box.publish(36412, host=36412, protocol="sctp")
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP).close()
    except OSError:
        with pytest.raises(cl.StageError, match="this kernel has no sctp"):
            recipe.run("true")
        return
    with recipe.start("sleep", "600") as container:
        assert [(port.host, port.protocol) for port in container.ports] == [(36412, "sctp")]
        assert "sctp . 36412" in elements("any4")


def test_network_is_as_its_recipe_says(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    recipe = engine.network("lan").mtu(1400).ipv6()
    recipe = recipe.subnet("10.9.0.0/16", gateway="10.9.9.9", ip_range="10.9.7.0/29")
    with recipe.create() as lan:
        first = box.join(lan, address="10.9.1.2", mac="02:42:ac:00:00:07").start("sleep", "600")
        with first, box.join(lan).start("sleep", "600") as second:
            said = first.exec("ip", "address", "show", "eth0").text
            assert "mtu 1400" in said
            assert "inet 10.9.1.2/16" in said
            assert "link/ether 02:42:ac:00:00:07" in said
            assert "default via 10.9.9.9" in first.exec("ip", "route").text
            (given,) = [one for one in second.inspect().addresses["lan"] if "." in one]
            assert ipaddress.ip_address(given) in ipaddress.ip_network("10.9.7.0/29")
            assert second.exec("ping", "-c", "1", "-W", "5", "10.9.1.2").exit_code == 0
            assert second.exec("ping", "-c", "1", "-W", "5", "10.9.9.9").exit_code == 0
            assert Path(f"/proc/sys/net/ipv4/conf/cl-{lan.id[:12]}/forwarding").read_text() == "1\n"


def test_hosts_and_resolvers_of_a_containers_own(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    with engine.network("lan").create() as lan:
        recipe = box.join(lan).add_host("db", "10.0.0.5")
        recipe = recipe.dns("10.9.9.53", search=("example.test",), options=("timeout:1",))
        with recipe.start("sleep", "600") as container:
            assert "10.0.0.5\tdb" in container.exec("cat", "/etc/hosts").text
            lines = container.exec("cat", "/etc/resolv.conf").text.splitlines()
            assert {"search example.test", "nameserver 127.0.0.11"} < set(lines)
            view = Path(engine.core.names.directory, f"{container.id}.view").read_text()
            assert f"server {ipaddress.ip_address('10.9.9.53').packed.hex()} 53" in view


def test_forwarding_is_for_the_devices_of_networks_and_the_hosts_own_that_are_up(
    engine: cl.Engine, box: cl.ContainerRecipe, outside: Machine
) -> None:
    """Where it cannot be had for a device alone, it is for all; here it can."""
    every = Path("/proc/sys/net/ipv4/ip_forward")
    before = every.read_text()
    with engine.network("lan").create() as lan:
        box.join(lan).run("true")
        wire = next(name for _, name in socket.if_nameindex() if name.startswith("wire"))
        for device in (wire, f"cl-{lan.id[:12]}"):
            assert Path(f"/proc/sys/net/ipv4/conf/{device}/forwarding").read_text() == "1\n"
        assert every.read_text() == before
        assert Path("/proc/sys/net/ipv4/conf/lo/forwarding").read_text() == before
    del outside


TO_LOOPBACK = """
set -e
echo 1 > /proc/sys/net/ipv4/conf/eth0/route_localnet
ip route flush table local type local 127.0.0.0/8
ip route flush table local type local 127.0.0.1
ip route add 127.0.0.1 via "$1" src "$2"
exec "$3" -c "$4" 127.0.0.1 8080
"""


def test_hosts_loopback_is_not_reached_from_a_container(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    """CVE-2020-8558: bridges route 127.0.0.1, for the host's own packets to published ports."""
    with engine.network("lan").subnet("10.9.0.0/24").create() as lan:
        with (
            box.join(lan, address="10.9.0.2").start("sleep", "600") as container,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server,
        ):
            server.bind(("127.0.0.1", 8080))
            server.settimeout(0.1)
            enter = ("nsenter", "--net", "--target", str(container.inspect().pid))
            words = ("sh", "10.9.0.1", "10.9.0.2", sys.executable, ASK)
            asked = subprocess.run(
                [*enter, "sh", "-c", TO_LOOPBACK, *words], check=False, capture_output=True
            )
            assert asked.stderr.endswith(b"TimeoutError: timed out\n")
            with pytest.raises(TimeoutError):
                server.recv(100)
