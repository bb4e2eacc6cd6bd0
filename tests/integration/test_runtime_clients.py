"""A shim and its clients, odd places for a container, and a crowd of containers at once."""

from __future__ import annotations

import errno
import os
import resource
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from containerlib._sys.wire import Kind, Message
from containerlib.errors import Unavailable
from containerlib.runtime import BindRoot, Stdio, connect, state
from containerlib.spec.lifecycle import State
from containerlib.spec.options import ContainerOptions, MountOption
from rig.bundles import Bundled, Rack, log_of, read_all, shim_of, until
from rig.lifetime import descriptors_of, ticks_of

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

PLACES = 4096
BACKLOG = 65
"""Those who are in, and those who wait to be let in."""


# ---- clients ----


def test_two_clients_both_hear_of_the_end(rack: Rack) -> None:
    container = rack.create("sh", "-c", "sleep 0.2; exit 9")
    other = connect(container.directory)
    assert other is not None
    with other:
        assert (other.pid, other.start_time) == (container.supervisor.pid, container.supervisor.start_time)
        assert other.wait(10.0).exit_code == container.finish().status.exit_code == 9


def test_many_clients_all_hear_of_the_end(rack: Rack) -> None:
    container = rack.create("sleep", "600")
    clients = [connect(container.directory) for _ in range(200)]
    try:
        assert [c.poll() if c else "none" for c in clients] == [None] * 200
        container.supervisor.signal(signal.SIGKILL)
        assert {c.wait(10.0).signal for c in clients if c} == {signal.SIGKILL}
    finally:
        for client in clients:
            if client:
                client.close()


