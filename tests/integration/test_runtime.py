"""The runtime layer alone, on a bundle: OCI's verbs, exits, processes, and what a failure leaves."""

from __future__ import annotations

import errno
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from containerlib.errors import Conflict, StageError
from containerlib.runtime import connect, state
from containerlib.shim import read_exit
from containerlib.spec.lifecycle import State
from containerlib.spec.options import ContainerOptions, Limits
from rig.bundles import Rack, log_of, shim_of, until

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")


# ---- the verbs ----


def test_created_container_runs_only_after_start(rack: Rack) -> None:
    container = rack.create("sh", "-c", "echo ran", hold=True)
    assert state(container.directory) is State.CREATED
    time.sleep(0.05)
    assert log_of(container) == b""
    container.supervisor.start()
    assert container.finish().text == "ran"
    assert state(container.directory) is State.STOPPED


def test_created_container_has_the_pid_that_the_kernel_says(rack: Rack) -> None:
    container = rack.create("sleep", "60", hold=True)
    comm = Path(f"/proc/{container.supervisor.pid}/comm")
    assert comm.read_text() == "containerlib\n"
    container.supervisor.start()
    until(lambda: comm.read_text() == "sleep\n")


def test_started_container_refuses_another_start(rack: Rack) -> None:
    container = rack.create("sleep", "60", hold=True)
    container.supervisor.start()
    with pytest.raises(Conflict):
        container.supervisor.start()


def test_created_container_that_is_killed_is_stopped_with_the_signal(rack: Rack) -> None:
    container = rack.create("sleep", "60", hold=True)
    container.supervisor.signal(signal.SIGKILL)
    status = container.finish().status
    assert (status.exit_code, status.signal) == (137, signal.SIGKILL)
    assert state(container.directory) is State.STOPPED


def test_created_container_whose_program_is_missing_fails_at_create(rack: Rack) -> None:
    with pytest.raises(StageError) as caught:
        rack.create("/no/such", hold=True)
    assert caught.value.exit_code == 127


def test_running_container_that_is_signalled_ends_with_its_own_exit_code(rack: Rack) -> None:
    container = rack.create("sh", "-c", "trap 'exit 42' TERM; echo ready; while :; do sleep 0.02; done")
    until(lambda: log_of(container) == b"ready\n")
    assert state(container.directory) is State.RUNNING
    container.supervisor.signal(signal.SIGTERM)
    status = container.finish().status
    assert (status.exit_code, status.signal) == (42, None)
    assert read_exit(container.directory) == status


def test_ended_container_refuses_a_signal(rack: Rack) -> None:
    container = rack.create("true")
    container.finish()
    with pytest.raises(Conflict):
        container.supervisor.signal(signal.SIGTERM)


def test_ended_container_refuses_an_exec(rack: Rack) -> None:
    container = rack.create("true")
    container.finish()
    with pytest.raises(Conflict):
        container.output("true")


@pytest.mark.parametrize("code", [0, 1, 7, 126, 127, 128, 137, 143, 254, 255])
def test_exit_code_is_exact(rack: Rack, code: int) -> None:
    status = rack.run("sh", "-c", f"exit {code}").status
    assert (status.exit_code, status.signal, status.oom_killed) == (code, None, False)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGABRT])
def test_signal_that_ends_an_exec_is_exact(rack: Rack, number: int) -> None:
    container = rack.create("sleep", "60")
    status = container.output("sh", "-c", f"kill -{int(number)} $$").status
    assert (status.exit_code, status.signal) == (128 + number, number)


def test_signal_that_ends_the_first_process_is_exact(rack: Rack) -> None:
    container = rack.create("sleep", "60")
    os.kill(container.supervisor.pid, signal.SIGKILL)  # from outside: from inside none would reach it
    status = container.finish().status
    assert (status.exit_code, status.signal) == (137, signal.SIGKILL)


def test_container_over_a_memory_limit_is_an_oom_kill(rack: Rack) -> None:
    options = ContainerOptions(limits=Limits(memory_bytes=16 << 20, swap_bytes=0))
    status = rack.run("dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1", options=options).status
    assert (status.signal, status.oom_killed) == (signal.SIGKILL, True)


def test_container_killed_by_hand_under_a_memory_limit_is_no_oom_kill(rack: Rack) -> None:
    container = rack.create("sleep", "60", options=ContainerOptions(limits=Limits(memory_bytes=16 << 20)))
    container.supervisor.signal(signal.SIGKILL)
    assert container.finish().status.oom_killed is False


def test_container_at_its_pids_limit_cannot_fork(rack: Rack) -> None:
    options = ContainerOptions(limits=Limits(pids=3))
    done = rack.run("sh", "-c", "for i in 1 2 3 4; do sleep 1 & done; echo no", options=options)
    assert b"can't fork" in done.stderr


def test_paused_container_that_is_killed_ends(rack: Rack) -> None:
    container = rack.create("sleep", "60")
    container.cgroup.freeze()
    assert state(container.directory, container.cgroup) is State.PAUSED
    container.supervisor.signal(signal.SIGKILL, everyone=True)
    container.cgroup.thaw()
    assert container.finish().status.signal == signal.SIGKILL


# ---- what fails leaves nothing ----


def program(layer: Path, content: bytes, mode: int = 0o755) -> Path:
    """A layer with /bin/program."""
    layer.joinpath("bin").mkdir(parents=True)
    layer.joinpath("bin/program").write_bytes(content)
    layer.joinpath("bin/program").chmod(mode)
    return layer


