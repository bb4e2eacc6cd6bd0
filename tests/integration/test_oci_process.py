"""What config.json says of the process, read back inside the container, of its first process and of an exec."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from containerlib.bundles.users import ResolvedUser
from containerlib.errors import InvalidArgument, StageError, Unsupported
from containerlib.runtime.kernel import KernelFiles
from containerlib.runtime.plan.capabilities import NAMES, mask
from rig import host
from rig.bundles import Bundled, Rack, until
from rig.programs import compiled_layer

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

SOURCE = Path(__file__).parent / "probe.c"
ROOT = ResolvedUser(0, 0, (), "/")
USER = ResolvedUser(1000, 1000, (), "/")
OTHER, FIFO, RR, BATCH, IDLE, DEADLINE = 0, 1, 2, 3, 5, 6
LOCAL_CPUS = sorted(os.sched_getaffinity(0))

Facts = dict[str, list[str]]


@pytest.fixture(scope="session")
def probe_layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled_layer(tmp_path_factory.mktemp("probe"), SOURCE, "probe")


@pytest.fixture
def rack(tmp_path: Path, busybox_rootfs: Path, probe_layer: Path) -> Iterator[Rack]:
    with Rack(tmp_path / "containers", (probe_layer, busybox_rootfs)) as rack:
        yield rack


def facts_of(text: str) -> Facts:
    return {line.split()[0]: line.split()[1:] for line in text.splitlines()}


def status_of(text: str) -> dict[str, str]:
    return {name: value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}


def unfiltered(**changes: Any) -> Callable[[dict[str, Any]], None]:
    """Without a seccomp filter, which would keep the probe from asking; `process` and `linux` get `changes`."""

    def change(spec: dict[str, Any]) -> None:
        spec["linux"].pop("seccomp", None)
        for name, values in changes.items():
            spec[name].update(values)

    return change


@pytest.fixture(params=["run", "exec"])
def look(request: pytest.FixtureRequest, rack: Rack) -> Callable[..., str]:
    """What a program says that is a container's first process, and that is executed in it."""

    def ask(*argv: str, user: ResolvedUser = ROOT, **changes: Any) -> str:
        if request.param == "run":
            return rack.run(*argv, change=unfiltered(**changes), user=user).text
        # the first process of this one sleeps, so that what is only for the process is only for the exec
        container = rack.create("sleep", "60", change=unfiltered(linux=changes.pop("linux", {})), user=user)
        done = container.output(*argv, **changes.pop("process", {}))
        assert done.status.exit_code == 0, done.stderr
        return done.text

    return ask


def refused(rack: Rack, **changes: Any) -> StageError:
    with pytest.raises(StageError) as caught:
        rack.create("true", change=unfiltered(**changes))
    return caught.value


# ---- when it runs ----


@pytest.mark.parametrize(
    ("scheduler", "expected"),
    [
        ({"policy": "SCHED_OTHER", "nice": 7}, (OTHER, 0, 7, 0)),
        ({"policy": "SCHED_OTHER", "nice": -3}, (OTHER, 0, -3, 0)),
        ({"policy": "SCHED_BATCH", "nice": 3}, (BATCH, 0, 3, 0)),
        ({"policy": "SCHED_IDLE"}, (IDLE, 0, 0, 0)),
        ({"policy": "SCHED_FIFO", "priority": 10}, (FIFO, 0, 0, 10)),
        (
            {"policy": "SCHED_RR", "priority": 5, "flags": ["SCHED_FLAG_RESET_ON_FORK"]},
            (RR, 1, 0, 5),
        ),
    ],
)
def test_scheduler_is_the_processs(
    look: Callable[..., str], scheduler: dict[str, Any], expected: tuple[int, ...]
) -> None:
    facts = facts_of(look("probe", process={"scheduler": scheduler}))
    assert tuple(map(int, facts["scheduler"][:4])) == expected


