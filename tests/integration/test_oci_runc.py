"""The same bundles and the same commands under runc and under us: exit statuses, messages and output."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rig.bundles import until
from rig.oci import Answer, Bundle, Command, group_of, groups_left

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

NAMES = ("containerlib-oci", "runc")


@pytest.fixture
def runc(tmp_path: Path) -> Iterator[Command]:
    if shutil.which("runc") is None:
        pytest.skip("no runc: install runc")
    with Command(("runc",), tmp_path / "runc-state") as command:
        yield command


@pytest.fixture
def both(oci: Command, runc: Command) -> tuple[Command, Command]:
    return oci, runc


def alike(ours: Answer, theirs: Answer) -> None:
    """The same status; runc's message is the beginning of ours, which says more."""
    assert ours.status == theirs.status, (ours, theirs)
    if theirs.status and theirs.stderr:
        expected = theirs.message.replace("runc create", "containerlib-oci create").replace(
            "runc run", "containerlib-oci run"
        )
        assert ours.message.startswith(expected)


MISUSES = [
    ("state",), ("state", "a", "b"), ("state", "nope"), ("state", "--bogus", "x"), ("kill", "nope"), ("kill",),
    ("delete", "nope"), ("delete", "-f", "nope"), ("start", "nope"), ("ps", "nope"), ("pause", "nope"),
    ("resume", "nope"), ("update", "nope"), ("events", "nope"), ("exec", "nope", "true"), ("list", "-f", "xml"),
    ("create", "-b", "/nonexistent", "x"), ("run", "-b", "/nonexistent", "x"), ("spec", "-b", "/nonexistent"),
    ("create", "--preserve-fds", "x", "c"), ("bogus",),
]  # fmt: skip


@pytest.mark.parametrize("words", MISUSES, ids=" ".join)
def test_misuse(both: tuple[Command, Command], words: tuple[str, ...]) -> None:
    ours, theirs = (command(*words) for command in both)
    assert ours.status == theirs.status
    expected = theirs.message.rstrip("\n") if theirs.stderr else ""
    for name in ("create", "run"):
        expected = expected.replace(f"runc {name}", f"containerlib-oci {name}")
    expected = expected.replace("runc:", "containerlib-oci:")
    assert (ours.message if ours.stderr else "").startswith(expected)


PROGRAMS = [
    ["nope"],
    ["/nope"],
    ["/tmp"],
    ["sh", "-c", "exit 3"],
    ["true"],
    ["sh", "-c", "kill -TERM $$; sleep 1"],
]


@pytest.mark.parametrize("argv", PROGRAMS, ids=" ".join)
def test_run_ends_alike(both: tuple[Command, Command], bundle: Bundle, argv: list[str]) -> None:
    made = bundle(*argv)
    alike(*(command("run", "--bundle", made, "c1") for command in both))
    assert [list(command.root.iterdir()) for command in both] == [[], []]


@pytest.mark.parametrize(
    "argv",
    [("nope",), ("/nope",), ("/tmp",), ("sh", "-c", "exit 7"), ("sh", "-c", "kill -9 $$")],
    ids=" ".join,
)
def test_exec_ends_alike(both: tuple[Command, Command], bundle: Bundle, argv: tuple[str, ...]) -> None:
    answers = []
    for command in both:
        command.detach(bundle("sleep", "100"), "c1").ok()
        answers.append(command("exec", "c1", *argv))
    alike(*answers)


@pytest.mark.parametrize(
    "flags", [(), ("-u", "5:6"), ("-u", "5", "-g", "7"), ("--cap", "CAP_SYS_ADMIN"), ("--cwd", "/tmp")]
)
def test_exec_process_is_alike(both: tuple[Command, Command], bundle: Bundle, flags: tuple[str, ...]) -> None:
    facts = "pwd; id -u; id -g; id -G; umask; env | sort; ls /proc/self/fd; "
    facts += "grep -E '^(Cap|NoNew|Seccomp:)' /proc/self/status"
    answers = []
    for command in both:
        command.detach(bundle("sleep", "100"), "c1").ok()
        answers.append(command("exec", *flags, "c1", "sh", "-c", facts).text)
    assert answers[0] == answers[1]


