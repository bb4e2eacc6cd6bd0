"""Each property of linux.resources, read back from the kernel of this machine, whichever version its cgroups are."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from containerlib.errors import Conflict, StageError, Unsupported
from containerlib.runtime.cgroups.cgroup import ContainerCgroup, remove_if_empty
from containerlib.runtime.cgroups.layout import Layout
from rig.groups import maker, value

pytestmark = [pytest.mark.privileged("CAP_SYS_ADMIN: makes cgroups"), pytest.mark.vm]

PARENT = f"/containerlib-test-{os.getpid()}"
MIB = 1 << 20
LAYOUT = Layout.host()
V2 = LAYOUT.unified is not None
on_v1 = pytest.mark.skipif(V2 or not LAYOUT.v1, reason="needs cgroup v1")
on_v2 = pytest.mark.skipif(not V2, reason="needs cgroup v2")


@pytest.fixture
def make() -> Iterator[Callable[..., ContainerCgroup]]:
    with maker(PARENT, LAYOUT) as make:
        yield make


def disk() -> str:
    """MAJOR:MINOR of a block device."""
    for path in sorted(Path("/sys/block").glob("*/dev")):
        return path.read_text().strip()
    pytest.skip("there is no block device")


@on_v1
@pytest.mark.parametrize(
    ("resources", "file", "expected"),
    [
        ({"memory": {"limit": 32 * MIB}}, "memory.limit_in_bytes", str(32 * MIB)),
        ({"memory": {"limit": -1}}, "memory.limit_in_bytes", "9223372036854771712"),
        ({"memory": {"limit": 32 * MIB, "swap": 48 * MIB}}, "memory.memsw.limit_in_bytes", str(48 * MIB)),
        ({"memory": {"limit": 32 * MIB, "swap": -1}}, "memory.memsw.limit_in_bytes", "9223372036854771712"),
        ({"memory": {"reservation": 16 * MIB}}, "memory.soft_limit_in_bytes", str(16 * MIB)),
        ({"memory": {"kernelTCP": MIB}}, "memory.kmem.tcp.limit_in_bytes", str(MIB)),
        ({"memory": {"kernel": MIB, "limit": MIB}}, "memory.kmem.limit_in_bytes", "9223372036854771712"),
        ({"memory": {"swappiness": 7}}, "memory.swappiness", "7"),
        ({"memory": {"useHierarchy": True}}, "memory.use_hierarchy", "1"),
        (
            {"memory": {"disableOOMKiller": True}},
            "memory.oom_control",
            "oom_kill_disable 1\nunder_oom 0\noom_kill 0",
        ),
        ({"cpu": {"shares": 512}}, "cpu.shares", "512"),
        ({"cpu": {"quota": 50_000, "period": 200_000}}, "cpu.cfs_quota_us", "50000"),
        ({"cpu": {"quota": 50_000, "period": 200_000}}, "cpu.cfs_period_us", "200000"),
        ({"cpu": {"quota": 50_000, "burst": 10_000}}, "cpu.cfs_burst_us", "10000"),
        ({"cpu": {"idle": 1}}, "cpu.idle", "1"),
        ({"cpu": {"idle": 1, "shares": 512}}, "cpu.idle", "1"),
        ({"cpu": {"realtimePeriod": 500_000}}, "cpu.rt_period_us", "500000"),
        ({"cpu": {"cpus": "0"}}, "cpuset.cpus", "0"),
        ({"cpu": {"mems": "0"}}, "cpuset.mems", "0"),
        ({"pids": {"limit": 7}}, "pids.max", "7"),
        ({"pids": {"limit": -1}}, "pids.max", "max"),
        ({"blockIO": {"weight": 300}}, "blkio.bfq.weight", "300"),
    ],
)
def test_v1_property_is_in_the_kernel(
    make: Callable[..., ContainerCgroup], resources: dict[str, Any], file: str, expected: str
) -> None:
    assert value(make(resources), file) == expected


@on_v1
@pytest.mark.parametrize(
    ("key", "file"),
    [
        ("throttleReadBpsDevice", "blkio.throttle.read_bps_device"),
        ("throttleWriteBpsDevice", "blkio.throttle.write_bps_device"),
        ("throttleReadIOPSDevice", "blkio.throttle.read_iops_device"),
        ("throttleWriteIOPSDevice", "blkio.throttle.write_iops_device"),
    ],
)
def test_v1_throttle_is_in_the_kernel(make: Callable[..., ContainerCgroup], key: str, file: str) -> None:
    major, minor = map(int, disk().split(":"))
    cgroup = make({"blockIO": {key: [{"major": major, "minor": minor, "rate": MIB}]}})
    assert value(cgroup, file) == f"{major}:{minor} {MIB}"


@on_v2
@pytest.mark.parametrize(
    ("resources", "file", "expected"),
    [
        ({"memory": {"limit": 32 * MIB}}, "memory.max", str(32 * MIB)),
        ({"memory": {"limit": -1}}, "memory.max", "max"),
        ({"memory": {"limit": 32 * MIB, "swap": 48 * MIB}}, "memory.swap.max", str(16 * MIB)),
        ({"memory": {"limit": 32 * MIB, "swap": -1}}, "memory.swap.max", "max"),
        ({"memory": {"reservation": 16 * MIB}}, "memory.low", str(16 * MIB)),
        ({"cpu": {"shares": 1024}}, "cpu.weight", "100"),
        ({"cpu": {"shares": 2000}}, "cpu.weight", "170"),
        ({"cpu": {"quota": 50_000, "period": 200_000}}, "cpu.max", "50000 200000"),
        ({"cpu": {"quota": 50_000, "burst": 10_000}}, "cpu.max.burst", "10000"),
        ({"cpu": {"idle": 1, "shares": 512}}, "cpu.idle", "1"),
        ({"cpu": {"cpus": "0"}}, "cpuset.cpus", "0"),
        ({"cpu": {"mems": "0"}}, "cpuset.mems", "0"),
        ({"pids": {"limit": 7}}, "pids.max", "7"),
        ({"pids": {"limit": -1}}, "pids.max", "max"),
        ({"blockIO": {"weight": 500}}, "io.weight", "default 4950"),
        ({"hugepageLimits": [{"pageSize": "2MB", "limit": 4 * MIB}]}, "hugetlb.2MB.max", str(4 * MIB)),
        ({"hugepageLimits": [{"pageSize": "2MB", "limit": 4 * MIB}]}, "hugetlb.2MB.rsvd.max", str(4 * MIB)),
        ({"unified": {"memory.high": str(20 * MIB), "memory.oom.group": "1"}}, "memory.high", str(20 * MIB)),
    ],
)
def test_v2_property_is_in_the_kernel(
    make: Callable[..., ContainerCgroup], resources: dict[str, Any], file: str, expected: str
) -> None:
    assert value(make(resources), file) == expected


@on_v2
def test_v2_throttle_of_two_kinds_is_in_the_kernel(make: Callable[..., ContainerCgroup]) -> None:
    major, minor = map(int, disk().split(":"))
    rate = {"major": major, "minor": minor, "rate": MIB}
    cgroup = make({"blockIO": {"throttleReadBpsDevice": [rate], "throttleWriteIOPSDevice": [rate]}})
    assert value(cgroup, "io.max") == f"{major}:{minor} rbps={MIB} wbps=max riops=max wiops={MIB}"


@on_v1
@pytest.mark.parametrize(
    ("resources", "names"),
    [
        ({"blockIO": {"leafWeight": 300}}, ("blockIO.leafWeight", "blkio.leaf_weight", "blkio")),
        ({"memory": {"useHierarchy": False}}, ("memory.useHierarchy", "memory.use_hierarchy", "memory")),
    ],
)
def test_what_the_kernel_lacks_is_refused_by_property_file_and_controller(
    resources: dict[str, Any], names: tuple[str, ...]
) -> None:
    cgroup = ContainerCgroup(f"{PARENT}/lacks")
    with pytest.raises(Unsupported) as caught:
        cgroup.create(resources)
    assert all(name in str(caught.value) for name in names)
    assert not any(Path(mount + cgroup.path).exists() for mount in LAYOUT.v1.values())
    remove_if_empty(PARENT, LAYOUT)


@pytest.mark.parametrize("resources", [{"rdma": {"mlx5_1": {"hcaHandles": 3}}}])
def test_controller_that_is_not_there_is_named_with_property_and_file(resources: dict[str, Any]) -> None:
    if "rdma" in LAYOUT.v1 or (V2 and "rdma" in Path(f"{LAYOUT.unified}/cgroup.controllers").read_text()):
        pytest.skip("this machine has an rdma controller")
    with pytest.raises(Unsupported, match=r"resources\.rdma\.mlx5_1.*rdma\.max.*'rdma'"):
        ContainerCgroup(f"{PARENT}/none").create(resources)
    remove_if_empty(PARENT, LAYOUT)


@on_v1
def test_process_joins_a_v1_cpuset_of_which_only_the_cpus_were_named(
    make: Callable[..., ContainerCgroup],
) -> None:
    cgroup = make({"cpu": {"cpus": "0"}})
    script = f"echo 0 > {cgroup.hierarchies['cpuset']}/tasks && grep Cpus_allowed_list /proc/self/status"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["Cpus_allowed_list:", "0"]


@on_v1
def test_v1_real_time_budget_is_in_the_kernel() -> None:
    """Below the root: a group elsewhere gets none that its parent has not."""
    if not Path(LAYOUT.v1.get("cpu", ""), "cpu.rt_runtime_us").exists():
        pytest.skip("this kernel does not divide real-time CPU time (CONFIG_RT_GROUP_SCHED)")
    cgroup = ContainerCgroup(f"{PARENT}-rt")
    cgroup.create({"cpu": {"realtimeRuntime": 1000, "realtimePeriod": 500_000}})
    try:
        assert value(cgroup, "cpu.rt_runtime_us") == "1000"
    finally:
        cgroup.remove()


EXTRA = """
import subprocess, sys
from pathlib import Path
from containerlib.runtime.cgroups.layout import Layout
from containerlib.runtime.cgroups.cgroup import ContainerCgroup
root = sys.argv[1]
Path(root, "CONTROLLER").mkdir()
if subprocess.run(["mount", "-t", "cgroup", "-o", "CONTROLLER", "none", f"{root}/CONTROLLER"]).returncode:
    sys.exit(77)
