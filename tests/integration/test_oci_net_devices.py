"""linux.netDevices: devices of a network namespace of the test's own, moved into containers."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from containerlib.errors import InvalidArgument, StageError
from rig.bundles import Rack

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers, CAP_NET_ADMIN: makes devices")

CLONE_NEWNET = 0x40000000


@pytest.fixture
def network() -> Iterator[Callable[..., str]]:
    """Runs ip(8) in a new network namespace, in which this thread, and so every helper of it, is meanwhile."""
    if shutil.which("ip") is None:
        pytest.skip("no ip: install iproute2")
    libc = ctypes.CDLL(None, use_errno=True)
    host = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    assert libc.unshare(CLONE_NEWNET) == 0
    try:
        yield run_ip
    finally:
        assert libc.setns(host, CLONE_NEWNET) == 0
        os.close(host)


def run_ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


def with_devices(devices: dict[str, Any], path: str = "") -> Callable[[dict[str, Any]], None]:
    def change(spec: dict[str, Any]) -> None:
        linux = spec["linux"]
        if path:
            linux["namespaces"] = [n for n in linux["namespaces"] if n["type"] != "network"]
            linux["namespaces"].append({"type": "network", "path": path})
            linux["sysctl"] = {}
        linux["netDevices"] = devices

    return change


def names_of(text: str) -> set[str]:
    """Of `ip -o link`; a veth's has its peer's number behind it."""
    return {line.split(": ")[1].partition("@")[0] for line in text.splitlines()}


def addresses_of(text: str) -> set[str]:
    """Of `ip -o addr show dev ...`: the addresses with their scopes."""
    return {
        f"{words[3]} {words[words.index('scope') + 1]}"
        for words in (line.split() for line in text.splitlines())
        if not words[3].startswith("fe80:")
    }


def test_device_moves_with_its_lasting_addresses_and_is_up(rack: Rack, network: Callable[..., str]) -> None:
    network("link", "add", "out", "mtu", "1234", "type", "veth", "peer", "name", "left")
    network("link", "set", "out", "address", "02:00:00:00:00:77", "up")
    network("link", "set", "left", "up")
    for address in ("10.98.0.1/24", "10.98.0.2/24", "10.97.0.1/32"):
        network("addr", "add", address, "dev", "out")
    network("addr", "add", "10.96.0.1/24", "dev", "out", "scope", "link")
    network("addr", "add", "10.95.0.1/24", "dev", "out", "valid_lft", "500", "preferred_lft", "500")
    container = rack.create("sleep", "60", change=with_devices({"out": {"name": "eth7"}}))
    assert names_of(network("-o", "link")) == {"lo", "left"}
    assert names_of(container.output("ip", "-o", "link").text) == {"lo", "eth7"}
    shown = container.output("ip", "-o", "addr", "show", "dev", "eth7").text
    assert addresses_of(shown) == {
        "10.98.0.1/24 global",
        "10.98.0.2/24 global",
        "10.97.0.1/32 global",
    }
    link = container.output("ip", "link", "show", "dev", "eth7").text
    assert "mtu 1234" in link
    assert "02:00:00:00:00:77" in link
    assert ",UP" in link.split(">")[0]
    assert "10.98.0.0/24 dev eth7" in container.output("ip", "route").text


IPV6 = Path("/proc/sys/net/ipv6/conf")


@pytest.fixture
def network6(network: Callable[..., str]) -> Callable[..., str]:
    """A device `out` of the test's own namespace has an address of IPv6, which hosts may switch off for new ones."""
    if not IPV6.exists():
        pytest.skip("this kernel has no IPv6")
    for name in ("all", "default"):
        IPV6.joinpath(name, "disable_ipv6").write_text("0")
    network("link", "add", "out", "type", "veth", "peer", "name", "left")
    network("addr", "add", "fd00:98::1/64", "dev", "out")
    network("addr", "add", "fd00:98::2/64", "dev", "out", "preferred_lft", "0")
    return network


