"""Containers on networks of bridges: who reaches whom, and what is left behind."""

from __future__ import annotations

import concurrent.futures
import os
import re
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

import containerlib as cl
from rig.bundles import parent_of, until
from rig.networks import Machine, elements, interfaces

pytestmark = [
    pytest.mark.usefixtures("network"),
    pytest.mark.privileged("CAP_SYS_ADMIN: makes containers"),
]

SERVE6 = """
import socket
with socket.create_server(("::", 80), family=socket.AF_INET6) as server:
    while True:
        with server.accept()[0] as client:
            client.sendall(b"well\\n")
"""
SERVE = ("sh", "-c", "while true; do echo well | nc -l -p 80; done")


def read(address: str, port: int) -> str:
    """What the server there says; it may be about to listen again."""
    deadline = time.monotonic() + 10
    while True:
        try:
            with socket.create_connection((address, port), timeout=2) as connection:
                return connection.recv(100).decode()
        except (ConnectionRefusedError, TimeoutError):  # there is no container between two of its runs
            assert time.monotonic() < deadline, "nobody listens"
            time.sleep(0.05)


def address_of(container: cl.Container) -> str:
    text = container.exec("ip", "-4", "-o", "address", "show", "eth0").text
    return text.split()[3].partition("/")[0]


def test_containers_on_a_network_reach_each_other_and_the_host(
    engine: cl.Engine, box: cl.ContainerRecipe
) -> None:
    with engine.network("backend").create() as backend:
        recipe = box.join(backend)
        with recipe.start(*SERVE) as server, recipe.start("sleep", "600") as client:
            assert client.exec("nc", "-w", "5", address_of(server), "80", input=b"x").text == "well\n"
            gateway = client.exec("ip", "route").text.split()[2]
            assert client.exec("ping", "-c", "1", "-W", "5", gateway).exit_code == 0