cgroup = ContainerCgroup("/containerlib-extra", Layout.detect(Path("/proc/self/mountinfo").read_text(), root))
try:
    cgroup.create(RESOURCES)
    print(Path(cgroup.hierarchies["CONTROLLER"], "FILE").read_text(), end="")
finally:
    cgroup.remove()
    subprocess.run(["umount", f"{root}/CONTROLLER"], check=True)
"""


@on_v1
@pytest.mark.parametrize(
    ("controller", "resources", "file", "expected"),
    [
        ("net_cls", {"network": {"classID": 0x100001}}, "net_cls.classid", "1048577"),
        (
            "net_prio",
            {"network": {"priorities": [{"name": "lo", "priority": 5}]}},
            "net_prio.ifpriomap",
            "lo 5",
        ),
        (
            "hugetlb",
            {"hugepageLimits": [{"pageSize": "2MB", "limit": 4 * MIB}]},
            "hugetlb.2MB.limit_in_bytes",
            str(4 * MIB),
        ),
        (
            "hugetlb",
            {"hugepageLimits": [{"pageSize": "2MB", "limit": 4 * MIB}]},
            "hugetlb.2MB.rsvd.limit_in_bytes",
            str(4 * MIB),
        ),
    ],
)
def test_controller_mounted_for_the_test_alone(
    tmp_path: Path, controller: str, resources: dict[str, Any], file: str, expected: str
) -> None:
    """Hierarchies that a machine seldom mounts: here in a mount namespace of their own."""
    if controller in LAYOUT.v1:
        pytest.skip(f"{controller} is mounted here already")
    code = EXTRA.replace("CONTROLLER", controller).replace("FILE", file).replace("RESOURCES", repr(resources))
    command = ["unshare", "-m", "--propagation", "private", sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode == 77:
        pytest.skip(f"the kernel does not mount {controller}: {done.stderr}")
    assert done.returncode == 0, done.stderr
    assert expected in done.stdout.splitlines()


def test_no_resources_ask_for_no_controller(make: Callable[..., ContainerCgroup]) -> None:
    cgroup = make({})
    names = {name for names in cgroup.hierarchies for name in names.split(",")}
    assert names <= {"", "devices", "freezer"}


@on_v2
def test_every_controller_is_on_where_all_statistics_are_wanted(make: Callable[..., ContainerCgroup]) -> None:
    cgroup = make({}, every=True)
    available = set(Path(f"{LAYOUT.unified}/cgroup.controllers").read_text().split())
    assert {"memory", "pids", "cpu"} <= available == set(value(cgroup, "cgroup.controllers").split())
    stats = cgroup.stats()
    assert None not in (stats.cpu, stats.memory, stats.pids, stats.block, stats.cpuset, stats.hugepages)


@on_v1
def test_group_in_every_hierarchy_where_all_statistics_are_wanted(
    make: Callable[..., ContainerCgroup],
) -> None:
    cgroup = make({}, every=True)
    assert {name for names in cgroup.hierarchies for name in names.split(",")} == set(LAYOUT.v1)
    stats = cgroup.stats()
    assert (stats.memory is not None, stats.cpuset is not None) == (
        "memory" in LAYOUT.v1,
        "cpuset" in LAYOUT.v1,
    )
    assert stats.pids is not None


# ---- groups that others made ----


def test_empty_group_of_others_is_used_and_left_standing(make: Callable[..., ContainerCgroup]) -> None:
    theirs = make({"pids": {"limit": 9}})
    ours = ContainerCgroup(theirs.path, adopt=True)
    ours.create({"pids": {"limit": 5}})
    assert value(theirs, "pids.max") == "5"
    assert set(ours.adopted) == set(theirs.directories)
    ours.remove()
    assert all(Path(directory).is_dir() for directory in theirs.directories)


def test_group_of_others_with_processes_or_frozen_is_refused(make: Callable[..., ContainerCgroup]) -> None:
    theirs = make({})
    with subprocess.Popen(["sleep", "100"]) as process:
        try:
            theirs.attach([process.pid])
            with pytest.raises(Conflict, match="processes"):
                ContainerCgroup(theirs.path, adopt=True).create({})
        finally:
            process.kill()
    theirs.kill()
    theirs.freeze()
    with pytest.raises(Conflict, match="frozen"):
        ContainerCgroup(theirs.path, adopt=True).create({})
    theirs.thaw()
    assert all(Path(directory).is_dir() for directory in theirs.directories)


def test_failed_creation_removes_nothing_of_others(make: Callable[..., ContainerCgroup]) -> None:
    theirs = make({})
    with pytest.raises((StageError, Unsupported)):
        ContainerCgroup(theirs.path, adopt=True).create({"cpu": {"quota": 1, "period": 1}})
    assert all(Path(directory).is_dir() for directory in theirs.directories)