def test_addresses_of_ipv6_are_kept(rack: Rack, network6: Callable[..., str]) -> None:
    def enable(spec: dict[str, Any]) -> None:
        spec["linux"]["sysctl"] = {f"net.ipv6.conf.{name}.disable_ipv6": "0" for name in ("all", "default")}

    first = rack.create("sleep", "60", change=enable)
    path = f"/proc/{first.supervisor.pid}/ns/net"
    second = rack.create("sleep", "60", change=with_devices({"out": {}}, path))
    shown = second.output("ip", "-o", "addr", "show", "dev", "out").text
    assert addresses_of(shown) == {"fd00:98::1/64 global", "fd00:98::2/64 global"}
    deprecated = ["nsenter", f"--net={path}", "ip", "-o", "addr", "show", "dev", "out", "deprecated"]
    listed = subprocess.run(deprecated, check=True, capture_output=True, text=True).stdout
    assert addresses_of(listed) == {"fd00:98::2/64 global"}


def test_address_of_ipv6_where_that_is_off_is_refused(rack: Rack, network6: Callable[..., str]) -> None:
    first = rack.create("sleep", "60")
    path = f"/proc/{first.supervisor.pid}/ns/net"
    enter = ["nsenter", f"--net={path}", "sh", "-c", f"echo 1 > {IPV6}/default/disable_ipv6"]
    subprocess.run(enter, check=True)
    with pytest.raises(StageError, match="IPv6 is off") as caught:
        rack.create("true", change=with_devices({"out": {}}, path))
    assert (caught.value.stage, caught.value.errno) == ("link", errno.EACCES)