@pytest.fixture
def many_files() -> Iterator[None]:
    """This process, and who it starts, may have open what all places take."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    if before[1] < 3 * PLACES and before[1] != resource.RLIM_INFINITY:
        pytest.skip(f"no more than {before[1]} open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (3 * PLACES, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_client_beyond_the_last_place_waits_for_one_and_is_told_the_truth(
    rack: Rack, many_files: None
) -> None:
    container = rack.create("sleep", "600")
    crowd = [raw_client(container) for _ in range(PLACES - 1)]
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(connect, container.directory)
        time.sleep(0.2)
        assert not answer.done()
        crowd.pop().close()
        late = answer.result(10.0)
    for client in crowd:
        client.close()
    assert late is not None
    with late:
        assert late.poll() is None
        assert late.pid == container.supervisor.pid


def test_client_who_does_not_wait_long_is_told_that_nobody_answers(rack: Rack, many_files: None) -> None:
    """Also where as many wait already as can."""
    container = rack.create("sleep", "600")
    crowd = [raw_client(container) for _ in range(PLACES - 1 + BACKLOG)]
    try:
        for _ in range(3):
            with pytest.raises(Unavailable, match="too many"):
                connect(container.directory, patience=0.1)
    finally:
        for client in crowd:
            client.close()


def test_supervisor_without_descriptors_for_clients_rests_and_has_them_later(rack: Rack) -> None:
    container = rack.create("sleep", "600")
    shim = shim_of(container)
    own = descriptors_of(shim)
    _, most = resource.prlimit(shim, resource.RLIMIT_NOFILE)
    resource.prlimit(shim, resource.RLIMIT_NOFILE, (own + 10, most))
    crowd = [raw_client(container) for _ in range(40)]
    until(lambda: descriptors_of(shim) == own + 10)
    before = ticks_of(shim)
    time.sleep(1.0)
    assert ticks_of(shim) - before < 20
    for client in crowd:
        client.close()
    late = connect(container.directory)
    assert late is not None
    with late:
        assert late.poll() is None


def raw_client(container: Bundled) -> socket.socket:
    client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    fd = os.open(container.directory, os.O_PATH)
    client.connect(f"/proc/self/fd/{fd}/shim.sock")
    os.close(fd)
    return client


@pytest.mark.parametrize("garbage", [b"x", b"y" * 100_000])
def test_client_that_sends_garbage_is_dropped_and_harms_nobody(rack: Rack, garbage: bytes) -> None:
    container = rack.create("sleep", "600")
    with raw_client(container) as client:
        client.settimeout(5.0)
        client.send(garbage)
        assert client.recv(100) == b""
    assert connect_and_close(container) == container.supervisor.pid


@pytest.mark.parametrize("request_", [b"\0" * 40, b"\xff" * 40, bytes([3]) + b"\0" * 39])
def test_client_of_another_version_is_told_so_and_harms_nobody(rack: Rack, request_: bytes) -> None:
    container = rack.create("sleep", "600")
    with raw_client(container) as client:
        client.settimeout(5.0)
        for _ in range(3):
            client.send(request_)
            answer = Message.unpack(client.recv(100))
            assert answer is not None
            assert (answer.kind, answer.value[0]) == (Kind.DONE, errno.EPROTONOSUPPORT)
    assert connect_and_close(container) == container.supervisor.pid


def test_client_that_sends_descriptors_leaves_none_in_the_shim(rack: Rack) -> None:
    container = rack.create("sleep", "600")
    shim = shim_of(container)
    before = len(list(Path(f"/proc/{shim}/fd").iterdir()))
    with raw_client(container) as client:
        client.settimeout(5.0)
        socket.send_fds(client, [b"\0" * 40], [0] * 50)  # of another version: it is answered
        client.recv(100)
        socket.send_fds(client, [b"x"], [0] * 50)
        assert client.recv(100) == b""
    until(lambda: len(list(Path(f"/proc/{shim}/fd").iterdir())) == before)


def connect_and_close(container: Bundled) -> int:
    supervisor = connect(container.directory)
    assert supervisor is not None
    with supervisor:
        return supervisor.pid


# ---- places ----


@pytest.mark.parametrize(
    "name", ["d" * 200, "with space", "colon:colon", "comma,comma", "back\\slash", "ünïcode", "quote'\"$(x)"]
)
def test_container_directory_with_an_odd_name_works(rack: Rack, tmp_path: Path, name: str) -> None:
    lower = tmp_path / name
    lower.mkdir()
    lower.joinpath("from-layer").write_text("seen")
    container = rack.create(
        "sh", "-c", "cat /from-layer; echo x >/written; sleep 60", name=name, lowers=(lower,)
    )
    assert connect_and_close(container) == container.supervisor.pid
    until(lambda: log_of(container) == b"seen")
    until(Path(container.directory, "upper/written").exists)


def test_root_of_a_hundred_layers_shows_them_all(rack: Rack, tmp_path: Path) -> None:
    layers = []
    for i in range(100):
        layers.append(tmp_path / f"layer{i}")
        layers[-1].mkdir()
        layers[-1].joinpath(f"file{i}").touch()
        layers[-1].joinpath("top").write_text(str(i))
    done = rack.run("sh", "-c", "ls /file* | wc -l; cat /top", lowers=layers)
    assert done.text.split() == ["100", "0"], "the first lower is the top one"


def test_root_that_is_bound_is_the_directory_itself(rack: Rack, tmp_path: Path, busybox_rootfs: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    for name in ("bin", "etc"):
        subprocess.run(["cp", "-al", busybox_rootfs / name, root / name], check=True)
    done = rack.run("sh", "-c", "echo hello >/made", root=BindRoot(str(root)))
    assert done.status.exit_code == 0
    assert root.joinpath("made").read_text() == "hello\n"


# ---- a crowd ----


def test_containers_started_from_16_threads_all_run(rack: Rack, tmp_path: Path) -> None:
    """With a destination whose path has "..": the kernel asks for another try when anybody mounts meanwhile."""
    layer = tmp_path / "layer"
    layer.joinpath("var").mkdir(parents=True)
    layer.joinpath("run").mkdir()
    layer.joinpath("var/run").symlink_to("../run")
    options = ContainerOptions(mounts=tuple(MountOption("tmpfs", f"/var/run/{i}") for i in range(5)))

    def one(number: int) -> str:
        return rack.run("sh", "-c", f"echo {number}", lowers=(layer,), options=options).text

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(one, range(160))) == [str(i) for i in range(160)]


def test_containers_start_while_another_thread_forks(rack: Rack) -> None:
    stop = threading.Event()
    forks: Counter[int] = Counter()

    def fork() -> None:
        while not stop.is_set():
            forks[subprocess.run(["true"], check=False, close_fds=False).returncode] += 1

    thread = threading.Thread(target=fork)
    thread.start()
    try:
        outcomes = Counter(rack.run("sh", "-c", "exit 3").status.exit_code for _ in range(50))
    finally:
        stop.set()
        thread.join()
    assert outcomes == {3: 50}
    assert set(forks) == {0}


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_descriptors_of_the_caller_are_as_many_after_fifty_containers(rack: Rack) -> None:
    def one() -> None:
        container = rack.create("true")
        container.finish()
        container.supervisor.close()

    one()
    before = descriptors()
    for _ in range(50):
        one()
    assert descriptors() == before


def is_stopped(container: Bundled) -> bool:
    return state(container.directory) is State.STOPPED


def test_children_of_the_caller_are_all_reaped_after_a_close_without_wait(rack: Rack) -> None:
    for _ in range(5):
        container = rack.create("true")
        container.supervisor.close()
        until(partial(is_stopped, container))
    time.sleep(0.1)
    rack.create("true").finish()
    zombies = [
        child
        for child in Path("/proc/self/task").glob("*/children")
        for pid in child.read_text().split()
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    ]
    assert len(zombies) <= 1


def test_output_of_two_execs_at_once_does_not_mix(rack: Rack) -> None:
    container = rack.create("sleep", "60")
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda i: container.output("sh", "-c", f"echo {i}; exit {i}"), range(64)))
    assert [(d.text, d.status.exit_code) for d in done] == [(str(i), i) for i in range(64)]


def test_stderr_given_gets_what_the_program_writes(rack: Rack) -> None:
    read_end, write_end = os.pipe()
    container = rack.create("sh", "-c", "echo out; echo err >&2", stdio=Stdio(stderr=write_end))
    os.close(write_end)
    container.finish()
    assert read_all(read_end) == b"err\n"
    os.close(read_end)