def test_ipv6(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    with engine.network("backend").ipv6().create() as backend:
        assert backend.subnets[1].startswith("fd")
        recipe = box.join(backend, address6=backend.subnets[1].replace("::/64", "::99"))
        with recipe.start("sleep", "600"), box.join(backend).start("sleep", "600") as client:
            there = backend.subnets[1].replace("::/64", "::99")
            assert client.exec("ping", "-6", "-c", "1", "-W", "5", there).exit_code == 0


def test_container_has_ipv6_where_its_network_has(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    """Else each that starts would ask all others on the bridge for its address, and for routers."""
    with engine.network("four").create() as four, engine.network("six").ipv6().create() as six:
        with box.join(four).join(six).start("sleep", "600") as container:
            until(lambda: "scope link" in container.exec("ip", "-6", "address", "show", "eth1").text)
            assert not container.exec("ip", "-6", "address", "show", "eth0").text


def test_published_port_is_reached_from_everywhere(box: cl.ContainerRecipe, outside: Machine) -> None:
    with box.publish(80, host=8080).start(*SERVE) as server:
        assert [(port.container, port.host) for port in server.ports] == [(80, 8080)]
        assert (server.inspect().networks, server.inspect().ports) == (("bridge",), server.ports)
        assert read("127.0.0.1", 8080) == "well\n"
        assert read("198.51.100.1", 8080) == "well\n"
        until(lambda: outside.run("busybox", "nc", "-w", "2", "198.51.100.1", "8080").stdout == "well\n")
        with box.publish(81).start("sleep", "600") as other:  # on the same network, by the host's address
            until(lambda: other.exec("nc", "-w", "2", "198.51.100.1", "8080", check=False).text == "well\n")
            until(lambda: server.exec("nc", "-w", "2", "198.51.100.1", "8080", check=False).text == "well\n")


def test_chosen_port_is_known_and_nobody_elses(box: cl.ContainerRecipe) -> None:
    with box.publish(80).start(*SERVE) as server:
        (port,) = server.ports
        assert (port.container, port.protocol, port.address) == (80, "tcp", None)
        assert read("127.0.0.1", port.host) == "well\n"
        with socket.socket() as other, pytest.raises(OSError, match="Address already in use"):
            other.bind(("127.0.0.1", port.host))
        with pytest.raises(
            cl.Conflict, match=f"port {port.host} is published by the container '{server.name}'"
        ):
            box.publish(81, host=port.host).run("true")
    with socket.socket() as free:
        free.bind(("127.0.0.1", port.host))


def test_port_is_an_address_of_the_host_that_leads_to_the_container(box: cl.ContainerRecipe) -> None:
    recipe = box.publish(80).publish(80, host=18090, address="127.0.0.1").publish(53, protocol="udp")
    with recipe.start(*SERVE) as server:
        chosen = server.port(80)
        assert chosen == ("127.0.0.1", server.ports[0].host)
        assert read(*chosen) == "well\n"
        assert server.port(53, protocol="udp").port == server.ports[2].host
        with pytest.raises(
            cl.NotFound, match=r"not published its tcp port 53: it has 80/tcp, 80/tcp, 53/udp"
        ):
            server.port(53)
        with pytest.raises(cl.InvalidArgument, match="port: 0 is not"):
            server.port(0)
    with box.create("true") as other, pytest.raises(cl.NotFound, match=r"write \.publish\(81\)"):
        other.port(81)


def test_ports_of_a_range_are_each_ones_own(box: cl.ContainerRecipe) -> None:
    with socket.create_server(("127.0.0.1", 18000)):
        recipe = box.publish(80, host=range(18000, 18003))
        with recipe.start(*SERVE) as one, recipe.start("sleep", "600") as other:
            assert [each.ports[0].host for each in (one, other)] == [18001, 18002]
            assert read("127.0.0.1", 18001) == "well\n"
            with pytest.raises(cl.Conflict, match="no tcp port from 18000 to 18002 is free"):
                recipe.run("true")
            one.stop(0)
            one.start()
            assert one.ports[0].host == 18001
    with (
        box.publish(range(90, 92), host=range(18000, 18002))
        .publish(range(95, 97))
        .start("sleep", "600") as many
    ):
        assert [(port.container, port.host) for port in many.ports][:2] == [(90, 18000), (91, 18001)]
        assert len({port.host for port in many.ports}) == 4


def test_port_of_a_host_program_is_refused_by_its_name(box: cl.ContainerRecipe) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(cl.Conflict, match=rf"{port} is in use by .* \(process {os.getpid()}\)"):
            box.publish(80, host=port).run("true")


@pytest.mark.parametrize("address", [None, "::1"])
def test_published_port_is_reached_by_the_loopback_address_of_ipv6(
    engine: cl.Engine, host: cl.ContainerRecipe, address: str | None
) -> None:
    """Where bridges do not hand IPv6 packets to the packet filter."""
    reassembling = Path("/proc/sys/net/bridge/bridge-nf-call-ip6tables")
    if reassembling.exists():
        reassembling.write_text("0")
    with engine.network("backend").ipv6().create() as backend:
        with host.join(backend).publish(80, host=8080, address=address).start(sys.executable, "-c", SERVE6):
            assert read("::1", 8080) == "well\n"


def test_socket_of_the_caller_is_the_containers_port(box: cl.ContainerRecipe, outside: Machine) -> None:
    """It listens before, meanwhile and afterwards: the port is nobody else's at any time."""
    with socket.create_server(("0.0.0.0", 0)) as server:  # noqa: S104
        port = server.getsockname()[1]
        with box.publish(80, socket=server).start(*SERVE) as container:
            assert [(one.container, one.host, one.address) for one in container.ports] == [(80, port, None)]
            assert read("127.0.0.1", port) == "well\n"
            assert read("198.51.100.1", port) == "well\n"
        with socket.create_connection(("127.0.0.1", port)) as client, server.accept()[0] as accepted:
            accepted.sendall(b"own")
            assert client.recv(10) == b"own"


def test_socket_that_the_caller_closes_is_still_the_containers_port(box: cl.ContainerRecipe) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        container = box.publish(80, socket=server).create(*SERVE)
    with container:
        with pytest.raises(cl.Conflict, match=f"port {port}"):
            box.publish(81, host=port).run("true")
        container.start()
        assert read("127.0.0.1", port) == "well\n"
        assert container.ports[0].address == "127.0.0.1"


def test_socket_of_one_family_leaves_the_other_to_nobody(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    with engine.network("backend").ipv6().create() as backend, socket.create_server(("0.0.0.0", 0)) as server:  # noqa: S104
        port = server.getsockname()[1]
        with box.join(backend).publish(80, socket=server).start("sleep", "600"):
            with (
                socket.socket(socket.AF_INET6) as other,
                pytest.raises(OSError, match="Address already in use"),
            ):
                other.bind(("::", port))


def test_closed_socket_is_refused(box: cl.ContainerRecipe) -> None:
    server = socket.create_server(("127.0.0.1", 0))
    recipe = box.publish(80, socket=server)
    server.close()
    with pytest.raises(cl.StageError, match="it has been closed"):
        recipe.run("true")


def test_what_is_published_on_loopback_is_not_reached_from_outside(
    box: cl.ContainerRecipe, outside: Machine
) -> None:
    """CVE-2025-54388, and a neighbour that routes to the container or to 127.0.0.1 through the host."""
    with box.publish(80, host=8080, address="127.0.0.1").start(*SERVE) as server:
        assert read("127.0.0.1", 8080) == "well\n"
        assert not outside.run("busybox", "nc", "-w", "1", "198.51.100.1", "8080").stdout
        assert not outside.run("busybox", "nc", "-w", "1", address_of(server), "80").stdout
        outside.run("ip", "route", "add", "127.0.0.1/32", "via", "198.51.100.1", "table", "local")
        assert not outside.run("busybox", "nc", "-w", "1", "127.0.0.1", "8080").stdout


def test_container_reaches_outside_by_the_hosts_address(box: cl.ContainerRecipe, outside: Machine) -> None:
    with box.join("bridge").start("sleep", "600") as container:
        listener = outside.popen("busybox", "nc", "-l", "-p", "99")
        until(lambda: "LISTEN" in outside.run("ss", "-ltn").stdout)
        container.exec("sh", "-c", "echo from inside | nc -w 2 198.51.100.2 99", check=False)
        assert listener.communicate(timeout=10)[0] == "from inside\n"


def test_networks_do_not_reach_each_other(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    with engine.network("one").create() as one, engine.network("two").create() as two:
        with box.join(one).start(*SERVE) as server, box.join(two).start("sleep", "600") as other:
            assert not other.exec("nc", "-w", "1", address_of(server), "80", check=False).text


def test_internal_network_has_no_outside(
    engine: cl.Engine, box: cl.ContainerRecipe, outside: Machine
) -> None:
    box.join("bridge").run("true")  # the host forwards what comes in by the wire
    with engine.network("inner").internal().create() as inner:
        recipe = box.join(inner).cap_add("NET_ADMIN")
        with recipe.start(*SERVE) as server, recipe.start("sleep", "600") as client:
            assert client.exec("nc", "-w", "5", address_of(server), "80", input=b"x").text == "well\n"
            gateway = inner.subnets[0].replace(".0/20", ".1")
            for container in (server, client):
                container.exec("ip", "route", "add", "default", "via", gateway)
            for there in ("198.51.100.2", "198.51.100.1", gateway):
                assert client.exec("ping", "-c", "1", "-W", "1", there, check=False).exit_code
            outside.run("ip", "route", "add", inner.subnets[0], "via", "198.51.100.1")
            assert not outside.run("busybox", "nc", "-w", "1", address_of(server), "80").stdout


def test_end_of_a_container_leaves_nothing_of_it(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    with engine.network("backend").create() as backend:
        recipe = box.join(backend).publish(80, host=8080).publish(53, host=5353, protocol="udp")
        with recipe.start("sleep", "600"):
            assert "8080" in elements("any4")
            assert len(interfaces()) == 3
        assert not elements("any4")
        until(
            lambda: interfaces() == {"lo", f"cl-{backend.id[:12]}"}
        )  # the kernel takes a namespace away by and by
    assert interfaces() == {"lo"}
    assert not elements("bridges")
    assert not elements("own")


def test_failed_start_leaves_nothing_of_it(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    with engine.network("backend").create() as backend:
        with pytest.raises(cl.StageError):
            box.join(backend).publish(80, host=8080).run("/no/such/program")
        assert not elements("any4")
        until(lambda: interfaces() == {"lo", f"cl-{backend.id[:12]}"})


def test_ports_of_a_killed_supervisor_are_taken_back(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    container = box.publish(80, host=8080).start("sleep", "600", detach=True)
    pid = container.inspect().pid
    assert pid is not None
    os.kill(parent_of(pid), signal.SIGKILL)
    until(lambda: not Path(f"/proc/{pid}").exists())
    assert "8080" in elements("any4")
    with cl.Engine(engine.root):
        assert not elements("any4")
    container.remove(force=True)


def test_container_that_is_started_again_is_on_its_network(box: cl.ContainerRecipe) -> None:
    by_its_supervisor = box.publish(80, host=8080).restart("always")
    with by_its_supervisor.start("sh", "-c", "echo well | nc -l -p 80"):
        for _ in range(3):
            assert read("127.0.0.1", 8080) == "well\n"
    with box.publish(80, host=8080).start(*SERVE) as container:
        address = address_of(container)
        container.stop(timeout=0)
        container.start()
        assert address_of(container) == address
        assert read("127.0.0.1", 8080) == "well\n"


def test_parallel_starts_share_no_address(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    with engine.network("small").subnet("172.31.99.0/28").create() as small:
        recipe = box.join(small)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            started = list(pool.map(lambda _: recipe.start("sleep", "600"), range(13)))
        try:
            addresses = {address_of(container) for container in started}
            assert len(addresses) == 13
            with pytest.raises(cl.Conflict, match=r"every address of 172\.31\.99\.0/28"):
                recipe.run("true")
        finally:
            for container in started:
                container.remove(force=True)


def test_network_that_cannot_be_removed_does_not_hide_why_its_block_failed(
    engine: cl.Engine, box: cl.ContainerRecipe
) -> None:
    def work() -> None:
        with engine.network("backend").create():
            box.join("backend").start("sleep", "60")
            raise ValueError("cause")

    with pytest.raises(ValueError, match="cause") as caught:
        work()
    assert "clean-up failed too: Conflict" in caught.value.__notes__[0]


def test_pool_gives_free_subnets_of_the_length_and_none_that_is_routed(
    engine: cl.Engine, outside: Machine
) -> None:
    recipe = [engine.network(name).pool("198.51.100.0/22", 24) for name in ("a", "b", "c", "d")]
    with recipe[0].create() as a, recipe[1].create() as b, recipe[2].create() as c:
        # 198.51.100.0/24 is the wire to the other machine
        assert [one.subnets for one in (a, b, c)] == [(f"198.51.{third}.0/24",) for third in (101, 102, 103)]
        with pytest.raises(cl.Conflict, match=r"every subnet of 198\.51\.100\.0/22"):
            recipe[3].create()
        with recipe[3].pool("203.0.113.0/24", 28).create() as other:
            assert other.subnets == ("203.0.113.0/28",)


def test_network_in_use_is_not_removed(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    with engine.network("backend").create() as backend, box.join("backend").name("web").start("sleep", "60"):
        with pytest.raises(cl.Conflict, match="web on the network 'backend'"):
            backend.remove()


def test_overlapping_subnet_is_refused(engine: cl.Engine) -> None:
    with engine.network("one").subnet("10.7.0.0/16").create():
        with pytest.raises(cl.Conflict, match=r"overlaps 10\.7\.0\.0/16 of the network 'one'"):
            engine.network("two").subnet("10.7.8.0/24").create()
        with pytest.raises(cl.AlreadyExists):
            engine.network("one").create()


def test_free_subnet_is_none_that_the_host_has_a_route_to(engine: cl.Engine) -> None:
    with Machine("172.16.3.2/24", host="172.16.3.1/24"), engine.network("one").create() as one:
        assert one.subnets == ("172.16.16.0/20",)


def test_start_runs_no_command(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    """What a start asks of the network goes by netlink: there is no program to be found."""
    path, os.environ["PATH"] = os.environ["PATH"], "/nowhere"
    try:
        assert box.publish(80, host=8080).run("true").exit_code == 0
    finally:
        os.environ["PATH"] = path


@pytest.mark.parametrize("words", [{"address": "10.9.0.1"}, {"address": "10.8.0.2"}])
def test_address_that_cannot_be_a_containers(
    engine: cl.Engine, box: cl.ContainerRecipe, words: dict[str, str]
) -> None:
    with engine.network("one").subnet("10.9.0.0/16").create() as one:
        with pytest.raises(cl.InvalidArgument, match=re.escape(words["address"])):
            box.join(one, **words).run("true")