@pytest.mark.parametrize("flag", [("SCHED_FLAG_RECLAIM", 2), ("SCHED_FLAG_DL_OVERRUN", 4)])
def test_scheduler_deadline_has_its_three_times(look: Callable[..., str], flag: tuple[str, int]) -> None:
    scheduler = {
        "policy": "SCHED_DEADLINE",
        "flags": [flag[0]],
        "runtime": 10_000_000,
        "deadline": 20_000_000,
        "period": 30_000_000,
    }
    facts = facts_of(look("probe", process={"scheduler": scheduler}))
    assert list(map(int, facts["scheduler"])) == [DEADLINE, flag[1], 0, 0, 10_000_000, 20_000_000, 30_000_000]


@pytest.mark.parametrize("flag", ["SCHED_FLAG_KEEP_POLICY", "SCHED_FLAG_KEEP_PARAMS"])
def test_scheduler_that_keeps_what_there_is_changes_nothing_of_it(
    look: Callable[..., str], flag: str
) -> None:
    facts = facts_of(look("probe", process={"scheduler": {"policy": "SCHED_OTHER", "flags": [flag]}}))
    assert list(map(int, facts["scheduler"][:4])) == [OTHER, 0, 0, 0]


def test_scheduler_that_the_kernel_refuses_is_named_with_advice(rack: Rack) -> None:
    """A period below 100 microseconds is too short for every kernel."""
    scheduler = {"policy": "SCHED_DEADLINE", "runtime": 10, "deadline": 20, "period": 30}
    error = refused(rack, process={"scheduler": scheduler})
    assert (error.stage, error.errno, error.detail) == ("scheduler", errno.EINVAL, "process.scheduler")


@pytest.mark.parametrize(
    ("name", "number"), [("IOPRIO_CLASS_RT", 1), ("IOPRIO_CLASS_BE", 2), ("IOPRIO_CLASS_IDLE", 3)]
)
def test_io_priority_is_class_and_level(look: Callable[..., str], name: str, number: int) -> None:
    facts = facts_of(look("probe", process={"ioPriority": {"class": name, "priority": 3}}))
    assert int(facts["io_priority"][0]) == number << 13 | 3


# ---- where it runs ----


@pytest.fixture
def sleeper(rack: Rack) -> Bundled:
    return rack.create("sleep", "60", change=unfiltered())


def cpus_of(container: Bundled, **affinity: str) -> list[int]:
    done = container.output("probe", execCPUAffinity=affinity)
    assert done.status.exit_code == 0, done.stderr
    return list(map(int, facts_of(done.text)["cpus"]))


needs_two_cpus = pytest.mark.skipif(len(LOCAL_CPUS) < 2, reason="needs two CPUs")


@needs_two_cpus
def test_exec_runs_on_its_final_cpus(sleeper: Bundled) -> None:
    assert cpus_of(sleeper, initial=str(LOCAL_CPUS[0]), final=str(LOCAL_CPUS[1])) == [LOCAL_CPUS[1]]
    assert cpus_of(sleeper, final=str(LOCAL_CPUS[0])) == [LOCAL_CPUS[0]]


@needs_two_cpus
def test_exec_without_final_cpus_has_the_containers(sleeper: Bundled) -> None:
    assert cpus_of(sleeper, initial=str(LOCAL_CPUS[0])) == LOCAL_CPUS


def test_exec_on_cpus_that_are_not_there_is_refused(sleeper: Bundled) -> None:
    with pytest.raises(StageError) as caught:
        sleeper.execute("true", execCPUAffinity={"initial": "8000"})
    assert (caught.value.stage, caught.value.errno) == ("cpu_affinity", errno.EINVAL)
    assert "process.execCPUAffinity.initial 8000" in str(caught.value)


@needs_two_cpus
def test_first_process_has_no_affinity_of_an_exec(rack: Rack) -> None:
    affinity = {"initial": str(LOCAL_CPUS[0]), "final": str(LOCAL_CPUS[0])}
    done = rack.run("probe", change=unfiltered(process={"execCPUAffinity": affinity}))
    assert list(map(int, facts_of(done.text)["cpus"])) == LOCAL_CPUS


