"""Numbers of processes that have ended and are somebody else's by now: cgroup v1 knows processes by nothing else."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from containerlib.runtime.order import supervise
from containerlib.runtime.plan import ops
from containerlib.runtime.plan.op import Plan
from rig.bundles import until

pytestmark = pytest.mark.privileged("CAP_KILL: would kill another's process")


@contextmanager
def group(directory: Path, listed: Callable[[int], str]) -> Iterator[Path]:
    """A directory like a control group's, whose list of processes is another each time that it is read."""
    file = directory / "cgroup.procs"
    os.mkfifo(file)
    done = threading.Event()

    def tell() -> None:
        turn = 0
        while not done.is_set():
            with file.open("w") as writer:  # waits for who reads
                writer.write(listed(turn))
            turn += 1
            time.sleep(0.005)  # the reader finds the end before the next turn

    teller = threading.Thread(target=tell)
    teller.start()
    yield directory
    done.set()
    while teller.is_alive():
        os.close(os.open(file, os.O_RDONLY | os.O_NONBLOCK))
        teller.join(0.01)


def end_a_container_of(group_directory: Path, directory: Path) -> None:
    """One of a program that does nothing, and whose group is that directory."""
    plan = Plan((ops.exec_(["/bin/true"], [], ""),), (ops.cgroup_kill(str(group_directory)),))
    with supervise(
        plan, directory=str(directory), subject=None, owned=True, stdio=None, flags=0, terminal=None
    ) as supervisor:
        supervisor.wait(10.0)
        supervisor.finished()


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def test_process_that_has_the_number_of_one_that_ended_is_not_killed(
    tmp_path: Path, stranger: subprocess.Popen[bytes]
) -> None:
    """The group's list names it once: what ended was reaped behind that, and its number given to the stranger."""
    with group(tmp_path, lambda turn: f"{stranger.pid}\n" if turn == 0 else "") as directory:
        end_a_container_of(directory, tmp_path)
    assert stranger.poll() is None


def test_process_that_stays_in_the_group_is_killed(tmp_path: Path, stranger: subprocess.Popen[bytes]) -> None:
    with group(tmp_path, lambda _: f"{stranger.pid}\n" if stranger.poll() is None else "") as directory:
        end_a_container_of(directory, tmp_path)
    until(lambda: stranger.poll() is not None)
