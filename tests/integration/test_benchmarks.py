"""Benchmarks that are ended by a signal leave nothing, whatever was under way."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.ending import Ended
from benchmarks.runner import Runner

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers and mount namespaces")

TESTS = Path(__file__).parents[1]
PROGRAMS = {"podman": "podman", "crun": "crun", "dockerd": "docker.io", "iperf3": "iperf3", "cc": "gcc"}
PLACES = (Path("/tmp"), Path("/dev/shm"), Path("/run"))


def left(pid: int) -> Iterator[str]:
    """What has a name of that process: directories, groups, mounts."""
    name = f"containerlib-bench-{pid}"
    yield from (str(path) for place in PLACES for path in place.glob(f"{name}*"))
    yield from (path for path, _, _ in os.walk("/sys/fs/cgroup") if name in path)
    yield from (line for line in Path("/proc/self/mountinfo").read_text().splitlines() if name in line)


def told(words: str) -> list[str]:
    """The command lines of processes that have the words in them."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            line = entry.joinpath("cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if words in line:
            found.append(line)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("moment", ["crun", "podman", "log", "network", "dockerd"])
def test_benchmarks_that_are_ended_leave_nothing(
    number: signal.Signals, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for program, package in PROGRAMS.items():
        if shutil.which(program) is None:
            pytest.skip(f"no {program}: install {package}")
    monkeypatch.setenv("TMPDIR", "/tmp")
    figure = {"log": "logs", "network": "network_many", "dockerd": "network_start"}.get(moment, "run")
    command = [sys.executable, "-m", "benchmarks", "--rounds", "1", figure]
    variables = {**os.environ, "PYTHONPATH": str(TESTS), "PYTHONSAFEPATH": "1"}
    waited = {
        "crun": "/tmp/{}-*/crun",
        "podman": "/run/{}-*/overlay",
        "log": "/tmp/{}-*/their-gate",
        "network": "/tmp/{}-*/host-*/root/containers/*/log",
        "dockerd": "/tmp/{}-*/host-*/docker/socket",
    }
    with subprocess.Popen(command, env=variables, stderr=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        pattern = waited[moment].format(f"containerlib-bench-{process.pid}")
        deadline = time.monotonic() + 120
        while not list(Path("/").glob(pattern[1:])):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(number)
        process.communicate(timeout=120)
    assert process.returncode == -number
    assert list(left(process.pid)) == []
    assert told(f"containerlib-bench-{process.pid}") == []


def test_runner_that_is_interrupted_answers_the_next_request() -> None:
    def end(*_: object) -> None:
        raise Ended

    runner, handler = Runner(), signal.signal(signal.SIGUSR1, end)
    try:
        with pytest.raises(Ended):
            runner.run("sh", "-c", f"kill -USR1 {os.getpid()}; echo last; exec sleep 98765")
        assert told("sleep 98765") == []
        assert runner.run("echo", "next").output == "next\n"
    finally:
        signal.signal(signal.SIGUSR1, handler)
        runner.close()
