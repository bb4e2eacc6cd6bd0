"""Programs that go on from a checkpoint with all that they had: processes, memory, connections, a terminal, mounts."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from containerlib.errors import Conflict, NotFound, Unsupported
from containerlib.networking.netlink import route
from containerlib.networking.netlink.message import packed
from containerlib.runtime import Stdio
from containerlib.runtime.checkpoint import Options
from containerlib.runtime.plan import ops
from containerlib.runtime.plan.late import Late, Memory
from containerlib.runtime.plan.links import Links
from containerlib.spec.secret import Secret
from rig import images as rig_images
from rig.bundles import Bundled, Rack, log_of, until
from rig.checkpoints import checkpoint, restore
from rig.networks import Machine

pytestmark = [
    pytest.mark.privileged("CAP_SYS_ADMIN: makes containers, and CRIU dumps them"),
    pytest.mark.usefixtures("needs_criu"),
]

TREE = """
import mmap, os, signal, threading, time
shared = mmap.mmap(-1, 4096)
(ask, asked), (answered, answer) = os.pipe(), os.pipe()
child = os.fork()
while child == 0:
    number = os.read(ask, 1)
    shared[0:1] = number
    os.write(answer, number)
ticks = spins = 0
def tick(*_):
    global ticks; ticks += 1
def spin():
    global spins
    while True:
        spins += 1; time.sleep(0.01)
signal.signal(signal.SIGALRM, tick)
signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
threading.Thread(target=spin, daemon=True).start()
with open("/dev/shm/note", "w") as file:
    file.write("kept")
unnamed = open("/dev/shm/unnamed", "w+"); unnamed.write("kept too"); unnamed.flush(); os.unlink("/dev/shm/unnamed")
for number in range(250):
    os.write(asked, bytes([number]))
    heard = os.read(answered, 1)[0]
    unnamed.seek(0)
    print(number, heard, shared[0], ticks, spins, open("/dev/shm/note").read(), unnamed.read(), flush=True)
    time.sleep(0.05)
"""


def typed(container: Bundled, text: bytes) -> None:
    """Types on the container's terminal."""
    keyboard = container.supervisor.attach(stdin=True, stdout=None, stderr=None)
    assert keyboard is not None
    os.write(keyboard, text)
    os.close(keyboard)


# ---- processes ----


def test_tree_goes_on_with_its_pipes_timers_threads_and_shared_memory(tmp_path: Path) -> None:
    with Rack(tmp_path / "containers", (Path("/"),)) as rack:
        container = rack.create("python3", "-c", TREE)
        until(lambda: len(log_of(container).splitlines()) > 3)
        images = checkpoint(container, tmp_path / "images")
        container.finish()
        again = restore(rack, container, images)
        until(lambda: len(log_of(again).splitlines()) > 3)
        last = int(log_of(container).splitlines()[-1].split()[0])
        lines = [line.decode().split(maxsplit=5) for line in log_of(again).splitlines()]
    assert int(lines[0][0]) in (last, last + 1)
    for before, after in itertools.pairwise(lines):
        assert int(after[0]) == int(before[0]) + 1 == int(after[1]) == int(after[2])
        assert int(after[3]) > int(before[3]), "the timer stands still"
        assert int(after[4]) > int(before[4]), "the thread stands still"
        assert after[5] == "kept kept too"


# ---- the terminal ----


def test_terminal_is_the_new_supervisors(rack: Rack, tmp_path: Path) -> None:
    def with_terminal(spec: dict[str, Any]) -> None:
        spec["process"]["terminal"] = True

    script = "while read word; do echo got $word; stty size; tty; done"
    container = rack.create("sh", "-c", script, change=with_terminal)
    typed(container, b"one\n")
    until(lambda: b"/dev/pts/0" in log_of(container))
    images = checkpoint(container, tmp_path / "images")
    container.finish()
    again = restore(rack, container, images)
    again.supervisor.resize(33, 44)
    typed(again, b"two\n")
    until(lambda: b"/dev/pts/0" in log_of(again))
    assert log_of(again).split() == [b"two", b"got", b"two", b"33", b"44", b"/dev/pts/0"]
    typed(again, b"\x03")
    assert again.finish().status.exit_code == 130


def test_standard_input_is_given_anew(rack: Rack, tmp_path: Path) -> None:
    with _pipe() as (reading, _), _pipe() as (next_reading, next_writing):
        container = rack.create("cat", stdio=Stdio(stdin=reading))
        images = checkpoint(container, tmp_path / "images")
        container.finish()
        os.write(next_writing, b"from the other end\n")
        again = restore(rack, container, images, stdio=Stdio(stdin=next_reading))
        until(lambda: log_of(again) == b"from the other end\n")


