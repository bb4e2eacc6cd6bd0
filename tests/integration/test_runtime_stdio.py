"""Standard streams at the runtime layer: pipes, the log, terminals; every byte, and in order."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import pty
import select
import socket
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from containerlib import ContainerRecipe
from containerlib.runtime import Stdio, connect
from containerlib.shim import read_log
from containerlib.spec.options import ContainerOptions, MountOption
from rig.bundles import Rack, log_of, until

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")


# ---- stdio ----


def test_stdout_of_64_mib_arrives_whole_at_a_slow_reader(rack: Rack) -> None:
    size = 64 << 20
    read_end, write_end = os.pipe()
    container = rack.create("head", "-c", str(size), "/dev/zero", stdio=Stdio(stdout=write_end), log=None)
    os.close(write_end)
    with open(read_end, "rb", buffering=0) as stream:
        time.sleep(0.1)
        assert container.supervisor.poll() is None, "a full pipe holds the program back"
        count = 0
        while data := stream.read(1 << 20):
            count += len(data)
    assert count == size
    assert container.finish().status.exit_code == 0


def test_stdout_of_8_mib_is_in_the_log_and_at_the_reader_alike(rack: Rack) -> None:
    read_end, write_end = os.pipe()
    script = "i=0; while [ $i -lt 400 ]; do head -c 20000 /dev/urandom; i=$((i+1)); done"
    container = rack.create("sh", "-c", script, stdio=Stdio(stdout=write_end))
    os.close(write_end)
    with open(read_end, "rb") as stream:
        data = stream.read()
    assert len(data) == 8_000_000
    assert container.finish().stdout == data


def test_reader_that_closes_early_does_not_end_the_container(rack: Rack) -> None:
    read_end, write_end = os.pipe()
    container = rack.create(
        "sh", "-c", "head -c 1000000 /dev/zero; echo done >&2", stdio=Stdio(stdout=write_end)
    )
    os.close(write_end)
    os.read(read_end, 10)
    os.close(read_end)
    done = container.finish()
    assert (done.status.exit_code, done.stderr, len(done.stdout)) == (0, b"done\n", 1_000_000)


def test_log_keeps_every_byte(rack: Rack, tmp_path: Path) -> None:
    content = bytes(range(256)) * 300 + b"\r\n\n\0last line without newline"
    tmp_path.joinpath("data").write_bytes(content)
    options = ContainerOptions(mounts=(MountOption("bind", "/data", str(tmp_path / "data")),))
    assert rack.run("cat", "/data", options=options).stdout == content


def test_log_tells_the_streams_apart_and_has_times_in_order(rack: Rack) -> None:
    container = rack.create(
        "sh", "-c", "for i in 1 2 3; do echo out$i; sleep 0.02; echo err$i >&2; sleep 0.02; done"
    )
    container.finish()
    records = list(read_log(container.directory))
    assert [(r.stream, r.text) for r in records] == [
        (stream, f"{stream[3:]}{i}") for i in (1, 2, 3) for stream in ("stdout", "stderr")
    ]
    assert [r.time for r in records] == sorted(r.time for r in records)


def test_stdin_passes_through_and_ends(rack: Rack) -> None:
    read_end, write_end = os.pipe()
    container = rack.create("md5sum", stdio=Stdio(stdin=read_end))
    os.close(read_end)
    with open(write_end, "wb") as stream:
        stream.write(b"x" * 5_000_000)
    assert container.finish().text.split()[0] == hashlib.md5(b"x" * 5_000_000).hexdigest()  # noqa: S324


def test_stdin_that_is_not_given_is_at_its_end(rack: Rack) -> None:
    assert rack.run("wc", "-c").text == "0"


def test_output_of_a_background_process_that_outlives_the_first_ends_with_it(rack: Rack) -> None:
    started = time.monotonic()
    done = rack.run("sh", "-c", "sleep 60 & echo started")
    assert done.text == "started"
    assert time.monotonic() - started < 10


# ---- the caller's own streams ----


class Stream:
    """One that the caller has and goes on using: `near` is given away, `far` is its other end."""

    def __init__(self, kind: str, *, reading: bool, blocking: bool) -> None:
        if kind == "pipe":
            ends = os.pipe() if reading else os.pipe()[::-1]
        elif kind == "terminal":
            ends = pty.openpty()[::-1]
            tty.setraw(ends[0])
        else:
            ends = tuple(end.detach() for end in socket.socketpair())  # type: ignore[assignment]
        self.near, self.far = ends
        os.set_blocking(self.near, blocking)

    @property
    def flags(self) -> int:
        return fcntl.fcntl(self.near, fcntl.F_GETFL)

    def read(self, size: int) -> bytes:
        found = b""
        while len(found) < size and select.select([self.far], [], [], 10.0)[0]:
            found += os.read(self.far, 65536)
        return found

    def close(self) -> None:
        os.close(self.near)
        os.close(self.far)


@pytest.fixture
def stream() -> Iterator[Callable[..., Stream]]:
    with contextlib.ExitStack() as stack:

        def make(kind: str, **words: bool) -> Stream:
            made = Stream(kind, **words)
            stack.callback(made.close)
            return made

        yield make


KINDS = pytest.mark.parametrize("kind", ["pipe", "socket", "terminal"])
BLOCKING = pytest.mark.parametrize("blocking", [True, False])


@KINDS
@BLOCKING
@pytest.mark.parametrize("on_a_terminal", [False, True])
def test_stdout_that_the_caller_goes_on_using_stays_as_it_is_and_gets_every_byte(
    rack: Rack, stream: Callable[..., Stream], kind: str, blocking: bool, on_a_terminal: bool
) -> None:
    """More than pipe, socket and terminal hold; and while they are full the supervisor still answers."""
    out = stream(kind, reading=False, blocking=blocking)
    before = out.flags
    container = rack.create(
        *("sh", "-c", "stty raw 2>/dev/null; head -c 1000000 /dev/zero; echo end"),
        stdio=Stdio(stdout=out.near),
        change=lambda spec: spec["process"].update(terminal=on_a_terminal),
        terminal=(24, 80) if on_a_terminal else None,
    )
    time.sleep(0.1)
    assert out.flags == before
    supervisor = connect(container.directory, patience=5.0)
    assert supervisor is not None
    supervisor.close()
    assert out.read(1_000_004) == bytes(1_000_000) + b"end\n"
    assert container.finish().stdout == bytes(1_000_000) + b"end\n"
    assert out.flags == before


@KINDS
@BLOCKING
def test_stdin_of_a_terminal_that_the_caller_goes_on_using_stays_as_it_is_and_is_read_whole(
    rack: Rack, stream: Callable[..., Stream], kind: str, blocking: bool
) -> None:
    keys = stream(kind, reading=True, blocking=blocking)
    before = keys.flags
    container = rack.create(
        *("sh", "-c", "stty raw -echo; echo ready; head -c 200000 | md5sum"),
        stdio=Stdio(stdin=keys.near),
        change=lambda spec: spec["process"].update(terminal=True),
        terminal=(24, 80),
    )
    until(lambda: b"ready" in log_of(container))
    assert keys.flags == before
    data, sent = os.urandom(200_000), 0
    while sent < len(data):
        sent += os.write(keys.far, data[sent : sent + 4096])
    assert container.finish().text.split()[1] == hashlib.md5(data).hexdigest()  # noqa: S324
    assert keys.flags == before


def test_master_of_a_terminal_as_stdout_is_written_to_itself(rack: Rack) -> None:
    """Opened anew it would be another terminal's."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    done = rack.run("echo", "typed", stdio=Stdio(stdout=master))
    assert os.read(slave, 100) == done.stdout == b"typed\n"
    os.close(master)
    os.close(slave)