# ---- where its memory is ----


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ({"mode": "MPOL_BIND", "nodes": "0"}, ["0x2", "0x1"]),
        ({"mode": "MPOL_INTERLEAVE", "nodes": "0"}, ["0x3", "0x1"]),
        ({"mode": "MPOL_WEIGHTED_INTERLEAVE", "nodes": "0"}, ["0x6", "0x1"]),
        ({"mode": "MPOL_PREFERRED", "nodes": "0"}, ["0x1", "0x1"]),
        ({"mode": "MPOL_PREFERRED_MANY", "nodes": "0"}, ["0x5", "0x1"]),
        ({"mode": "MPOL_LOCAL"}, ["0x4", "0"]),
        ({"mode": "MPOL_DEFAULT"}, ["0", "0"]),
        ({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}, ["0x8002", "0x1"]),
        ({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_RELATIVE_NODES"]}, ["0x4002", "0x1"]),
        ({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_NUMA_BALANCING"]}, ["0x2002", "0x1"]),
    ],
)
def test_memory_policy_is_the_containers(
    look: Callable[..., str], policy: dict[str, Any], expected: list[str]
) -> None:
    assert facts_of(look("probe", linux={"memoryPolicy": policy}))["memory_policy"] == expected


def test_memory_policy_of_nodes_that_are_not_there_is_refused(rack: Rack) -> None:
    error = refused(rack, linux={"memoryPolicy": {"mode": "MPOL_BIND", "nodes": "63"}})
    assert (error.stage, error.errno) == ("memory_policy", errno.EINVAL)
    assert "these nodes are not there" in str(error)


# ---- what it is taken for ----


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="names x86's 32-bit machine")
def test_personality_linux32_is_another_machine(look: Callable[..., str]) -> None:
    assert look("uname", "-m", linux={"personality": {"domain": "LINUX32"}}) == "i686"


def test_personality_linux_is_the_kernels_own(look: Callable[..., str]) -> None:
    facts = facts_of(look("probe", linux={"personality": {"domain": "LINUX"}}))
    assert int(facts["personality"][0], 16) == 0


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


def sets_of(text: str) -> list[int]:
    status = status_of(text)
    return [int(status[f"Cap{name}"], 16) for name in ("Bnd", "Eff", "Prm", "Inh", "Amb")]


CHOWN, KILL, SETUID = ("CAP_CHOWN", "CAP_KILL", "CAP_SETUID")


def capabilities(
    bounding: tuple[str, ...] = (),
    effective: tuple[str, ...] = (),
    permitted: tuple[str, ...] = (),
    inheritable: tuple[str, ...] = (),
    ambient: tuple[str, ...] = (),
) -> dict[str, Any]:
    sets = {
        "bounding": bounding,
        "effective": effective,
        "permitted": permitted,
        "inheritable": inheritable,
        "ambient": ambient,
    }
    return {"capabilities": {name: list(names) for name, names in sets.items()}}


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


# ---- clocks ----


HOUR = 3600


def with_clocks(offsets: dict[str, Any] | None, path: str = "") -> Callable[[dict[str, Any]], None]:
    def change(spec: dict[str, Any]) -> None:
        namespace = {"type": "time", "path": path} if path else {"type": "time"}
        spec["linux"]["namespaces"].append(namespace)
        if offsets is not None:
            spec["linux"]["timeOffsets"] = offsets

    return change


OFFSETS = {
    "boottime": {"secs": 100 * HOUR, "nanosecs": 7},
    "monotonic": {"secs": 50 * HOUR, "nanosecs": 500_000_000},
}


def clocks_of(text: str) -> tuple[int, int]:
    """Hours that the two clocks are ahead of this process's."""
    monotonic, boottime = map(int, facts_of(text)["clocks"])
    return (
        round((monotonic - time.clock_gettime(time.CLOCK_MONOTONIC)) / HOUR),
        round((boottime - time.clock_gettime(time.CLOCK_BOOTTIME)) / HOUR),
    )


def offsets_of(text: str) -> dict[str, list[str]]:
    return {line.split()[0]: line.split()[1:] for line in text.splitlines()}


def test_clocks_of_a_new_time_namespace_are_ahead(rack: Rack) -> None:
    container = rack.create("sleep", "60", change=with_clocks(OFFSETS))
    done = container.output("cat", "/proc/self/timens_offsets")
    assert offsets_of(done.text) == {
        "monotonic": [str(50 * HOUR), "500000000"],
        "boottime": [str(100 * HOUR), "7"],
    }
    assert clocks_of(container.output("probe").text) == (50, 100)
    assert clocks_of(rack.run("probe", change=with_clocks(OFFSETS)).text) == (50, 100)


def test_clocks_behind_the_hosts_are_possible_until_they_would_be_negative(rack: Rack) -> None:
    uptime = int(time.clock_gettime(time.CLOCK_BOOTTIME))
    done = rack.run("probe", change=with_clocks({"boottime": {"secs": -uptime + 5}}))
    assert 0 <= int(facts_of(done.text)["clocks"][1]) < 60
    with pytest.raises(StageError) as caught:
        rack.create("true", change=with_clocks({"boottime": {"secs": -10 * uptime - HOUR}}))
    assert (caught.value.stage, caught.value.errno) == ("time_offsets", errno.ERANGE)
    assert "negative" in str(caught.value)


def test_time_namespace_without_offsets_is_new_all_the_same(rack: Rack) -> None:
    container = rack.create("readlink", "/proc/self/ns/time", change=with_clocks(None))
    assert container.finish().text != str(Path("/proc/self/ns/time").readlink())


def in_user_namespace(spec: dict[str, Any]) -> None:
    linux = spec["linux"]
    linux.pop("seccomp")
    linux["sysctl"] = {}
    linux["namespaces"].append({"type": "user"})
    mappings = [{"containerID": 0, "hostID": 0, "size": 65536}]
    linux.update(uidMappings=mappings, gidMappings=mappings)


def test_process_in_a_user_namespace_has_all_of_it(rack: Rack) -> None:
    """What is written to files of its own in /proc, which are not its own there any more, and what needs privilege."""

    def change(spec: dict[str, Any]) -> None:
        in_user_namespace(spec)
        with_clocks(OFFSETS)(spec)
        spec["linux"]["memoryPolicy"] = {"mode": "MPOL_LOCAL"}
        spec["process"].update(
            oomScoreAdj=444,
            ioPriority={"class": "IOPRIO_CLASS_IDLE", "priority": 1},
            scheduler={"policy": "SCHED_BATCH", "nice": 4},
            user={"uid": 7, "gid": 8, "umask": 0o11, "additionalGids": [9, 10]},
            **capabilities((CHOWN,), (CHOWN,), (CHOWN,), (CHOWN,), (CHOWN,)),
        )

    container = rack.create("sleep", "60", change=change)
    first = facts_of(Path(f"/proc/{container.supervisor.pid}/timens_offsets").read_text())
    assert first["boottime"] == [str(100 * HOUR), "7"]
    facts = facts_of(container.output("probe").text)
    assert clocks_of(container.output("probe").text) == (50, 100)
    assert facts["scheduler"][:3] == [str(BATCH), "0", "4"]
    assert facts["io_priority"] == [str(3 << 13 | 1)]
    assert facts["memory_policy"][0] == "0x4"
    assert facts["umask"] == ["11"]
    text = Path(f"/proc/{container.supervisor.pid}/status").read_text()
    assert sets_of(text) == [mask([CHOWN])] * 5
    assert status_of(text)["Groups"] == "9 10"
    assert Path(f"/proc/{container.supervisor.pid}/oom_score_adj").read_text() == "444\n"


def test_real_time_in_a_user_namespace_is_refused_with_what_it_needs(rack: Rack) -> None:
    """The kernel wants the capability on the host, which the first process gave up for its own namespace."""

    def change(spec: dict[str, Any]) -> None:
        in_user_namespace(spec)
        spec["process"]["ioPriority"] = {"class": "IOPRIO_CLASS_RT", "priority": 1}

    with pytest.raises(StageError, match="CAP_SYS_NICE on the host") as caught:
        rack.create("true", change=change)
    assert (caught.value.stage, caught.value.errno) == ("io_priority", errno.EPERM)


def test_time_namespace_of_another_container_is_joined(rack: Rack) -> None:
    first = rack.create("sleep", "60", change=with_clocks(OFFSETS))
    path = f"/proc/{first.supervisor.pid}/ns/time"
    second = rack.create("sleep", "60", change=with_clocks(None, path))
    assert Path(f"/proc/{second.supervisor.pid}/ns/time").readlink() == Path(path).readlink()
    assert clocks_of(second.output("probe").text) == (50, 100)


def test_time_namespace_by_a_path_of_another_kind_is_refused(rack: Rack) -> None:
    with pytest.raises(StageError) as caught:
        rack.create("true", change=with_clocks(None, "/proc/self/ns/uts"))
    assert (caught.value.stage, caught.value.errno) == ("setns", errno.EINVAL)


def test_time_offsets_without_a_new_namespace_are_refused(rack: Rack) -> None:
    for change in (
        unfiltered(linux={"timeOffsets": OFFSETS}),
        with_clocks(OFFSETS, "/proc/self/ns/time"),
    ):
        with pytest.raises(InvalidArgument, match=r"linux\.timeOffsets"):
            rack.create("true", change=change)


# ---- resource control ----


@pytest.fixture
def resctrl(tmp_path: Path) -> Path:
    """The files that the kernel's file system has in a class, without a kernel behind them."""
    root = tmp_path / "resctrl"
    for place in (root, root / "gold"):
        place.mkdir()
        place.joinpath("tasks").write_text("")
        place.joinpath("schemata").write_text("    L3:0=7ff\n    MB:0=100\n")
        place.joinpath("mon_groups").mkdir()
    return root


def test_class_of_service_takes_the_container_and_its_execs(rack: Rack, resctrl: Path) -> None:
    files = KernelFiles(resctrl=str(resctrl))
    change = unfiltered(linux={"intelRdt": {"closID": "gold"}})
    container = rack.create("sleep", "60", change=change, files=files)
    tasks = resctrl / "gold/tasks"
    assert tasks.read_text() == str(container.supervisor.pid)
    with container.execute("sleep", "60", files=files) as process:
        assert tasks.read_text().endswith(str(process.pid))
        process.signal(9)
        process.wait(10)


def test_class_of_service_that_fails_leaves_nothing_of_the_container(rack: Rack, resctrl: Path) -> None:
    """The stand-in has no tasks file in what is made: as when the class is gone meanwhile."""
    before = sorted(resctrl.rglob("*"))
    with pytest.raises(StageError) as caught:
        rack.create(
            "true", change=unfiltered(linux={"intelRdt": {}}), files=KernelFiles(resctrl=str(resctrl))
        )
    assert (caught.value.stage, caught.value.errno) == ("cgroup_join", errno.ENOENT)
    until(lambda: sorted(resctrl.rglob("*")) == before)


def test_class_of_service_without_resctrl_is_refused(rack: Rack) -> None:
    if "resctrl" in Path("/proc/self/mounts").read_text():
        pytest.skip("resctrl is mounted here")
    with pytest.raises(Unsupported, match=r"linux\.intelRdt: no resctrl file system is mounted"):
        rack.create("true", change=unfiltered(linux={"intelRdt": {"closID": "gold"}}))