def test_program_that_ends_when_it_goes_on_is_heard_of(rack: Rack, tmp_path: Path) -> None:
    with _pipe() as (reading, _):
        container = rack.create("cat", stdio=Stdio(stdin=reading))
        images = checkpoint(container, tmp_path / "images")
        container.finish()
    for number in range(5):
        again = restore(rack, container, images, name=f"again-{number}")  # whose standard input is at its end
        assert again.finish().status.exit_code == 0


@contextlib.contextmanager
def _pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    try:
        yield ends
    finally:
        for end in ends:
            os.close(end)


# ---- mounts ----


def _mount(destination: str, source: Path, *options: str) -> dict[str, Any]:
    return {"destination": destination, "type": "bind", "source": str(source), "options": ["bind", *options]}


@pytest.fixture
def sources(tmp_path: Path) -> list[Path]:
    """Two directories, each with a file of its name."""
    made = [tmp_path / "first", tmp_path / "second"]
    for directory in made:
        directory.mkdir()
        (directory / "name").write_text(directory.name)
    return made


def test_mount_has_the_source_that_the_new_configuration_says(
    rack: Rack, tmp_path: Path, sources: list[Path]
) -> None:
    def mounted(index: int) -> Any:
        return lambda spec: spec["mounts"].append(_mount("/data", sources[index], "rw"))

    container = rack.create("sleep", "60", change=mounted(0))
    images = checkpoint(container, tmp_path / "images")
    container.finish()
    again = restore(
        rack, container, images, change=lambda spec: spec["mounts"][-1].update(source=str(sources[1]))
    )
    assert again.output("cat", "/data/name").text == "second"
    assert again.output("touch", "/data/new").status.exit_code == 0


def test_mount_that_nothing_is_given_for_is_refused_by_name(
    rack: Rack, tmp_path: Path, sources: list[Path]
) -> None:
    container = rack.create(
        "sleep", "60", change=lambda spec: spec["mounts"].append(_mount("/data", sources[0]))
    )
    images = checkpoint(container, tmp_path / "images")
    container.finish()
    with pytest.raises(NotFound, match="/data"):
        restore(rack, container, images, change=lambda spec: spec["mounts"].pop())


def test_each_of_two_mounts_of_one_source_is_as_it_was(
    rack: Rack, tmp_path: Path, sources: list[Path]
) -> None:
    def change(spec: dict[str, Any]) -> None:
        spec["mounts"] += [
            _mount("/one", sources[0], "ro"),
            _mount("/two", sources[0], "ro", "nosuid", "noexec"),
        ]

    container = rack.create("sleep", "60", change=change)
    images = checkpoint(container, tmp_path / "images")
    container.finish()
    again = restore(rack, container, images)
    mounts = again.output("cat", "/proc/1/mountinfo").text
    assert re.search(r" /one ro,relatime ", mounts)
    assert re.search(r" /two ro,nosuid,noexec,relatime ", mounts)


def test_masked_and_read_only_paths_stay_so(rack: Rack, tmp_path: Path) -> None:
    container = rack.create("sleep", "60")
    images = checkpoint(container, tmp_path / "images")
    container.finish()
    again = restore(rack, container, images)
    options = dict(line.split()[4:6] for line in again.output("cat", "/proc/1/mountinfo").text.splitlines())
    for path in ("/proc/keys", "/proc/timer_list", "/proc/sys", "/proc/acpi", "/sys/firmware"):
        assert options[path].startswith("ro,"), path
    assert again.output("cat", "/proc/keys").stdout == b""


def test_writable_mount_that_is_to_be_read_only_is_refused(
    rack: Rack, tmp_path: Path, sources: list[Path]
) -> None:
    container = rack.create(
        "sleep", "60", change=lambda spec: spec["mounts"].append(_mount("/data", sources[0], "rw"))
    )
    images = checkpoint(container, tmp_path / "images")
    container.finish()
    with pytest.raises(Unsupported, match="/data"):
        restore(
            rack, container, images, change=lambda spec: spec["mounts"][-1].update(options=["bind", "ro"])
        )


# ---- connections ----


@pytest.fixture
def redis_root(tmp_path: Path) -> Path:
    return rig_images.redis_image().unpack(tmp_path / "redis")


@pytest.fixture
def redis_rack(tmp_path: Path, redis_root: Path) -> Iterator[Rack]:
    with Rack(tmp_path / "containers", (redis_root,)) as rack:
        yield rack


SERVER = ("redis-server", "--save", "", "--appendonly", "no", "--protected-mode", "no")


def talk(client: socket.socket, *words: str) -> bytes:
    """One command of redis, and its answer."""
    client.sendall("".join([f"*{len(words)}\r\n", *(f"${len(w)}\r\n{w}\r\n" for w in words)]).encode())
    return client.recv(65536)


