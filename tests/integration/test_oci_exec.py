"""The runc-compatible command: another process in a running container."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from containerlib.spec.number_list import bits_of
from rig.bundles import until
from rig.oci import Bundle, Command, group_of, groups_left, status_of

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")


def test_exec_streams_and_status(oci: Command, running: str) -> None:
    answer = oci("exec", running, "sh", "-c", "cat; echo err >&2; exit 7", stdin=None, input="in")
    assert (answer.status, answer.stdout, answer.stderr) == (7, "in", "err\n")


def test_exec_killed_gives_128_and_the_signal(oci: Command, running: str) -> None:
    assert oci("exec", running, "sh", "-c", "kill -9 $$").status == 137


def test_exec_flags_reach_the_process(oci: Command, running: str) -> None:
    script = 'pwd; id -u; id -g; id -G; echo "$A"; grep -E "^(NoNewPrivs|CapBnd)" /proc/self/status; '
    script += "cat /proc/self/cgroup"
    flags = [
        "--cwd",
        "/tmp",
        "-e",
        "A=1=2",
        "-u",
        "5:6",
        "-g",
        "7",
        "--cap",
        "CAP_CHOWN",
        "--no-new-privs=false",
    ]
    lines = oci("exec", *flags, running, "sh", "-c", script).text.splitlines()
    assert lines[:5] == ["/tmp", "5", "6", "6 7", "1=2"]
    facts = dict(line.split(":\t") for line in lines[5:7])
    assert facts == {"NoNewPrivs": "0", "CapBnd": f"{1 << 0 | 1 << 5 | 1 << 10 | 1 << 29:016x}"}
    own = Path(f"/proc/{oci.state(running)['pid']}/cgroup").read_text().splitlines()
    inside = [line for line in lines[7:] if line.split(":")[1]]
    assert inside == [line for line in own if line.split(":")[1]]


def test_exec_variable_that_is_given_twice_is_there_once(oci: Command, running: str) -> None:
    lines = oci(
        "exec", "-e", "A=1", "-e", "TERM=other", "-e", "HOME=", "-e", "A=2", running, "env"
    ).text.split()
    assert [line for line in lines if line.startswith(("A=", "TERM=", "HOME="))] == [
        "TERM=other",
        "A=2",
        "HOME=/root",
    ]
    assert oci("exec", "-e", "PATH=/bin", "-e", "PATH=/nowhere", running, "env").status == 255


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("nope", 'exec: "nope": executable file not found in $PATH'),
        ("/nope", 'exec: "/nope": stat /nope: no such file or directory'),
        ("/tmp", 'exec: "/tmp": permission denied'),
    ],
)
def test_exec_what_cannot_be_run(oci: Command, running: str, program: str, words: str) -> None:
    answer = oci("exec", running, program)
    assert (answer.status, answer.message) == (
        255,
        f"exec failed: unable to start container process: {words}",
    )


def test_exec_detached_leaves_its_pid(oci: Command, running: str, tmp_path: Path) -> None:
    answer = oci.silently("exec", "--detach", "--pid-file", str(tmp_path / "pid"), running, "sleep", "50")
    answer.ok()
    pid = int((tmp_path / "pid").read_text())
    assert Path(f"/proc/{pid}/cmdline").read_bytes() == b"sleep\x0050\x00"
    assert pid in json.loads(oci("ps", "-f", "json", running).text)


@pytest.mark.parametrize("verb", ["run", "exec"])
def test_capability_that_cannot_be_given_is_a_warning_and_no_error(
    oci: Command, bundle: Bundle, verb: str
) -> None:
    """Spec: runtime-spec config.md#linux-process: it MUST be logged as a warning."""
    without = Command(["setpriv", "--bounding-set=-kill", *oci.words], oci.root)
    if verb == "run":
        answer = without("run", "--bundle", bundle("true"), "c1")
    else:
        oci.detach(bundle("sleep", "100"), "c1").ok()
        answer = without("exec", "c1", "true")
    assert answer.status == 0
    assert "bounding: CAP_KILL cannot be granted: the runtime does not have it itself" in answer.stderr