def test_exec_capability_that_is_inheritable_becomes_ambient(
    both: tuple[Command, Command], bundle: Bundle
) -> None:
    def change(spec: dict[str, Any]) -> None:
        spec["process"]["capabilities"]["inheritable"] = ["CAP_KILL"]

    flags = ("--cap", "CAP_KILL", "--cap", "CAP_SYS_ADMIN", "--user", "5")
    answers = []
    for command in both:
        command.detach(bundle("sleep", "100", change=change), "c1").ok()
        answers.append(command("exec", *flags, "c1", "grep", "^Cap", "/proc/self/status").text)
    assert answers[0] == answers[1]
    assert f"CapAmb:\t{1 << 5:016x}\n" in answers[0]


@pytest.mark.parametrize(
    "more", [["A=1", "B=1", "A=2"], ["HOME="], ["HOME=/x", "HOME="], ["HOME=", "HOME=/x"]]
)
def test_environment_is_alike(both: tuple[Command, Command], bundle: Bundle, more: list[str]) -> None:
    def change(spec: dict[str, Any]) -> None:
        spec["process"]["env"] += more

    made = bundle("env", change=change)
    ours, theirs = (sorted(command("run", "--bundle", made, "c1").text.split()) for command in both)
    assert ours == theirs


def test_first_process_is_alike(both: tuple[Command, Command], bundle: Bundle) -> None:
    """What a process can see of its container."""
    facts = """
        pwd; id; umask; env | sort; ulimit -n; ls /proc/self/fd; stat -c '%A %u %g %t:%T %N' /dev/*
        grep -E '^(Cap|NoNew|Seccomp:|Groups)' /proc/self/status; cat /proc/1/oom_score_adj
        sed 's/^[^/]*//' /proc/mounts | cut -d ' ' -f 1,2 | sort
        for file in /proc/kcore /proc/sys/kernel/hostname /proc/keys; do test -s $file; echo $?; done
        touch /file 2>&1; tty; true
    """
    made = bundle("sh", "-c", facts)
    ours, theirs = (command("run", "--bundle", made, "c1").text.splitlines() for command in both)
    # a masked file is the host's /dev/null or the container's; a hierarchy without controllers is not for containers
    known = ("/proc/keys ", "/proc/timer_list ", "/sys/fs/cgroup/systemd ")
    assert [line for line in ours if line not in theirs and not line.startswith(known)] == []
    assert [line for line in theirs if line not in ours and not line.startswith(known)] == []


def test_states_are_alike(both: tuple[Command, Command], bundle: Bundle) -> None:
    made = bundle("sleep", "100", change=lambda spec: spec.update(annotations={"a": "b"}))
    texts: list[list[dict[str, Any]]] = []
    for command in both:
        seen = texts.append([]) or texts[-1]  # type: ignore[func-returns-value]
        command.create(made, "c1").ok()
        seen.append(command.state("c1"))
        command("start", "c1").ok()
        seen.append(command.state("c1"))
        command("pause", "c1").ok()
        seen.append(command.state("c1"))
        seen.extend(json.loads(command("list", "-f", "json").text))
        command("resume", "c1").ok()
        command("kill", "c1", "KILL").ok()
        until(lambda command=command: command.state("c1")["status"] == "stopped")  # type: ignore[misc]
        seen.append(command.state("c1"))
        command("delete", "c1").ok()
    for ours, theirs in zip(*texts, strict=True):
        assert list(ours) == list(theirs)
        for key in ("id", "status", "bundle", "rootfs", "annotations", "owner"):
            assert ours[key] == theirs[key]
        assert (ours["pid"] == 0) == (theirs["pid"] == 0)


