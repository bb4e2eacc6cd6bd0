"""A seccomp filter that allows the program's calls and no others: none of a start's is judged by it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rig.oci import Bundle, Command

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

PROGRAM = (
    "execve",
    "exit",
    "exit_group",
    "write",
    *(
        "brk",
        "arch_prctl",
        "mmap",
        "mprotect",
        "munmap",
        "getuid",
        "geteuid",
        "getgid",
        "getegid",
        "setuid",
        "setgid",
        "prctl",
    ),
    *(
        "set_tid_address",
        "set_robust_list",
        "rseq",
        "prlimit64",
        "readlink",
        "readlinkat",
        "getrandom",
        "uname",
    ),
    *("rt_sigaction", "rt_sigprocmask", "ioctl", "fstat", "newfstatat"),
)
"""What a static busybox needs, from before there were statx(2) and faccessat2(2)."""


def profile(action: str, **user: Any) -> Any:
    def change(spec: dict[str, Any]) -> None:
        spec["process"]["noNewPrivileges"] = user.pop("no_new_privileges")
        spec["process"]["user"] = user or {"uid": 0, "gid": 0}
        spec["linux"]["seccomp"] = {
            "defaultAction": action,
            "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": [{"names": list(PROGRAM), "action": "SCMP_ACT_ALLOW"}],
        }

    return change


@pytest.mark.parametrize("action", ["SCMP_ACT_ERRNO", "SCMP_ACT_KILL_PROCESS"])
@pytest.mark.parametrize("no_new_privileges", [True, False])
@pytest.mark.parametrize("user", [{}, {"uid": 1000, "gid": 1000}])
def test_filter_of_the_programs_calls_alone_lets_it_start(
    oci: Command, bundle: Bundle, action: str, no_new_privileges: bool, user: dict[str, int]
) -> None:
    change = profile(action, no_new_privileges=no_new_privileges, **user)
    assert oci("run", "--bundle", bundle("echo", "hello", change=change), "c1").text == "hello\n"


@pytest.mark.parametrize("no_new_privileges", [True, False])
def test_exec_under_the_filter_of_the_programs_calls_alone(
    oci: Command, bundle: Bundle, no_new_privileges: bool
) -> None:
    def change(spec: dict[str, Any]) -> None:
        profile("SCMP_ACT_KILL_PROCESS", no_new_privileges=no_new_privileges)(spec)
        spec["linux"]["seccomp"]["syscalls"][0]["names"] += ["nanosleep", "clock_nanosleep"]

    oci.detach(bundle("sleep", "60", change=change), "c1").ok()
    assert oci("exec", "c1", "echo", "hello").text == "hello\n"


@pytest.mark.parametrize("uid", [0, 1000])
def test_filter_without_no_new_privileges_leaves_the_program_its_capabilities_alone(
    oci: Command, bundle: Bundle, uid: int
) -> None:
    def change(spec: dict[str, Any]) -> None:
        kill = ["CAP_KILL"]
        names = ("bounding", "permitted", "effective", "inheritable", "ambient")
        spec["process"].update(noNewPrivileges=False, user={"uid": uid, "gid": uid})
        spec["process"]["capabilities"] = dict.fromkeys(names, kill)
        spec["linux"]["seccomp"] = {
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}],
        }

    text = oci("run", "--bundle", bundle("cat", "/proc/self/status", change=change), "c1").text
    status = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
    assert {int(status[name], 16) for name in ("CapPrm", "CapEff", "CapBnd", "CapInh", "CapAmb")} == {1 << 5}
    assert (status["Seccomp"], status["NoNewPrivs"]) == ("2", "0")


def test_program_that_went_away_after_create_is_reported_under_the_filter(
    oci: Command, bundle: Bundle, tmp_path: Path
) -> None:
    def change(spec: dict[str, Any]) -> None:
        profile("SCMP_ACT_KILL_PROCESS", no_new_privileges=True)(spec)
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin/gone").write_text("#!/nobody\n")
        (tmp_path / "bin/gone").chmod(0o755)
        spec["mounts"].append(
            {"destination": "/opt", "type": "bind", "source": str(tmp_path / "bin"), "options": ["bind"]}
        )

    oci.create(bundle("/opt/gone", change=change), "c1").ok()
    failed = oci("start", "c1")
    assert failed.status != 0
    assert "no such file" in failed.stderr