def joined(machine: Machine) -> Any:
    """The container's network is that machine's."""

    def change(spec: dict[str, Any]) -> None:
        for namespace in spec["linux"]["namespaces"]:
            if namespace["type"] == "network":
                namespace["path"] = machine.namespace

    return change


def served(rack: Rack, machine: Machine) -> Bundled:
    container = rack.create(*SERVER, change=joined(machine))
    until(lambda: b"Ready to accept connections" in log_of(container))
    return container


@pytest.mark.usefixtures("network")
def test_client_of_redis_stays_connected(redis_rack: Rack, outside: Machine, tmp_path: Path) -> None:
    container = served(redis_rack, outside)
    with socket.create_connection(("198.51.100.2", 6379), timeout=30.0) as client:
        for number in range(1000):
            assert talk(client, "SET", f"key:{number}", f"value:{number}") == b"+OK\r\n"
        images = checkpoint(container, tmp_path / "images", tcp="established")
        container.finish()
        restore(redis_rack, container, images, options=Options(tcp="established"))
        assert talk(client, "GET", "key:999") == b"$9\r\nvalue:999\r\n"
        assert talk(client, "DBSIZE") == b":1000\r\n"


@pytest.mark.usefixtures("network")
def test_open_connection_is_refused_with_the_process_and_what_to_do(
    redis_rack: Rack, outside: Machine, tmp_path: Path
) -> None:
    container = served(redis_rack, outside)
    with socket.create_connection(("198.51.100.2", 6379), timeout=30.0) as client:
        assert talk(client, "PING") == b"+PONG\r\n"
        with pytest.raises(Conflict) as caught:
            checkpoint(container, tmp_path / "images")
        assert "redis-server" in str(caught.value)
        assert 'tcp="established"' in str(caught.value)
        assert talk(client, "PING") == b"+PONG\r\n"


@pytest.mark.usefixtures("network")
def test_closed_connections_let_a_copy_run_in_a_network_of_its_own(
    redis_rack: Rack, outside: Machine, tmp_path: Path
) -> None:
    container = served(redis_rack, outside)
    with (
        Machine("203.0.113.2/24", host="203.0.113.1/24") as other,
        socket.create_connection(("198.51.100.2", 6379), timeout=30.0) as client,
    ):
        assert talk(client, "SET", "name", "parent") == b"+OK\r\n"
        images = checkpoint(container, tmp_path / "images", tcp="close", leave_running=True)
        assert talk(client, "GET", "name") == b"$6\r\nparent\r\n"
        restore(redis_rack, container, images, change=joined(other), options=Options(tcp="close"))
        with socket.create_connection(("203.0.113.2", 6379), timeout=30.0) as second:
            assert talk(second, "SET", "name", "copy") == b"+OK\r\n"
        assert talk(client, "GET", "name") == b"$6\r\nparent\r\n"


def linked(address: str, peer: str) -> Links:
    """A wire from the container, which has that address, to the device `peer` of this host's."""
    from ipaddress import ip_interface

    host = [route.veth("eth0", peer, number=2, mtu=1500)]
    own = [route.add_address(ip_interface(address), 2), route.up("eth0")]
    return Links(
        (ops.netlink(0, packed(host), "veth", answers=1, pid_at=route.NAMESPACE_AT),),
        (ops.netlink(0, packed(own), "address", answers=2),),
    )


@pytest.mark.usefixtures("network")
def test_restored_container_is_connected_as_its_links_say(rack: Rack, tmp_path: Path) -> None:
    container = rack.create("sleep", "60", links=linked("198.51.100.2/24", "peer0"))
    images = checkpoint(container, tmp_path / "images")
    container.finish()
    again = restore(rack, container, images, links=linked("203.0.113.7/24", "peer1"))
    addresses = again.output("ip", "-4", "address", "show", "eth0").text
    assert "203.0.113.7/24" in addresses
    assert "198.51.100.2" not in addresses
    assert "UP" in again.output("ip", "link", "show", "lo").text


# ---- what is found or made at each start ----


def test_secrets_are_made_anew(rack: Rack, tmp_path: Path) -> None:
    place = tmp_path / "secret"

    def late(value: bytes) -> Late:
        return Late({str(place): Memory((Secret("key", "/key", value),), "/key")})

    container = rack.create(
        "sleep",
        "60",
        change=lambda spec: spec["mounts"].append(_mount("/run/key", place, "ro")),
        late=late(b"first"),
    )
    assert container.output("cat", "/run/key").text == "first"
    images = checkpoint(container, tmp_path / "images")
    container.finish()
    assert not any(b"first" in file.read_bytes() for file in images.iterdir())
    again = restore(rack, container, images, late=late(b"second"))
    assert again.output("cat", "/run/key").text == "second"