def test_exec_capability_that_does_not_exist_is_a_warning(oci: Command, running: str) -> None:
    answer = oci("exec", "--cap", "CAP_NOPE", running, "true")
    assert answer.status == 0
    assert "'CAP_NOPE' is not a capability, and is passed over" in answer.stderr


def test_exec_capability_that_is_given_is_no_warning(oci: Command, running: str) -> None:
    assert oci("exec", "--cap", "CAP_CHOWN", "--user", "5", running, "true").stderr == ""


def test_processes_have_the_cpus_of_their_group_and_not_their_callers(oci: Command, bundle: Bundle) -> None:
    """The caller is bound to one CPU, the container to none, and then to another CPU."""
    first, second, *_ = (*sorted(os.sched_getaffinity(0)), -1, -1)
    if second < 0:
        pytest.skip("one CPU alone")
    bound = Command(["taskset", "--cpu-list", str(first), *oci.words], oci.root)

    def few(spec: dict[str, Any]) -> None:
        spec["linux"]["resources"]["cpu"] = {"cpus": str(second)}

    for change, expected in ((None, os.sched_getaffinity(0)), (few, {second})):
        bound.detach(bundle("sleep", "100", change=change), "c1").ok()
        assert os.sched_getaffinity(oci.state("c1")["pid"]) == expected
        line = bound("exec", "c1", "grep", "Cpus_allowed_list", "/proc/self/status").text
        assert bits_of(line.split()[1], 8192) == sum(1 << cpu for cpu in expected)
        oci("delete", "--force", "c1").ok()