def test_created_container_takes_an_exec_and_a_deletion(
    both: tuple[Command, Command], bundle: Bundle
) -> None:
    answers = []
    for command in both:
        made = bundle("sleep", "100")
        command.create(made, "c1").ok()
        pid = command.state("c1")["pid"]
        answers.append(command("exec", "c1", "sh", "-c", "cat /proc/1/comm >/dev/null; id; pwd; exit 3"))
        assert command.state("c1")["status"] == "created"
        command("delete", "c1").ok()
        until(lambda pid=pid: not Path(f"/proc/{pid}").exists())  # type: ignore[misc]
        assert (list(command.root.iterdir()), groups_left(made)) == ([], [])
    assert answers[0] == answers[1]
    assert answers[0].status == 3


STEPS: list[Callable[[Command], Answer]] = [
    lambda command: command("start", "c1"),
    lambda command: command("delete", "c1"),
    lambda command: command("resume", "c1"),
    lambda command: command("kill", "c1", "FOO"),
    lambda command: command("kill", "c1", "99"),
    lambda command: command("ps", "c1", "-o", "args"),
    lambda command: command("exec", "c1"),
    lambda command: command("pause", "c1"),
    lambda command: command("pause", "c1"),
    lambda command: command("exec", "c1", "true"),
    lambda command: command("resume", "c1"),
    lambda command: command("kill", "c1", "KILL"),
]
LATE: list[Callable[[Command], Answer]] = [
    lambda command: command("kill", "c1"),
    lambda command: command("start", "c1"),
    lambda command: command("exec", "c1", "true"),
    lambda command: command("pause", "c1"),
    lambda command: command("resume", "c1"),
    lambda command: command("update", "--pids-limit", "20", "c1"),
    lambda command: command("ps", "c1"),
    lambda command: command("delete", "c1"),
    lambda command: command("delete", "c1"),
]


def test_wrong_transitions_are_told_alike(both: tuple[Command, Command], bundle: Bundle) -> None:
    for command in both:
        command.detach(bundle("sleep", "100"), "c1").ok()
    for step in STEPS:
        alike(*map(step, both))
    for command in both:
        until(lambda command=command: command.state("c1")["status"] == "stopped")  # type: ignore[misc]
    for step in LATE:
        alike(*map(step, both))


def test_update_passes_over_devices(both: tuple[Command, Command], bundle: Bundle) -> None:
    """What others have allowed beside the configuration (GPUs) would be lost by an update of memory else."""
    if not Path("/sys/fs/cgroup/devices").is_dir():
        pytest.skip("v1 is what shows the rules")
    for command in both:
        made = bundle("sleep", "100")
        command.detach(made, "c1").ok()
        group = Path(f"/sys/fs/cgroup/devices{group_of(made)}")
        (group / "devices.allow").write_text("c 195:0 rw")
        before = (group / "devices.list").read_text()
        resources = {"pids": {"limit": 20}, "devices": [{"allow": False, "access": "rwm"}]}
        command("update", "-r", "-", "c1", stdin=None, input=json.dumps(resources)).ok()
        assert (group / "devices.list").read_text() == before
        assert "c 195:0 rw" in before


def test_events_have_the_same_names(both: tuple[Command, Command], bundle: Bundle, tmp_path: Path) -> None:
    """Each container has read and written a disk: what is zero or empty is left out by both commands."""

    def names(value: Any, path: str = "") -> set[str]:
        if not isinstance(value, dict) or path.endswith((".raw", ".hugetlb")):
            return {path}
        return {path} | {name for key, item in value.items() for name in names(item, f"{path}.{key}")}

    def change(spec: dict[str, Any]) -> None:
        spec["mounts"].append(
            {"destination": "/tmp", "type": "bind", "source": str(tmp_path), "options": ["bind", "rw"]}
        )

    found = []
    for command in both:
        work = f"dd if=/dev/zero of=/tmp/{command.root.name}.file bs=1M count=5 conv=fsync && exec sleep 100"
        command.detach(bundle("sh", "-c", work, change=change), "c1").ok()
        until(lambda command=command: b"sleep\0" in cmdline(command))  # type: ignore[misc]
        found.append(names(json.loads(command("events", "--stats", "c1").text)))
    ours, theirs = found
    assert theirs - ours == set()
    assert {name for name in ours - theirs if "psi" not in name and "event_count" not in name} == set()


