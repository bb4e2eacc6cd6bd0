"""Containers that no shim stays with: their process is for whoever adopts orphans."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from containerlib._sys.native import become_subreaper
from containerlib._sys.processes import start_time
from containerlib.errors import Conflict, StageError
from containerlib.runtime import Stdio
from containerlib.runtime.launch import execute
from containerlib.runtime.unsupervised import start_unsupervised
from rig.bundles import Bundled, Rack, until

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

PR_SET_CHILD_SUBREAPER = 36


@pytest.fixture(autouse=True)
def subreaper() -> Iterator[None]:
    become_subreaper()
    yield
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def create(rack: Rack, *argv: str, **words: object) -> Bundled:
    container = rack.create(*argv, owned=False, hold=True, unsupervised=True, **words)
    container.supervisor.finished()
    return container


def reap(container: Bundled) -> int:
    """The exit code of the container's process, a child of ours by now."""
    _, status = os.waitpid(container.supervisor.pid, 0)
    return os.waitstatus_to_exitcode(status)


def test_created_container_is_a_child_of_the_subreaper_and_waits(rack: Rack) -> None:
    container = create(rack, "sh", "-c", "exit 5")
    stat = Path(f"/proc/{container.supervisor.pid}/stat").read_text()
    assert int(stat.rpartition(")")[2].split()[1]) == os.getpid()
    assert Path(f"/proc/{container.supervisor.pid}/comm").read_text() == "containerlib\n"
    start_unsupervised(container.directory, container.spec)
    assert reap(container) == 5


def test_started_container_says_where_it_runs_when_the_start_returns(rack: Rack) -> None:
    container = create(rack, "sleep", "60")
    start_unsupervised(container.directory, container.spec)
    assert Path(f"/proc/{container.supervisor.pid}/comm").read_text() == "sleep\n"
    os.kill(container.supervisor.pid, signal.SIGKILL)
    assert reap(container) == -signal.SIGKILL


def test_second_start_conflicts(rack: Rack) -> None:
    container = create(rack, "sleep", "60")
    start_unsupervised(container.directory, container.spec)
    with pytest.raises(Conflict, match="not waiting"):
        start_unsupervised(container.directory, container.spec)
    os.kill(container.supervisor.pid, signal.SIGKILL)
    reap(container)


def test_start_of_a_created_container_that_was_killed_conflicts(rack: Rack) -> None:
    container = create(rack, "sleep", "60")
    os.kill(container.supervisor.pid, signal.SIGKILL)
    assert reap(container) == -signal.SIGKILL
    with pytest.raises(Conflict):
        start_unsupervised(container.directory, container.spec)


def test_start_whose_program_went_away_says_so(rack: Rack) -> None:
    container = create(rack, "/bin/program", lowers=(program(rack),))
    Path(container.directory, "upper/bin").mkdir(parents=True, exist_ok=True)
    (Path(f"/proc/{container.supervisor.pid}/root/bin/program")).unlink()
    with pytest.raises(StageError, match="/bin/program: ENOENT") as caught:
        start_unsupervised(container.directory, container.spec)
    assert caught.value.exit_code == 127
    assert reap(container) == 125


def program(rack: Rack) -> Path:
    layer = rack.directory / "layer"
    (layer / "bin").mkdir(parents=True)
    (layer / "bin/program").write_text("#!/bin/sh\n")
    (layer / "bin/program").chmod(0o755)
    return layer


def test_missing_program_fails_at_create_and_leaves_nothing_to_reap(rack: Rack) -> None:
    with pytest.raises(StageError) as caught:
        create(rack, "/no/such")
    assert caught.value.exit_code == 127
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_output_goes_where_the_caller_says(rack: Rack) -> None:
    reading, writing = os.pipe()
    container = create(
        rack, "sh", "-c", "echo out; echo err >&2", stdio=Stdio(stdout=writing, stderr=writing)
    )
    os.close(writing)
    start_unsupervised(container.directory, container.spec)
    reap(container)
    with os.fdopen(reading) as file:
        assert file.read() == "out\nerr\n"
    assert not Path(container.directory, "log").exists()


def test_preserved_descriptors_are_the_programs_from_three_on_and_no_others(rack: Rack) -> None:
    pipes = [os.pipe() for _ in range(3)]
    reading, writing = os.pipe()
    listing = "for n in 3 4 5; do echo $n >&$n; done; ls /proc/self/fd"
    container = create(
        rack,
        "sh",
        "-c",
        listing,
        stdio=Stdio(stdout=writing, stderr=writing),
        preserve=[end for _, end in pipes],
    )
    for end in (writing, *(end for _, end in pipes)):
        os.close(end)
    start_unsupervised(container.directory, container.spec)
    reap(container)
    for number, (end, _) in enumerate(pipes, 3):
        with os.fdopen(end) as file:
            assert file.read() == f"{number}\n"
    with os.fdopen(reading) as file:
        assert file.read().split() == ["0", "1", "2", "3", "4", "5", "6"], "6 is what ls reads"


def test_exec_that_nobody_supervises_is_the_subreapers_too(rack: Rack) -> None:
    container = create(rack, "sleep", "60")
    start_unsupervised(container.directory, container.spec)

    pid = container.supervisor.pid
    process = {**container.spec["process"], "args": ["sh", "-c", "exit 6"]}
    supervisor = execute(
        container.directory,
        container.spec,
        process,  # type: ignore[arg-type]
        cgroup=container.cgroup,
        owned=False,
        unsupervised=True,
        target=(pid, start_time(pid)),
    )
    supervisor.finished()
    supervisor.close()
    _, status = os.waitpid(supervisor.pid, 0)
    assert os.waitstatus_to_exitcode(status) == 6
    os.kill(pid, signal.SIGKILL)
    reap(container)


def test_start_request_that_is_dropped_does_not_start(rack: Rack) -> None:
    container = create(rack, "sh", "-c", "exit 3")
    for _ in range(3):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as channel:
            fd = os.open(container.directory, os.O_PATH)
            channel.connect(f"/proc/self/fd/{fd}/start.sock")
            os.close(fd)
    until(lambda: Path(f"/proc/{container.supervisor.pid}/comm").read_text() == "containerlib\n")
    start_unsupervised(container.directory, container.spec)
    assert reap(container) == 3