ADOPTER = """
import os, subprocess, sys
from containerlib._sys import native
native.become_subreaper()
file, line = sys.argv[1], sys.argv[2:]
quiet = dict(stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
for _ in range(20):
    subprocess.run(line, check=True, **quiet)
    pid = int(open(file).read())
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def test_exec_detached_its_end_is_heard_by_who_adopts_it(oci: Command, running: str, tmp_path: Path) -> None:
    """However fast it ends, as conmon and containerd's shim count on it."""
    line = oci.line("exec", "--detach", "--pid-file", tmp_path / "pid", running, "sh", "-c", "exit 5")
    done = subprocess.run(
        [sys.executable, "-c", ADOPTER, str(tmp_path / "pid"), *line],
        check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("5\n" * 20, "")


def test_exec_process_of_a_file(oci: Command, running: str, tmp_path: Path) -> None:
    process = {
        "args": ["sh", "-c", "pwd; env"],
        "cwd": "/proc",
        "env": ["PATH=/bin", "X=y"],
        "user": {"uid": 0, "gid": 0},
    }
    (tmp_path / "p.json").write_text(json.dumps(process))
    lines = oci("exec", "--process", tmp_path / "p.json", running).text.splitlines()
    assert lines[0] == "/proc"
    assert "X=y" in lines


def test_exec_in_a_paused_or_stopped_container_is_refused(oci: Command, running: str) -> None:
    oci("pause", running).ok()
    answer = oci("exec", running, "true")
    assert (answer.status, "cannot exec in a paused container" in answer.message) == (255, True)
    oci("resume", running).ok()
    oci("kill", running, "KILL").ok()
    until(lambda: status_of(oci, running) == "stopped")
    answer = oci("exec", running, "true")
    assert (answer.status, "cannot exec in a stopped container" in answer.message) == (255, True)


def waiting(oci: Command, container_id: str, *words: str) -> subprocess.Popen[str]:
    """An exec in the container, paused, whose process is in it, and frozen."""
    oci("pause", container_id).ok()
    process = oci.start("exec", "--ignore-paused", *words, stdout=subprocess.PIPE)
    until(lambda: len(pids(oci, container_id)) > 1)
    return process


def pids(oci: Command, container_id: str) -> list[int]:
    found: list[int] = json.loads(oci("ps", "-f", "json", container_id).text)
    return found


@pytest.mark.vm
def test_exec_in_a_paused_container_waits_for_its_resume(oci: Command, running: str) -> None:
    with waiting(oci, running, running, "sh", "-c", "cat /proc/uptime; exit 7") as process:
        assert process.stdout is not None
        assert not select.select([process.stdout], [], [], 0.3)[0]
        resumed = float(Path("/proc/uptime").read_text().split()[0])
        oci("resume", running).ok()
        assert float(process.stdout.read().split()[0]) >= resumed
        assert process.wait(20) == 7


def test_exec_detached_in_a_paused_container_is_told_of_at_its_resume(
    oci: Command, running: str, tmp_path: Path
) -> None:
    file = tmp_path / "pid"
    with waiting(oci, running, "--detach", "--pid-file", str(file), running, "sleep", "50") as process:
        assert process.poll() is None
        assert not file.exists()
        oci("resume", running).ok()
        assert process.wait(20) == 0
        assert Path(f"/proc/{file.read_text()}/cmdline").read_bytes() == b"sleep\x0050\x00"


@pytest.mark.parametrize("words", [(), ("--detach",)])
def test_exec_killed_before_the_resume_is_never_run(
    oci: Command, running: str, tmp_path: Path, words: tuple[str, ...]
) -> None:
    with waiting(oci, running, *words, running, "sleep", "50") as process:
        process.kill()
    oci("resume", running).ok()
    until(lambda: pids(oci, running) == [oci.state(running)["pid"]])


def test_exec_in_a_paused_container_that_is_killed_ends(oci: Command, running: str) -> None:
    """Refused, or killed where the thaw that lets the container die has let it begin."""
    with waiting(oci, running, running, "sleep", "50") as process:
        oci("kill", running, "KILL").ok()
        assert process.wait(20) in (255, 137)
    until(lambda: status_of(oci, running) == "stopped")
    assert pids(oci, running) == []


def test_exec_passes_signals_on(oci: Command, running: str) -> None:
    script = "trap 'exit 9' TERM; echo ready; while :; do sleep 0.01; done"
    with oci.start("exec", running, "sh", "-c", script, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.terminate()
        assert process.wait(20) == 9


# ---- in groups below ----


@pytest.mark.vm
def test_exec_in_a_group_below_the_container_s(oci: Command, bundle: Bundle) -> None:
    made = bundle("sleep", "100")
    oci.detach(made, "c1").ok()
    for directory in groups_left(made):
        (directory / "below").mkdir()
        for name in ("cpuset.cpus", "cpuset.mems"):  # v1's are empty, and take no process so
            if directory.parent.name == "cpuset":
                (directory / "below" / name).write_text((directory / name).read_text())
    own = f"{group_of(made)}/below"
    lines = oci("exec", "--cgroup", "below", "c1", "cat", "/proc/self/cgroup").text.splitlines()
    v1 = Path("/sys/fs/cgroup/pids").is_dir()
    assert {line.split(":")[2] for line in lines if not v1 or is_mounted(line.split(":")[1])} == {own}
    if v1:  # each controller has a place of its own
        lines = oci("exec", "--cgroup", "pids:below", "c1", "cat", "/proc/self/cgroup").text.splitlines()
        assert [line for line in lines if line.endswith("/below")] == [
            line for line in lines if ":pids:" in line
        ]


def is_mounted(controllers: str) -> bool:
    """Not those of a hierarchy that is in a mount namespace of somebody else's, nor of systemd's."""
    return bool(controllers) and Path("/sys/fs/cgroup", controllers).is_dir()


@pytest.mark.parametrize("place", ["missing", "../..", "nosuch:below", "a/../b"])
def test_exec_in_a_group_that_is_not_there_is_refused(oci: Command, running: str, place: str) -> None:
    answer = oci("exec", "--cgroup", place, running, "true")
    assert (answer.status, "--cgroup" in answer.message) == (255, True)
