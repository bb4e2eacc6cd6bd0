"""What the process may: limits, ids, capabilities, labels; read back of the first process and of an exec."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from containerlib.errors import InvalidArgument, Unsupported
from containerlib.runtime.kernel import KernelFiles
from containerlib.runtime.plan.capabilities import NAMES, mask
from rig import host
from rig.bundles import Bundled, Rack
from rig.process import USER, capabilities, facts_of, refused, sets_of, status_of, unfiltered

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

CHOWN, KILL, SETUID = ("CAP_CHOWN", "CAP_KILL", "CAP_SETUID")

# ---- limits, user, umask ----


LIMITS = {
    "RLIMIT_CPU": "Max cpu time",
    "RLIMIT_FSIZE": "Max file size",
    "RLIMIT_DATA": "Max data size",
    "RLIMIT_STACK": "Max stack size",
    "RLIMIT_CORE": "Max core file size",
    "RLIMIT_RSS": "Max resident set",
    "RLIMIT_NPROC": "Max processes",
    "RLIMIT_NOFILE": "Max open files",
    "RLIMIT_MEMLOCK": "Max locked memory",
    "RLIMIT_AS": "Max address space",
    "RLIMIT_LOCKS": "Max file locks",
    "RLIMIT_SIGPENDING": "Max pending signals",
    "RLIMIT_MSGQUEUE": "Max msgqueue size",
    "RLIMIT_NICE": "Max nice priority",
    "RLIMIT_RTPRIO": "Max realtime priority",
    "RLIMIT_RTTIME": "Max realtime timeout",
}


def limits_of(text: str) -> dict[str, tuple[str, str]]:
    rows = {line[:26].strip(): line[26:].split() for line in text.splitlines()[1:]}
    return {name: (row[0], row[1]) for name, row in rows.items()}


def test_every_limit_can_be_lowered(look: Callable[..., str]) -> None:
    before = limits_of(Path("/proc/self/limits").read_text())
    wanted = {}
    for number, (name, title) in enumerate(LIMITS.items()):
        hard = before[title][1]
        high = (1 << 60) + number if hard == "unlimited" else max(int(hard) - number, 0)
        wanted[name] = (max(high - 1, 0), high)
    rlimits = [{"type": name, "soft": soft, "hard": hard} for name, (soft, hard) in wanted.items()]
    after = limits_of(look("cat", "/proc/self/limits", process={"rlimits": rlimits}))
    assert {name: after[title] for name, title in LIMITS.items()} == {
        name: (str(soft), str(hard)) for name, (soft, hard) in wanted.items()
    }


def test_limit_without_end_is_unlimited(look: Callable[..., str]) -> None:
    rlimits = [{"type": "RLIMIT_CPU", "soft": 2**64 - 1, "hard": 2**64 - 1}]
    after = limits_of(look("cat", "/proc/self/limits", process={"rlimits": rlimits}))
    assert after["Max cpu time"] == ("unlimited", "unlimited")


@pytest.mark.skipif(host.lacks_capability("CAP_SYS_RESOURCE") is None, reason="has CAP_SYS_RESOURCE")
def test_limit_above_the_runtimes_own_is_refused_with_the_capability_it_needs(rack: Rack) -> None:
    hard = int(limits_of(Path("/proc/self/limits").read_text())["Max processes"][1]) + 1
    error = refused(rack, process={"rlimits": [{"type": "RLIMIT_NPROC", "soft": hard, "hard": hard}]})
    assert (error.stage, error.errno) == ("rlimit", errno.EPERM)
    assert "CAP_SYS_RESOURCE" in str(error)


def test_limit_that_is_there_twice_is_refused(rack: Rack) -> None:
    rlimits = [{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}] * 2
    with pytest.raises(InvalidArgument, match="RLIMIT_CORE is there twice"):
        rack.create("true", change=unfiltered(process={"rlimits": rlimits}))


@pytest.mark.parametrize("umask", [0, 0o027, 0o777])
def test_umask_is_the_users(look: Callable[..., str], umask: int) -> None:
    facts = facts_of(look("probe", process={"user": {"uid": 0, "gid": 0, "umask": umask}}))
    assert int(facts["umask"][0], 8) == umask


def test_umask_that_is_not_given_is_the_callers(look: Callable[..., str]) -> None:
    before = os.umask(0o065)
    try:
        facts = facts_of(look("probe", process={"user": {"uid": 0, "gid": 0}}))
    finally:
        os.umask(before)
    assert int(facts["umask"][0], 8) == 0o065


@pytest.mark.parametrize("count", [0, 2, 5000])
def test_additional_groups_are_all_there_and_no_others(look: Callable[..., str], count: int) -> None:
    groups = list(range(3000, 3000 + count))
    user = {"uid": 1000, "gid": 1000, "umask": 0o22, "additionalGids": groups}
    status = status_of(look("cat", "/proc/self/status", process={"user": user}))
    assert list(map(int, status["Groups"].split())) == groups


# ---- capabilities and privileges ----


def test_capabilities_of_another_user_are_the_ambient_ones(look: Callable[..., str]) -> None:
    """An exec by a user who is not root takes from the five sets what capabilities(7) says."""
    both = (CHOWN, KILL)
    asked = capabilities((*both, SETUID), both, both, both, (KILL,))
    sets = sets_of(look("cat", "/proc/self/status", user=USER, process=asked))
    kill = mask([KILL])
    assert sets == [mask([*both, SETUID]), kill, kill, mask(both), kill]


def test_capabilities_of_root_are_those_of_the_bounding_set(look: Callable[..., str]) -> None:
    asked = capabilities((CHOWN, KILL), (CHOWN,), (CHOWN,), (KILL,))
    both = mask([CHOWN, KILL])
    sets = sets_of(look("cat", "/proc/self/status", process=asked))
    assert sets == [both, both, both, mask([KILL]), 0]


def test_capability_that_does_not_exist_is_left_out(look: Callable[..., str]) -> None:
    names = ("CAP_FROM_THE_FUTURE", CHOWN)
    sets = sets_of(look("cat", "/proc/self/status", process=capabilities(names, names, names)))
    assert sets == [mask([CHOWN])] * 3 + [0, 0]


def test_capabilities_that_cannot_be_granted_are_left_out(look: Callable[..., str]) -> None:
    """All there are, of which this host's root lacks some; none may keep the container from starting."""
    own = int(status_of(Path("/proc/self/status").read_text())["CapBnd"], 16)
    asked = capabilities(NAMES, NAMES, NAMES, NAMES, NAMES)
    assert sets_of(look("cat", "/proc/self/status", process=asked)) == [own] * 5