def test_program_that_is_missing_is_127(rack: Rack) -> None:
    with pytest.raises(StageError) as caught:
        rack.create("/bin/program")
    assert (caught.value.stage, caught.value.errno, caught.value.exit_code) == ("exec", errno.ENOENT, 127)
    assert "/bin/program" in str(caught.value)


def test_program_without_the_mode_to_execute_is_126(rack: Rack, tmp_path: Path) -> None:
    with pytest.raises(StageError) as caught:
        rack.create("/bin/program", lowers=(program(tmp_path / "layer", b"#!/bin/sh\n", 0o644),))
    assert (caught.value.stage, caught.value.errno, caught.value.exit_code) == ("exec", errno.EACCES, 126)


@pytest.mark.parametrize("content", [b"no program", b"", b"\x7fELF"])
def test_program_in_no_known_format_is_126(rack: Rack, tmp_path: Path, content: bytes) -> None:
    with pytest.raises(StageError) as caught:
        rack.create("/bin/program", lowers=(program(tmp_path / "layer", content),))
    assert (caught.value.stage, caught.value.errno, caught.value.exit_code) == ("exec", errno.ENOEXEC, 126)


def test_program_whose_interpreter_is_missing_is_127(rack: Rack, tmp_path: Path) -> None:
    with pytest.raises(StageError) as caught:
        rack.create("/bin/program", lowers=(program(tmp_path / "layer", b"#!/no/interpreter\n"),))
    assert (caught.value.stage, caught.value.errno, caught.value.exit_code) == ("exec", errno.ENOENT, 127)


def test_directory_as_program_is_not_executable(rack: Rack) -> None:
    with pytest.raises(StageError) as caught:
        rack.create("/bin")
    assert caught.value.exit_code == 126


def broken(spec: dict[str, Any], what: str) -> None:
    match what:
        case "mount":
            spec["mounts"].append({"destination": "/x", "type": "nosuchfs", "source": "x"})
        case "bind":
            spec["mounts"].append(
                {"destination": "/x", "type": "bind", "source": "/no/such", "options": ["bind"]}
            )
        case "rlimit":
            spec["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 10, "hard": 5}]
        case "chdir":
            spec["process"]["cwd"] = "/bin/busybox"
        case "exec":
            spec["process"]["args"] = ["nosuch"]


@pytest.mark.parametrize("stage", ["mount", "bind", "rlimit", "chdir", "exec"])
def test_create_that_fails_leaves_no_process_cgroup_or_record(rack: Rack, stage: str) -> None:
    mounts = Path("/proc/self/mountinfo").read_text().count(str(rack.directory))
    with pytest.raises(StageError) as caught:
        rack.create("true", name="failing", change=lambda spec: broken(spec, stage))
    assert caught.value.stage == stage
    directory = rack.directory / "failing"
    assert sorted(p.name for p in directory.iterdir() if p.name != "log") == [
        "config.json",
        "rootfs",
        "upper",
        "work",
    ]
    group = json.loads(directory.joinpath("config.json").read_text())["linux"]["cgroupsPath"]
    assert list(Path("/sys/fs/cgroup").glob(f"*{group}")) == []
    assert Path("/proc/self/mountinfo").read_text().count(str(rack.directory)) == mounts
    assert rack.run("true").status.exit_code == 0


@pytest.mark.parametrize("argv", [("nosuch",), ("/bin",)])
def test_exec_that_fails_leaves_the_container_and_its_groups_alone(rack: Rack, argv: tuple[str, ...]) -> None:
    container = rack.create("sleep", "60")
    before = container.cgroup.pids()
    with pytest.raises(StageError) as caught:
        container.output(*argv)
    assert caught.value.stage == "exec"
    assert container.cgroup.pids() == before
    assert container.output("true").status.exit_code == 0


# ---- processes ----


def test_orphans_of_the_container_are_killed_with_it(rack: Rack) -> None:
    container = rack.create("sh", "-c", "for i in 1 2 3 4 5; do (setsid sleep 600 &) ; done; sleep 0.2")
    pids = container.cgroup.pids()
    assert container.finish().status.exit_code == 0
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    assert container.cgroup.pids() == ()


def test_container_that_forks_many_and_reaps_none_ends_clean(rack: Rack) -> None:
    done = rack.run("sh", "-c", "i=0; while [ $i -lt 300 ]; do (:) & i=$((i+1)); done; echo forked")
    assert (done.status.exit_code, done.text) == (0, "forked")


def test_exec_that_leaves_a_daemon_behind_ends_by_itself(rack: Rack) -> None:
    container = rack.create("sleep", "60")
    started = time.monotonic()
    done = container.output("sh", "-c", "setsid sleep 50 >/dev/null 2>&1 & echo done")
    assert done.text == "done"
    assert time.monotonic() - started < 5
    assert b"sleep" in container.output("cat", "/proc/1/comm").stdout
    assert "sleep 50" in container.output("ps").text


def test_shim_that_is_killed_takes_its_container_with_it(rack: Rack) -> None:
    container = rack.create("sleep", "600", owned=False)
    os.kill(shim_of(container), signal.SIGKILL)
    until(lambda: state(container.directory) is State.STOPPED)
    assert connect(container.directory) is None
    assert container.supervisor.wait(5.0).exit_code == 137
    container.cgroup.kill()
    container.cgroup.remove()


def test_first_process_killed_before_its_program_ran_is_lost_and_not_started(rack: Rack) -> None:
    with pytest.raises(StageError) as caught:
        rack.create("true", options=ContainerOptions(limits=Limits(memory_bytes=16 << 10, swap_bytes=0)))
    assert caught.value.stage == "lost"
    assert "memory limit" in str(caught.value)