def cmdline(command: Command) -> bytes:
    return Path(f"/proc/{command.state('c1')['pid']}/cmdline").read_bytes()


def test_spec_runs_under_the_other(
    both: tuple[Command, Command], tmp_path: Path, busybox_rootfs: Path
) -> None:
    """A bundle that runc writes runs under us, and ours under runc."""
    for writer, runner in (both, both[::-1]):
        directory = tmp_path / f"{writer.root.name}-bundle"
        directory.mkdir()
        assert writer("spec", "--bundle", directory).status == 0
        spec = json.loads((directory / "config.json").read_text())
        spec["root"]["path"] = str(busybox_rootfs)
        spec["process"].update(terminal=False, args=["echo", "hello"])
        spec["linux"]["cgroupsPath"] = f"/containerlib-oci-{writer.root.name}"
        if runner.words == ("runc",):
            spec["ociVersion"] = "1.0.2"  # runc 1.1 knows no later one
        (directory / "config.json").write_text(json.dumps(spec))
        assert runner("run", "--bundle", directory, "c1").text == "hello\n"


TERMS: list[tuple[str, Callable[[dict[str, Any]], object]]] = [
    ("not a directory", lambda spec: spec["process"].update(cwd="/bin/busybox")),
    ("not a directory", lambda spec: spec["process"].update(args=["/bin/busybox/x"])),
    ("not a directory", lambda spec: spec["root"].update(path="/etc/passwd")),
    ("not a directory", lambda spec: spec["mounts"].append(file_on("/tmp", "/etc/passwd"))),
    ("not a directory", lambda spec: spec["mounts"].append(file_on("/bin/busybox/x", "/etc"))),
    ("no such file or directory", lambda spec: spec["mounts"].append(file_on("/tmp", "/no/such"))),
    ("no such file or directory", lambda spec: spec["linux"].update(sysctl={"net.ipv4.nosuch": "1"})),
    ("no such file or directory", lambda spec: spec.update(hooks={"prestart": [{"path": "/no/hook"}]})),
    ("permission denied", lambda spec: spec.update(hooks={"createRuntime": [{"path": "/etc/passwd"}]})),
    ("permission denied", lambda spec: spec["process"].update(args=["/tmp"])),
    (
        "no such device",
        lambda spec: spec["mounts"].append({**file_on("/tmp", "x"), "type": "nofs", "options": []}),
    ),
]


def file_on(destination: str, source: str) -> dict[str, Any]:
    return {"destination": destination, "type": "bind", "source": source, "options": ["bind"]}


@pytest.mark.parametrize(("term", "change"), TERMS)
def test_message_has_the_term_that_scripts_look_for(
    both: tuple[Command, Command], bundle: Bundle, term: str, change: Callable[[dict[str, Any]], object]
) -> None:
    made = bundle("true", change=lambda spec: void(change(spec)))
    for command in both:
        answer = command("run", "--bundle", made, "c1")
        assert answer.status == 1
        assert term in answer.message


def void(_: object) -> None:
    """Takes what an expression gives."""


def test_state_directory_that_is_a_file_is_told_alike(both: tuple[Command, Command]) -> None:
    for command in both:
        answer = Command(command.words, Path("/etc/passwd"))("list")
        assert (answer.status, "/etc/passwd: not a directory" in answer.message) == (1, True)