def test_capability_that_is_ambient_only_is_not_granted(look: Callable[..., str]) -> None:
    asked = capabilities((CHOWN,), (), (), (), (CHOWN,))
    assert sets_of(look("cat", "/proc/self/status", user=USER, process=asked)) == [mask([CHOWN]), 0, 0, 0, 0]


@pytest.mark.parametrize("wanted", [True, False])
def test_no_new_privileges_is_as_asked(look: Callable[..., str], wanted: bool) -> None:
    status = status_of(look("cat", "/proc/self/status", process={"noNewPrivileges": wanted}))
    assert status["NoNewPrivs"] == str(int(wanted))


def test_oom_score_is_adjusted(look: Callable[..., str]) -> None:
    assert look("cat", "/proc/self/oom_score_adj", process={"oomScoreAdj": 321}) == "321"


def test_oom_score_that_is_not_given_is_the_callers(rack: Rack) -> None:
    def change(spec: dict[str, Any]) -> None:
        spec["process"].pop("oomScoreAdj", None)

    own = Path("/proc/self/oom_score_adj").read_text().strip()
    assert rack.run("cat", "/proc/self/oom_score_adj", change=change).text == own


@pytest.mark.skipif(host.lacks_capability("CAP_SYS_RESOURCE") is None, reason="has CAP_SYS_RESOURCE")
def test_oom_score_below_the_runtimes_own_is_refused_with_the_capability_it_needs(rack: Rack) -> None:
    error = refused(rack, process={"oomScoreAdj": -1000})
    assert (error.stage, error.errno) == ("oom_score_adj", errno.EACCES)
    assert "CAP_SYS_RESOURCE" in str(error)


# ---- labels ----


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"process": {"apparmorProfile": "a-profile"}}, ("process.apparmorProfile a-profile", "AppArmor")),
        ({"process": {"selinuxLabel": "a:b:c:s0"}}, ("process.selinuxLabel a:b:c:s0", "SELinux")),
        ({"linux": {"mountLabel": "a:b:c:s0"}}, ("linux.mountLabel a:b:c:s0", "SELinux")),
    ],
)
def test_label_of_a_module_that_is_off_is_refused(
    rack: Rack, tmp_path: Path, changes: dict[str, Any], words: tuple[str, str]
) -> None:
    with pytest.raises(Unsupported) as caught:
        rack.create("true", change=unfiltered(**changes), files=KernelFiles(sys=str(tmp_path)))
    assert all(word in str(caught.value) for word in words)


def test_label_of_an_exec_is_refused_too(sleeper: Bundled) -> None:
    if Path("/sys/fs/selinux/enforce").exists():
        pytest.skip("SELinux is active here")
    with pytest.raises(Unsupported, match=r"process\.selinuxLabel a:b:c:s0: SELinux is not active"):
        sleeper.execute("true", selinuxLabel="a:b:c:s0")