def test_peer_addresses_and_metrics_are_kept(rack: Rack, network: Callable[..., str]) -> None:
    network("link", "add", "out", "type", "veth", "peer", "name", "left")
    network("link", "set", "left", "up")
    network("addr", "add", "10.98.0.1", "peer", "10.98.0.9/32", "dev", "out")
    network("addr", "add", "10.97.0.1/24", "dev", "out", "metric", "77", "noprefixroute")
    container = rack.create("sleep", "60", change=with_devices({"out": {}}))
    namespace = f"/proc/{container.supervisor.pid}/ns/net"
    shown = subprocess.run(
        ["nsenter", f"--net={namespace}", "ip", "addr", "show", "dev", "out"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert "inet 10.98.0.1 peer 10.98.0.9/32 scope global out" in shown
    assert "inet 10.97.0.1/24 metric 77 scope global noprefixroute out" in shown


def test_traffic_goes_through_a_device_that_moved(rack: Rack, network: Callable[..., str]) -> None:
    network("link", "add", "out", "type", "veth", "peer", "name", "left")
    network("addr", "add", "10.98.0.1/24", "dev", "out")
    network("addr", "add", "10.98.0.2/24", "dev", "left")
    network("link", "set", "left", "up")
    container = rack.create("sleep", "60", change=with_devices({"out": {}}))
    done = container.output("ping", "-c1", "-W5", "10.98.0.2")
    assert done.status.exit_code == 0, done.text


def test_many_addresses_all_move(rack: Rack, network: Callable[..., str]) -> None:
    """More than a datagram of the kernel's answer has room for."""
    network("link", "add", "out", "type", "veth", "peer", "name", "left")
    expected = {f"10.98.{high}.{low}/32 global" for high in range(4) for low in range(1, 251)}
    batch = "".join(f"addr add {address.split()[0]} dev out\n" for address in expected)
    subprocess.run(["ip", "-batch", "-"], input=batch, check=True, text=True)
    container = rack.create("sleep", "60", change=with_devices({"out": {}}))
    words = container.output("sh", "-c", "ip -o addr show dev out | awk '{print $4, $6}'").text.splitlines()
    assert {line for line in words if not line.startswith("fe80:")} == expected


def test_template_takes_the_first_names_that_are_free(rack: Rack, network: Callable[..., str]) -> None:
    for name in ("a", "b", "eth1"):
        network("link", "add", "name", name, "type", "veth", "peer", "name", f"{name}-peer")
    devices = {"eth1": {}, "a": {"name": "eth%d"}, "b": {"name": "eth%d"}}
    container = rack.create("sleep", "60", change=with_devices(devices))
    assert names_of(container.output("ip", "-o", "link").text) == {"lo", "eth0", "eth1", "eth2"}


def test_device_keeps_a_number_that_is_taken_inside(rack: Rack, network: Callable[..., str]) -> None:
    """The kernel gives it another one then; the addresses must find it all the same."""
    network("link", "add", "out", "index", "5000", "type", "veth", "peer", "name", "left")
    network("addr", "add", "10.98.0.1/24", "dev", "out")
    first = rack.create("sleep", "60", change=with_devices({"out": {}}))
    network("link", "add", "more", "index", "5000", "type", "veth", "peer", "name", "right")
    network("addr", "add", "10.97.0.1/24", "dev", "more")
    path = f"/proc/{first.supervisor.pid}/ns/net"
    second = rack.create("sleep", "60", change=with_devices({"more": {"name": "new"}}, path))
    shown = second.output("ip", "-o", "addr").text
    assert addresses_of("\n".join(line for line in shown.splitlines() if " new " in line)) == {
        "10.97.0.1/24 global"
    }


def test_device_with_a_name_that_is_taken_inside_stays_where_it_is(
    rack: Rack, network: Callable[..., str]
) -> None:
    network("link", "add", "out", "type", "veth", "peer", "name", "left")
    network("addr", "add", "10.98.0.1/24", "dev", "out")
    with pytest.raises(StageError) as caught:
        rack.create("true", change=with_devices({"out": {"name": "lo"}}))
    assert (caught.value.stage, caught.value.errno) == ("link", errno.EEXIST)
    assert "linux.netDevices out" in str(caught.value)
    assert "10.98.0.1/24 global" in addresses_of(network("-o", "addr", "show", "dev", "out"))


def test_device_that_is_not_there_is_named(rack: Rack, network: Callable[..., str]) -> None:
    with pytest.raises(StageError, match=r"linux\.netDevices nowhere: ENODEV") as caught:
        rack.create("true", change=with_devices({"nowhere": {}}))
    assert (caught.value.stage, caught.value.errno) == ("link", errno.ENODEV)


def test_device_that_cannot_leave_is_refused(rack: Rack, network: Callable[..., str]) -> None:
    with pytest.raises(StageError) as caught:
        rack.create("true", change=with_devices({"lo": {"name": "eth0"}}))
    assert (caught.value.stage, caught.value.errno) == ("link", errno.EINVAL)


def test_device_without_a_network_namespace_is_refused(rack: Rack) -> None:
    def change(spec: dict[str, Any]) -> None:
        linux = spec["linux"]
        linux["namespaces"] = [n for n in linux["namespaces"] if n["type"] != "network"]
        linux.update(netDevices={"out": {}}, sysctl={})

    with pytest.raises(InvalidArgument, match=r"linux\.netDevices"):
        rack.create("true", change=change)


def test_device_moves_into_a_user_namespaces_network(
    rack: Rack, network: Callable[..., str], busybox_rootfs: Path
) -> None:
    def change(spec: dict[str, Any]) -> None:
        with_devices({"out": {"name": "eth0"}})(spec)
        linux = spec["linux"]
        linux["sysctl"] = {}
        linux["namespaces"].append({"type": "user"})
        mappings = [{"containerID": 0, "hostID": 0, "size": 65536}]
        linux.update(uidMappings=mappings, gidMappings=mappings)

    network("link", "add", "out", "type", "veth", "peer", "name", "left")
    network("addr", "add", "10.98.0.1/24", "dev", "out")
    container = rack.create("sleep", "60", change=change)
    shown = container.output("ip", "-o", "addr", "show", "dev", "eth0").text
    assert addresses_of(shown) == {"10.98.0.1/24 global"}
