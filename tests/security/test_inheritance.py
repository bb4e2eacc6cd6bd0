"""What of the caller's the user's program must not inherit, and what it must."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from containerlib.bundles.users import ResolvedUser
from containerlib.spec.options import ContainerOptions
from rig.bundles import Bundled, Rack

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

VARIABLE = "CONTAINERLIB_TEST_SECRET"


class Program:
    """A command as a container's first process, or as an exec."""

    def __init__(self, rack: Rack, kind: str) -> None:
        self._rack = rack
        self._inside: Bundled | None = rack.create("sleep", "60") if kind == "exec" else None

    def text(self, *argv: str) -> str:
        done = self._inside.output(*argv) if self._inside else self._rack.run(*argv)
        assert done.status.exit_code == 0, done
        return done.text

    def status(self) -> dict[str, str]:
        lines = self.text("cat", "/proc/self/status").splitlines()
        return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


@pytest.fixture(params=["run", "exec"])
def program(request: pytest.FixtureRequest, rack: Rack, odd_caller: None) -> Program:
    return Program(rack, request.param)


@pytest.fixture
def odd_caller(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A caller with a secret, ignored and blocked signals, a umask, groups and a directory of its own."""
    monkeypatch.setenv(VARIABLE, "secret")
    monkeypatch.setenv("LD_PRELOAD_TEST", "/tmp/evil.so")
    monkeypatch.chdir(tmp_path)
    groups = os.getgroups()
    umask = os.umask(0o077)
    before = {number: signal.getsignal(number) for number in (signal.SIGPIPE, signal.SIGUSR1, signal.SIGHUP)}
    for number in before:
        signal.signal(number, signal.SIG_IGN)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2, signal.SIGTERM})
    os.setgroups([4, 27, 1234])
    try:
        yield
    finally:
        os.setgroups(groups)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.umask(umask)


def test_program_has_no_variable_of_the_callers(program: Program) -> None:
    names = {line.partition("=")[0] for line in program.text("env").splitlines()}
    assert names == {"PATH", "HOSTNAME", "HOME"}


def test_program_has_no_variable_of_another_containers(rack: Rack) -> None:
    """CVE-2020-14370, CVE-2021-21334: one that was made before, by the same process and of the same image."""
    options = ContainerOptions(env=(("SECRET", "word"),))
    assert "SECRET=word" in rack.run("env", options=options).text
    other = rack.create("sleep", "60", options=options)
    assert "SECRET" not in rack.run("env").text
    assert "SECRET" in other.output("env").text


def test_program_has_no_signal_ignored_or_blocked(program: Program) -> None:
    status = program.status()
    assert [int(status[name], 16) for name in ("SigIgn", "SigBlk", "SigPnd", "ShdPnd")] == [0, 0, 0, 0]


def test_program_has_the_usual_umask(program: Program) -> None:
    assert program.status()["Umask"] == "0022"


def test_program_has_no_supplementary_group_of_the_callers(program: Program) -> None:
    assert program.status()["Groups"] == ""


def test_program_starts_in_the_containers_root(program: Program) -> None:
    assert program.text("pwd") == "/"


def test_program_is_the_leader_of_a_session_of_its_own(program: Program) -> None:
    """Field 6 of proc_pid_stat(5): the session."""
    fields = program.text("cat", "/proc/self/stat").rpartition(")")[2].split()
    assert fields[3] == program.status()["NSsid"] or int(fields[3]) > 0
    assert fields[4] == "0", "no controlling terminal"


def test_program_has_no_ptracer(program: Program) -> None:
    assert program.status()["TracerPid"] == "0"


def test_program_has_the_callers_limits_where_none_is_asked_for(program: Program) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    line = next(
        line for line in program.text("cat", "/proc/self/limits").splitlines() if "open files" in line
    )
    assert line.split()[3:5] == [str(soft), str(hard)]


def test_program_cannot_be_killed_first_less_than_the_caller(program: Program) -> None:
    assert (
        program.text("cat", "/proc/self/oom_score_adj")
        == Path("/proc/self/oom_score_adj").read_text().strip()
    )


def test_caller_is_as_before_after_a_start(rack: Rack, odd_caller: None) -> None:
    """The spawn borrows the caller's memory and signal mask for an instant."""
    before = [line for line in own_status() if line.startswith(("Sig", "Umask", "Groups", "Cap"))]
    directory = Path.cwd()
    rack.run("true")
    assert [line for line in own_status() if line.startswith(("Sig", "Umask", "Groups", "Cap"))] == before
    assert Path.cwd() == directory


def own_status() -> list[str]:
    return [
        line for line in Path("/proc/self/status").read_text().splitlines() if not line.startswith("SigQ")
    ]


def test_program_with_groups_has_those_and_no_others(rack: Rack, odd_caller: None) -> None:
    done = rack.run("id", user=ResolvedUser(1000, 1001, (1001, 44), "/"))
    assert done.text.startswith("uid=1000 gid=1001 groups=")
    assert "27" not in done.text
    assert "1234" not in done.text


def test_program_sees_no_path_of_the_host_in_its_mounts(rack: Rack, tmp_path: Path) -> None:
    assert str(tmp_path) not in rack.run("cat", "/proc/mounts").text
