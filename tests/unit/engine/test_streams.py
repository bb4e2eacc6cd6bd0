"""The loop between a program and its caller, with a child of ours in place of the container."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest

from containerlib._sys.steps import Steps, finish
from containerlib.engine.streams import Pipes, communicate, log_tail
from containerlib.errors import Timeout
from containerlib.runtime import Supervisor
from containerlib.spec.status import ExitStatus


class ChildSupervisor:
    """What `communicate` needs of a Supervisor, over a child process of this one."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self._child = child
        self._pidfd = os.pidfd_open(child.pid)

    def fileno(self) -> int:
        return self._pidfd

    def poll(self) -> ExitStatus | None:
        code = self._child.poll()
        return None if code is None else ExitStatus(code if code >= 0 else 128 - code)

    def close(self) -> None:
        os.close(self._pidfd)


@contextmanager
def started(code: str, *, stdin: bool = False) -> Iterator[tuple[Supervisor, Pipes]]:
    with Pipes(stdin=stdin) as pipes:
        ends = pipes.child
        child = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.DEVNULL if ends.stdin is None else ends.stdin,
            stdout=ends.stdout,
            stderr=ends.stderr,
        )
        pipes.close_child()
        supervisor = ChildSupervisor(child)
        try:
            yield cast(Supervisor, supervisor), pipes
        finally:
            child.kill()
            child.wait()
            supervisor.close()


def test_communicate_streams_kept_apart_and_whole() -> None:
    code = "import os\nfor n in range(3000): os.write(1, b'o' * 100); os.write(2, b'e' * 50)"
    with started(code) as (supervisor, pipes):
        status, stdout, stderr = finish(communicate(supervisor, pipes, None, None, "child"))
    assert (status.exit_code, stdout, stderr) == (0, b"o" * 300_000, b"e" * 150_000)


def test_communicate_input_larger_than_pipe_comes_back() -> None:
    data = os.urandom(5_000_000)
    code = "import shutil, sys; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)"
    with started(code, stdin=True) as (supervisor, pipes):
        status, stdout, _ = finish(communicate(supervisor, pipes, data, None, "child"))
    assert (status.exit_code, stdout == data) == (0, True)


@pytest.mark.parametrize("data", [b"", b"x"])
def test_communicate_input_ends(data: bytes) -> None:
    with started("import sys; print(sys.stdin.read(), end='')", stdin=True) as (supervisor, pipes):
        assert finish(communicate(supervisor, pipes, data, None, "child"))[1] == data


def test_communicate_program_that_does_not_read_is_no_failure() -> None:
    with started("import os; os.close(0)", stdin=True) as (supervisor, pipes):
        status, _, _ = finish(communicate(supervisor, pipes, b"x" * 1_000_000, None, "child"))
    assert status.exit_code == 0


def test_communicate_deadline_raises_with_last_lines() -> None:
    code = "import sys, time\nfor n in range(20): print('line', n, flush=True)\ntime.sleep(60)"
    with started(code) as (supervisor, pipes), pytest.raises(Timeout, match="container 'x'") as caught:
        finish(communicate(supervisor, pipes, None, time.monotonic() + 0.5, "container 'x'"))
    assert caught.value.log_tail == tuple(f"line {n}" for n in range(10, 20))


def test_communicate_no_thread_is_started() -> None:
    before = threading.active_count()
    with started("import time; time.sleep(0.2)") as (supervisor, pipes):
        seen: list[int] = []
        timer = threading.Timer(0.05, lambda: seen.append(threading.active_count()))
        timer.start()
        finish(communicate(supervisor, pipes, None, None, "child"))
        timer.join()
    assert seen == [before + 1]


def test_pipes_every_end_closed() -> None:
    before = open_descriptors()
    with Pipes(stdin=True) as pipes:
        os.close(pipes.take("stdout"))
    assert open_descriptors() == before


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_log_tail_control_characters_escaped() -> None:
    assert log_tail(b"", b"\x1b[2Jgone\n") == ["\\x1b[2Jgone"]


def test_communicate_full_pipe_is_widened_before_it_fills_again() -> None:
    code = "import os\nwrite = os.write\nfor n in range(64): write(1, bytes(65536))"
    sizes = set()

    def watched(steps: Steps[tuple[ExitStatus, bytes, bytes]], pipes: Pipes) -> Steps[bytes]:
        answer = None
        while True:
            try:
                answer = yield steps.send(answer)
            except StopIteration as end:
                return cast(bytes, end.value[1])
            if pipes.stdout in answer:
                time.sleep(0.001)  # the program fills what there is
                sizes.add(fcntl.fcntl(pipes.stdout, fcntl.F_GETPIPE_SZ))

    with started(code) as (supervisor, pipes):
        stdout = finish(watched(communicate(supervisor, pipes, None, None, "child"), pipes))
    assert len(stdout) == 64 * 65536
    assert max(sizes) == 1 << 20