def test_terminal_has_the_size_given_and_takes_another(rack: Rack) -> None:
    container = rack.create(
        "sh",
        "-c",
        "stty size; trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.02; done",
        change=lambda spec: spec["process"].update(terminal=True),
        terminal=(33, 99),
    )
    until(lambda: b"ready" in log_of(container))
    container.supervisor.resize(44, 111)
    assert container.finish().stdout.split() == [b"33", b"99", b"ready", b"44", b"111"]


def test_terminal_of_an_exec_is_a_terminal_inside(rack: Rack) -> None:
    container = rack.create("sleep", "60")
    with container.execute(
        "sh", "-c", "tty; stty size; [ -t 0 ] && echo yes", terminal=(12, 34)
    ) as supervisor:
        assert supervisor.terminal_fd is not None
        output = b""
        while True:
            try:
                data = os.read(supervisor.terminal_fd, 4096)
            except OSError:
                break
            output += data
        supervisor.wait(10.0)
        supervisor.finished()
    assert output.split() == [b"/dev/pts/0", b"12", b"34", b"yes"]


@pytest.mark.timeout(20)
def test_spawned_program_that_ended_before_its_output_was_read_is_closed_at_once(
    box: ContainerRecipe,
) -> None:
    """More than a pipe holds, and little enough that the supervisor's buffer has the rest."""
    with box.spawn("head", "-c", "150000", "/dev/zero"):
        time.sleep(0.3)
