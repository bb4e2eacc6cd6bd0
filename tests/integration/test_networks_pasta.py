"""Networks that pasta speaks for: no device, address or rule on the host."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import containerlib as cl
from containerlib._sys.processes import is_alive, start_time
from rig.bundles import until
from rig.networks import Machine, interfaces, own_network

pytestmark = [
    pytest.mark.privileged("CAP_SYS_ADMIN: makes containers"),
    pytest.mark.skipif(shutil.which("pasta") is None, reason="needs passt"),
]
SERVE = ("sh", "-c", "while true; do echo well | nc -l -p 80; done")


@pytest.fixture
def outside() -> Iterator[Machine]:
    """A machine by which this one reaches all others."""
    with own_network(), Machine("198.51.100.2/24", host="198.51.100.1/24") as machine:
        subprocess.run(["ip", "route", "add", "default", "via", "198.51.100.2"], check=True)
        yield machine


def user(engine: cl.Engine) -> cl.NetworkRecipe:
    return engine.network("user").driver("pasta").subnet("10.9.0.0/24")


def speakers(container_id: str) -> list[int]:
    """Processes of pasta's for that container."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = place.read_bytes()
        except OSError:
            continue
        if words.startswith(b"pasta") or b"/pasta\0" in words.partition(b"\0")[0] + b"\0":
            found += [int(place.parent.name)] if container_id.encode() in words else []
    return found


def ask(machine: Machine, port: int) -> str:
    return machine.run("busybox", "nc", "-w", "2", "198.51.100.1", str(port)).stdout


def test_container_reaches_the_outside_and_nothing_is_on_the_host(
    engine: cl.Engine, box: cl.ContainerRecipe, outside: Machine
) -> None:
    before = interfaces()
    with (
        user(engine).create() as network,
        box.join(network, address="10.9.0.7").start("sleep", "600") as container,
    ):
        assert interfaces() == before
        assert container.inspect().addresses == {"user": ("10.9.0.7",)}
        assert "inet 10.9.0.7/24" in container.exec("ip", "address", "show", "eth0").text
        listener = outside.popen("busybox", "nc", "-l", "-p", "99")
        until(lambda: ":99 " in outside.run("ss", "-Hltn").stdout)
        container.exec("sh", "-c", "echo from inside | nc -w 2 198.51.100.2 99", check=False)
        assert listener.communicate(timeout=10.0)[0] == "from inside\n"
        network.check(container)
        assert len(speakers(container.id)) == 1
    until(lambda: not speakers(container.id))


def test_published_port_is_reached_and_free_again(
    engine: cl.Engine, box: cl.ContainerRecipe, outside: Machine
) -> None:
    with user(engine).create() as network:
        recipe = box.join(network).publish(80).publish(81, host=8081, address="127.0.0.1")
        with recipe.start(*SERVE) as container:
            port, local = container.ports
            until(lambda: ask(outside, port.host) == "well\n")
            assert ask(outside, local.host) == ""
            container.stop(0)
            container.start()  # with the same ports
            assert container.ports == (port, local)
            until(lambda: ask(outside, port.host) == "well\n")
        for each in (port.host, 8081):
            with socket.create_server(("0.0.0.0", each)):  # noqa: S104
                pass


def test_host_port_in_use_is_refused(engine: cl.Engine, box: cl.ContainerRecipe, outside: Machine) -> None:
    with user(engine).create() as network, socket.create_server(("0.0.0.0", 0)) as taken:  # noqa: S104
        with pytest.raises(cl.Conflict, match="is in use by"):
            box.join(network).publish(80, host=taken.getsockname()[1]).run("true")
        assert engine.containers.list() == []


def test_containers_do_not_reach_the_hosts_loopback_or_each_other(
    engine: cl.Engine, box: cl.ContainerRecipe, outside: Machine
) -> None:
    with (
        user(engine).create() as network,
        socket.create_server(("127.0.0.1", 0)) as secret,
        box.name("one").join(network, address="10.9.0.7").start(*SERVE),
        box.join(network).start("sleep", "600") as other,
    ):
        for target in ("10.9.0.1", "127.0.0.1"):
            asked = other.exec("nc", "-w", "1", target, str(secret.getsockname()[1]), check=False)
            assert asked.exit_code
        assert other.exec("nc", "-w", "1", "10.9.0.7", "80", check=False).text == ""
        assert other.exec("nslookup", "one.user", check=False).exit_code


def test_pasta_that_was_killed_is_there_at_the_next_start(
    engine: cl.Engine, box: cl.ContainerRecipe, outside: Machine
) -> None:
    with user(engine).create() as network, box.join(network).publish(80).start(*SERVE) as container:
        (pid,) = speakers(container.id)
        started = start_time(pid)
        assert started is not None
        os.kill(pid, signal.SIGKILL)
        until(lambda: not is_alive(pid, started))
        with pytest.raises(cl.PluginError, match="has ended"):
            network.check(container)
        container.stop(0)
        with socket.create_server(("0.0.0.0", container.ports[0].host)):  # noqa: S104 - which is free, and its no more
            container.start()
            until(lambda: ask(outside, container.ports[0].host) == "well\n")


def test_pasta_of_a_killed_engine_ends(engine: cl.Engine, box: cl.ContainerRecipe, outside: Machine) -> None:
    user(engine).create()
    script = (
        "import sys, containerlib as cl\n"
        "engine = cl.Engine(sys.argv[1])\n"
        "with engine.container(engine.images.list()[0]).join('user').start('sleep', '600') as one:\n"
        "    print(one.id, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-P", "-c", script, engine.root],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        container_id = process.stdout.readline().strip()
        assert speakers(container_id)
        process.kill()
    with cl.Engine(engine.root) as other:
        assert other.containers.list() == []
        until(lambda: not speakers(container_id))
        other.networks.get("user").remove()


def test_what_pasta_cannot_do_is_refused(
    engine: cl.Engine, box: cl.ContainerRecipe, outside: Machine
) -> None:
    for recipe in (user(engine).internal(), user(engine).ipv6(), user(engine).anti_spoofing()):
        with pytest.raises(cl.Unsupported, match="a network of pasta has no"):
            recipe.create()
    with user(engine).create() as network, engine.network("own").create() as own:
        for two in (box.join(network).join(own), box.join(own).join(network)):
            with pytest.raises(cl.Unsupported, match="its only one"):
                two.run("true")
        with pytest.raises(cl.InvalidArgument, match="not sctp"):
            box.join(network).publish(80, protocol="sctp").run("true")
        assert engine.containers.list() == []


def test_host_without_a_route_is_told_of(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    with own_network(), user(engine).create() as network:
        with pytest.raises(cl.PluginError, match="external"):
            box.join(network).run("true")
        assert engine.containers.list() == []
