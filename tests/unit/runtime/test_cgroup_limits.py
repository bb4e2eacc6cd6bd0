"""Each property of linux.resources on each version. What the kernel makes of it: tests/integration/test_cgroup_*.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from containerlib.errors import InvalidArgument, Unsupported
from containerlib.runtime.cgroups.limits import Setting, io_weight, weight_of_shares
from containerlib.runtime.cgroups.limits_v1 import v1_settings
from containerlib.runtime.cgroups.limits_v2 import v2_settings

Settings = Callable[[dict[str, Any]], list[Setting]]

BOTH = pytest.mark.parametrize("settings", [v1_settings, v2_settings])
DISK = {"major": 8, "minor": 16}


def written(settings: list[Setting]) -> list[tuple[str, str, str]]:
    return [(setting.controller, setting.file, setting.value) for setting in settings]


def test_limits_become_v1_files_memory_before_swap() -> None:
    limits = {
        "memory": {"limit": 1000, "swap": 1500, "reservation": 500},
        "cpu": {"quota": 150_000, "period": 100_000, "shares": 1024},
        "pids": {"limit": 100},
    }
    assert [(s.file, s.value) for s in v1_settings(limits)] == [
        ("memory.limit_in_bytes", "1000"),
        ("memory.memsw.limit_in_bytes", "1500"),
        ("memory.soft_limit_in_bytes", "500"),
        ("cpu.shares", "1024"),
        ("cpu.cfs_period_us", "100000"),
        ("cpu.cfs_quota_us", "150000"),
        ("pids.max", "100"),
    ]


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({"memory": {"limit": 4096}}, ("memory", "memory.limit_in_bytes", "4096")),
        ({"memory": {"limit": 4096}, "cpu": {}}, ("memory", "memory.limit_in_bytes", "4096")),
        ({"memory": {"reservation": 7}}, ("memory", "memory.soft_limit_in_bytes", "7")),
        ({"memory": {"reservation": -1}}, ("memory", "memory.soft_limit_in_bytes", "-1")),
        ({"memory": {"kernelTCP": 7}}, ("memory", "memory.kmem.tcp.limit_in_bytes", "7")),
        ({"memory": {"swappiness": 0}}, ("memory", "memory.swappiness", "0")),
        ({"memory": {"swappiness": 100}}, ("memory", "memory.swappiness", "100")),
        ({"memory": {"disableOOMKiller": True}}, ("memory", "memory.oom_control", "1")),
        ({"memory": {"useHierarchy": True}}, ("memory", "memory.use_hierarchy", "1")),
        ({"memory": {"useHierarchy": False}}, ("memory", "memory.use_hierarchy", "0")),
        ({"cpu": {"shares": 512}}, ("cpu", "cpu.shares", "512")),
        ({"cpu": {"quota": -1}}, ("cpu", "cpu.cfs_quota_us", "-1")),
        ({"cpu": {"quota": 5000}}, ("cpu", "cpu.cfs_quota_us", "5000")),
        ({"cpu": {"period": 5000}}, ("cpu", "cpu.cfs_period_us", "5000")),
        ({"cpu": {"burst": 5000}}, ("cpu", "cpu.cfs_burst_us", "5000")),
        ({"cpu": {"burst": 0}}, ("cpu", "cpu.cfs_burst_us", "0")),
        ({"cpu": {"idle": 1}}, ("cpu", "cpu.idle", "1")),
        ({"cpu": {"idle": 0}}, ("cpu", "cpu.idle", "0")),
        ({"cpu": {"realtimeRuntime": 9000}}, ("cpu", "cpu.rt_runtime_us", "9000")),
        ({"cpu": {"realtimePeriod": 9000}}, ("cpu", "cpu.rt_period_us", "9000")),
        ({"cpu": {"cpus": "0-1,3"}}, ("cpuset", "cpuset.cpus", "0-1,3")),
        ({"cpu": {"mems": "0"}}, ("cpuset", "cpuset.mems", "0")),
        ({"pids": {"limit": 100}}, ("pids", "pids.max", "100")),
        ({"pids": {"limit": -1}}, ("pids", "pids.max", "max")),
        ({"pids": {"limit": 0}}, ("pids", "pids.max", "1")),
        ({"blockIO": {"weight": 500}}, ("blkio", "blkio.weight", "500")),
        ({"blockIO": {"leafWeight": 300}}, ("blkio", "blkio.leaf_weight", "300")),
        ({"blockIO": {"weightDevice": [{**DISK, "weight": 5}]}}, ("blkio", "blkio.weight_device", "8:16 5")),
        (
            {"blockIO": {"weightDevice": [{**DISK, "leafWeight": 5}]}},
            ("blkio", "blkio.leaf_weight_device", "8:16 5"),
        ),
        (
            {"blockIO": {"throttleReadBpsDevice": [{**DISK, "rate": 600}]}},
            ("blkio", "blkio.throttle.read_bps_device", "8:16 600"),
        ),
        (
            {"blockIO": {"throttleWriteBpsDevice": [{**DISK, "rate": 600}]}},
            ("blkio", "blkio.throttle.write_bps_device", "8:16 600"),
        ),
        (
            {"blockIO": {"throttleReadIOPSDevice": [{**DISK, "rate": 600}]}},
            ("blkio", "blkio.throttle.read_iops_device", "8:16 600"),
        ),
        (
            {"blockIO": {"throttleWriteIOPSDevice": [{**DISK, "rate": 0}]}},
            ("blkio", "blkio.throttle.write_iops_device", "8:16 0"),
        ),
        ({"rdma": {"mlx5_1": {"hcaHandles": 3}}}, ("rdma", "rdma.max", "mlx5_1 hca_handle=3")),
        ({"network": {"classID": 1048577}}, ("net_cls", "net_cls.classid", "1048577")),
        (
            {"network": {"priorities": [{"name": "eth0", "priority": 500}]}},
            ("net_prio", "net_prio.ifpriomap", "eth0 500"),
        ),
    ],
)
def test_property_becomes_its_v1_file(resources: dict[str, Any], expected: tuple[str, str, str]) -> None:
    (setting,) = v1_settings(resources)
    assert (setting.controller, setting.file, setting.value) == expected
    assert setting.property.split(".")[0] in resources


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({"memory": {"limit": 4096}}, ("memory", "memory.max", "4096")),
        ({"memory": {"reservation": 7}}, ("memory", "memory.low", "7")),
        ({"memory": {"reservation": -1}}, ("memory", "memory.low", "max")),
        ({"memory": {"swap": -1}}, ("memory", "memory.swap.max", "max")),
        ({"cpu": {"shares": 1024}}, ("cpu", "cpu.weight", "100")),
        ({"cpu": {"quota": 5000}}, ("cpu", "cpu.max", "5000 100000")),
        ({"cpu": {"quota": -1}}, ("cpu", "cpu.max", "max 100000")),
        ({"cpu": {"quota": 5000, "period": 20_000}}, ("cpu", "cpu.max", "5000 20000")),
        ({"cpu": {"period": 20_000}}, ("cpu", "cpu.max", "max 20000")),
        ({"cpu": {"burst": 5000}}, ("cpu", "cpu.max.burst", "5000")),
        ({"cpu": {"idle": 1}}, ("cpu", "cpu.idle", "1")),
        ({"cpu": {"idle": 0}}, ("cpu", "cpu.idle", "0")),
        ({"cpu": {"cpus": "0-1,3"}}, ("cpuset", "cpuset.cpus", "0-1,3")),
        ({"cpu": {"mems": "0"}}, ("cpuset", "cpuset.mems", "0")),
        ({"pids": {"limit": 100}}, ("pids", "pids.max", "100")),
        ({"pids": {"limit": -1}}, ("pids", "pids.max", "max")),
        ({"pids": {"limit": 0}}, ("pids", "pids.max", "1")),
        ({"blockIO": {"weight": 500}}, ("io", "io.bfq.weight", "500")),
        ({"blockIO": {"weightDevice": [{**DISK, "weight": 5}]}}, ("io", "io.bfq.weight", "8:16 5")),
        (
            {"blockIO": {"throttleReadBpsDevice": [{**DISK, "rate": 6}]}},
            ("io", "io.max", "8:16 rbps=6"),
        ),
        (
            {
                "blockIO": {
                    "throttleWriteBpsDevice": [{**DISK, "rate": 7}],
                    "throttleReadIOPSDevice": [{**DISK, "rate": 8}],
                    "throttleWriteIOPSDevice": [{**DISK, "rate": 0}],
                }
            },
            ("io", "io.max", "8:16 wbps=7 riops=8 wiops=max"),
        ),
        (
            {"rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 0}}},
            ("rdma", "rdma.max", "mlx5_1 hca_handle=3 hca_object=0"),
        ),
        ({"unified": {"memory.high": "900"}}, ("memory", "memory.high", "900")),
        ({"unified": {"new.thing": "x y"}}, ("new", "new.thing", "x y")),
    ],
)
def test_property_becomes_its_v2_file(resources: dict[str, Any], expected: tuple[str, str, str]) -> None:
    (setting,) = v2_settings(resources)
    assert (setting.controller, setting.file, setting.value) == expected
    assert setting.property.split(".")[0].split(" ")[0] in resources


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (v1_settings, ["hugetlb.2MB.limit_in_bytes", "hugetlb.2MB.rsvd.limit_in_bytes"]),
        (v2_settings, ["hugetlb.2MB.max", "hugetlb.2MB.rsvd.max"]),
    ],
)
def test_hugepages_are_limited_in_use_and_where_the_kernel_can_in_reservations(
    settings: Settings, expected: list[str]
) -> None:
    made = settings({"hugepageLimits": [{"pageSize": "2MB", "limit": 4096}]})
    assert [(s.file, s.value, s.optional) for s in made] == [
        (expected[0], "4096", False),
        (expected[1], "4096", True),
    ]


@pytest.mark.parametrize(
    ("settings", "resources", "first", "then"),
    [
        (v1_settings, {"weight": 500}, ("blkio.weight", "500"), ("blkio.bfq.weight", "500")),
        (
            v1_settings,
            {"weightDevice": [{**DISK, "weight": 9}]},
            ("blkio.weight_device", "8:16 9"),
            ("blkio.bfq.weight_device", "8:16 9"),
        ),
        (v2_settings, {"weight": 500}, ("io.bfq.weight", "500"), ("io.weight", "4950")),
        (
            v2_settings,
            {"weightDevice": [{**DISK, "weight": 500}]},
            ("io.bfq.weight", "8:16 500"),
            ("io.weight", "8:16 4950"),
        ),
    ],
)
def test_block_weight_has_a_second_file_for_another_scheduler(
    settings: Settings, resources: dict[str, Any], first: tuple[str, str], then: tuple[str, str]
) -> None:
    (setting,) = settings({"blockIO": resources})
    assert setting.instead is not None
    assert (setting.file, setting.value) == first
    assert (setting.instead.file, setting.instead.value) == then


@pytest.mark.parametrize(
    ("limit", "swap", "expected"),
    [
        (1000, 1500, [("memory.max", "1000"), ("memory.swap.max", "500")]),
        (1000, 1000, [("memory.max", "1000"), ("memory.swap.max", "0")]),
        (1000, -1, [("memory.max", "1000"), ("memory.swap.max", "max")]),
        (-1, -1, [("memory.max", "max"), ("memory.swap.max", "max")]),
        (-1, None, [("memory.max", "max"), ("memory.swap.max", "max")]),
        (-1, 1500, [("memory.max", "max"), ("memory.swap.max", "1500")]),
        (1000, None, [("memory.max", "1000")]),
        (1000, 0, [("memory.max", "1000")]),
        (None, None, []),
    ],
)
def test_swap_is_counted_without_memory_on_v2(
    limit: int | None, swap: int | None, expected: list[tuple[str, str]]
) -> None:
    assert [(s.file, s.value) for s in v2_settings({"memory": {"limit": limit, "swap": swap}})] == expected


@pytest.mark.parametrize(("limit", "swap"), [(100, 50), (None, 50)])
def test_swap_that_says_nothing_is_refused_on_v2(limit: int | None, swap: int) -> None:
    with pytest.raises(InvalidArgument) as caught:
        v2_settings({"memory": {"limit": limit, "swap": swap}})
    assert caught.value.field == "resources.memory.swap"


def test_no_memory_limit_is_none_on_swap_and_comes_first_on_v1() -> None:
    assert [(s.file, s.value, s.optional) for s in v1_settings({"memory": {"limit": -1}})] == [
        ("memory.memsw.limit_in_bytes", "-1", True),
        ("memory.limit_in_bytes", "-1", False),
    ]


@BOTH
@pytest.mark.parametrize(("swap", "optional"), [(200, True), (-1, True), (150, False)])
def test_only_dockers_default_of_swap_may_go_without_accounting(
    settings: Settings, swap: int, optional: bool
) -> None:
    made = settings({"memory": {"limit": 100, "swap": swap}})
    setting = next(s for s in made if "memsw" in s.file or "swap" in s.file)
    assert setting.optional is optional


def test_update_of_half_a_value_is_completed_from_the_group_on_v2() -> None:
    now = {"cpu.max": "5000 20000\n", "memory.max": "1000\n"}
    made = v2_settings({"cpu": {"period": 40_000}, "memory": {"swap": 1500}}, now.__getitem__)
    assert [(s.file, s.value) for s in made] == [("memory.swap.max", "500"), ("cpu.max", "5000 40000")]
    (quota,) = v2_settings({"cpu": {"quota": 9000}}, now.__getitem__)
    assert quota.value == "9000 20000"


def test_update_of_swap_without_a_memory_limit_takes_it_whole_on_v2() -> None:
    (setting,) = v2_settings({"memory": {"swap": 1500}}, {"memory.max": "max\n"}.__getitem__)
    assert setting.value == "1500"


def test_idle_is_taken_back_before_shares_and_given_after() -> None:
    for settings, weight in ((v1_settings, "cpu.shares"), (v2_settings, "cpu.weight")):
        assert [s.file for s in settings({"cpu": {"idle": 0, "shares": 9}})] == ["cpu.idle", weight]
        assert [s.file for s in settings({"cpu": {"idle": 1, "shares": 9}})] == [weight, "cpu.idle"]


@pytest.mark.parametrize(
    ("resources", "name"),
    [
        ({"memory": {"kernelTCP": 1}}, "memory.kernelTCP"),
        ({"memory": {"swappiness": 0}}, "memory.swappiness"),
        ({"memory": {"disableOOMKiller": True}}, "memory.disableOOMKiller"),
        ({"memory": {"useHierarchy": False}}, "memory.useHierarchy"),
        ({"cpu": {"realtimeRuntime": 1}}, "cpu.realtimeRuntime"),
        ({"cpu": {"realtimePeriod": 1}}, "cpu.realtimePeriod"),
        ({"blockIO": {"leafWeight": 1}}, "blockIO.leafWeight"),
        ({"blockIO": {"weightDevice": [{**DISK, "leafWeight": 1}]}}, "leafWeight"),
        ({"network": {"classID": 1}}, "network.classID"),
        ({"network": {"priorities": [{"name": "lo", "priority": 1}]}}, "network.priorities"),
    ],
)
def test_what_v2_lacks_is_refused_by_name(resources: dict[str, Any], name: str) -> None:
    assert v1_settings(resources)
    with pytest.raises(Unsupported, match=rf"resources\..*{name}"):
        v2_settings(resources)


def test_unified_is_refused_by_name_on_v1() -> None:
    with pytest.raises(Unsupported, match=r"unified.*memory\.high.*v2"):
        v1_settings({"unified": {"memory.high": "1"}})


@BOTH
def test_empty_sections_and_unset_values_of_other_tools_are_passed_over(settings: Settings) -> None:
    unset = {
        "blockIO": {"weight": 0, "leafWeight": 0, "weightDevice": [], "throttleReadBpsDevice": None},
        "memory": {"limit": 0, "swap": 0, "kernel": 5, "kernelTCP": -1, "disableOOMKiller": False},
        "cpu": {"shares": 0, "quota": 0, "period": 0, "cpus": "", "realtimeRuntime": 0},
        "pids": {},
        "network": {"classID": 0, "priorities": None},
        "hugepageLimits": [],
        "rdma": None,
        "unified": {},
    }
    made = [setting for setting in settings(unset) if "tcp" not in setting.file]
    assert made == []
    assert settings({"cpu": None}) == []


@BOTH
def test_property_that_the_specification_does_not_know_is_passed_over(settings: Settings) -> None:
    assert settings({"tomorrow": {"limit": 1}, "memory": {"colour": 5}}) == []


@BOTH
@pytest.mark.parametrize(
    ("resources", "field"),
    [
        ({"memory": {"limit": "1g"}}, "memory.limit"),
        ({"memory": {"limit": True}}, "memory.limit"),
        ({"memory": {"limit": 2**63}}, "memory.limit"),
        ({"memory": {"limit": -5}}, "memory.limit"),
        ({"memory": {"swap": -2}}, "memory.swap"),
        ({"memory": {"swappiness": 101}}, "memory.swappiness"),
        ({"memory": {"disableOOMKiller": 1}}, "memory.disableOOMKiller"),
        ({"memory": 5}, "memory"),
        ({"cpu": {"shares": -1}}, "cpu.shares"),
        ({"cpu": {"idle": 2}}, "cpu.idle"),
        ({"cpu": {"cpus": "0 1"}}, "cpu.cpus"),
        ({"cpu": {"cpus": "0\n1"}}, "cpu.cpus"),
        ({"pids": {"limit": -2}}, "pids.limit"),
        ({"pids": {"limit": 1.5}}, "pids.limit"),
        ({"blockIO": {"weight": 1001}}, "blockIO.weight"),
        ({"blockIO": {"weightDevice": [{"major": 8}]}}, "blockIO.weightDevice[0].major"),
        ({"blockIO": {"weightDevice": [DISK]}}, "blockIO.weightDevice[0].weight"),
        ({"blockIO": {"weightDevice": "8:0"}}, "blockIO.weightDevice"),
        ({"blockIO": {"throttleReadBpsDevice": [DISK]}}, "blockIO.throttleReadBpsDevice[0].rate"),
        ({"blockIO": {"throttleReadBpsDevice": [5]}}, "blockIO.throttleReadBpsDevice[0]"),
        ({"hugepageLimits": [{"pageSize": "2MB"}]}, "hugepageLimits[0].limit"),
        ({"hugepageLimits": [{"pageSize": "../2MB", "limit": 1}]}, "hugepageLimits[0].pageSize"),
        ({"hugepageLimits": [{"pageSize": "2mb", "limit": 1}]}, "hugepageLimits[0].pageSize"),
        ({"rdma": {"mlx": {}}}, "rdma.mlx"),
        ({"rdma": {"a b": {"hcaHandles": 1}}}, "rdma"),
        ({"rdma": {"mlx": {"hcaHandles": -1}}}, "rdma.mlx.hcaHandles"),
    ],
)
def test_value_that_cannot_be_is_refused_by_name(
    settings: Settings, resources: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        settings(resources)
    assert caught.value.field == f"resources.{field}"


@pytest.mark.parametrize("name", ["", "a/b", "a b", "a\nb"])
def test_interface_name_that_could_be_another_line_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgument):
        v1_settings({"network": {"priorities": [{"name": name, "priority": 1}]}})


@pytest.mark.parametrize(
    "file",
    [
        "memory",
        "../x.y",
        ".max",
        "a/b.c",
        "memory.",
        "cgroup.procs",
        "cgroup.threads",
        "cgroup.kill",
        "a.b\0",
    ],
)
def test_unified_names_are_files_of_limits(file: str) -> None:
    with pytest.raises(InvalidArgument):
        v2_settings({"unified": {file: "1"}})


def test_unified_value_of_two_lines_is_two_writes() -> None:
    """Spec: runtime-spec config-linux.md#unified (its example)"""
    made = v2_settings({"unified": {"io.max": "259:0 rbps=2097152 wiops=120\n253:0 rbps=2097152\n"}})
    assert written(made) == [
        ("io", "io.max", "259:0 rbps=2097152 wiops=120"),
        ("io", "io.max", "253:0 rbps=2097152"),
    ]


@pytest.mark.parametrize(
    ("shares", "weight"),
    [
        (0, 1),
        (2, 1),
        (3, 2),
        (100, 17),
        (1024, 100),
        (2000, 170),
        (22000, 1204),
        (262144, 10000),
        (10**9, 10000),
    ],
)
def test_shares_become_the_weight_that_peers_make_of_them(shares: int, weight: int) -> None:
    """170 of 2000 and 1204 of 22000: opencontainers/runc#4896, youki-dev/youki#3274"""
    assert weight_of_shares(shares) == weight


@given(st.integers(2, 262143))
def test_more_shares_are_never_less_weight(shares: int) -> None:
    assert 1 <= weight_of_shares(shares) <= weight_of_shares(shares + 1) <= 10000


@pytest.mark.parametrize(("weight", "io"), [(1, 1), (10, 1), (100, 910), (500, 4950), (1000, 10000)])
def test_block_weight_becomes_an_io_weight(weight: int, io: int) -> None:
    assert io_weight(weight) == io
