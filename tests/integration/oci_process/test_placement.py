"""When and where the process runs, and what it is taken for: read back of the first process and of an exec."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from containerlib.errors import StageError, Unsupported
from containerlib.runtime.kernel import KernelFiles
from rig.bundles import Bundled, Rack, until
from rig.process import facts_of, refused, unfiltered

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

OTHER, FIFO, RR, BATCH, ISO, IDLE, DEADLINE = range(7)
LOCAL_CPUS = sorted(os.sched_getaffinity(0))


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


def test_scheduler_that_only_other_kernels_have_is_for_the_kernel_to_refuse(rack: Rack) -> None:
    try:
        os.sched_setscheduler(0, ISO, os.sched_param(0))
    except OSError:
        error = refused(rack, process={"scheduler": {"policy": "SCHED_ISO"}})
        assert (error.stage, error.errno) == ("scheduler", errno.EINVAL)
        assert "Linux itself has no SCHED_ISO" in str(error)
    else:
        pytest.skip("this kernel has SCHED_ISO")


@pytest.mark.parametrize(
    ("name", "number"), [("IOPRIO_CLASS_RT", 1), ("IOPRIO_CLASS_BE", 2), ("IOPRIO_CLASS_IDLE", 3)]
)
def test_io_priority_is_class_and_level(look: Callable[..., str], name: str, number: int) -> None:
    facts = facts_of(look("probe", process={"ioPriority": {"class": name, "priority": 3}}))
    assert int(facts["io_priority"][0]) == number << 13 | 3


# ---- where it runs ----


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
