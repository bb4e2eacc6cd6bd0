from __future__ import annotations

from typing import Any

import pytest

from containerlib.errors import InvalidArgument, Unsupported
from containerlib.runtime.cgroup_limits import device_lines, v1_settings, v2_settings

LIMITS = {
    "memory": {"limit": 1000, "swap": 1500, "reservation": 500},
    "cpu": {"quota": 150_000, "period": 100_000, "shares": 1024},
    "pids": {"limit": 100},
}


def test_limits_become_v1_files_memory_before_swap() -> None:
    assert [(s.file, s.value) for s in v1_settings(LIMITS)] == [
        ("memory.limit_in_bytes", "1000"),
        ("memory.soft_limit_in_bytes", "500"),
        ("memory.memsw.limit_in_bytes", "1500"),
        ("cpu.shares", "1024"),
        ("cpu.cfs_period_us", "100000"),
        ("cpu.cfs_quota_us", "150000"),
        ("pids.max", "100"),
    ]


def test_limits_become_v2_files_with_swap_apart_from_memory() -> None:
    assert [(s.file, s.value) for s in v2_settings({**LIMITS, "unified": {"memory.high": "900"}})] == [
        ("memory.max", "1000"),
        ("memory.low", "500"),
        ("memory.swap.max", "500"),
        ("cpu.weight", "39"),
        ("cpu.max", "150000 100000"),
        ("pids.max", "100"),
        ("memory.high", "900"),
    ]


@pytest.mark.parametrize(("swap", "optional"), [(200, True), (-1, True), (150, False)])
def test_only_dockers_default_of_swap_may_go_without_accounting(swap: int, optional: bool) -> None:
    setting = next(s for s in v1_settings({"memory": {"limit": 100, "swap": swap}}) if "memsw" in s.file)
    assert setting.optional is optional


@pytest.mark.parametrize("limit", [-1])
def test_minus_one_is_no_limit(limit: int) -> None:
    resources = {"memory": {"limit": limit, "swap": limit}, "cpu": {"quota": limit}, "pids": {"limit": limit}}
    assert [(s.file, s.value) for s in v2_settings(resources)] == [
        ("memory.max", "max"),
        ("memory.swap.max", "max"),
        ("cpu.max", "max 100000"),
        ("pids.max", "max"),
    ]


@pytest.mark.parametrize("settings", [v1_settings, v2_settings])
@pytest.mark.parametrize(
    "resources",
    [
        {"blockIO": {"weight": 10}},
        {"cpu": {"cpus": "0-1"}},
        {"memory": {"kernel": 1}},
        {"hugepageLimits": [{"pageSize": "2MB", "limit": 1}]},
    ],
)
def test_limit_that_nobody_would_keep_is_refused(settings: Any, resources: dict[str, Any]) -> None:
    with pytest.raises(Unsupported, match=r"resources\."):
        settings(resources)


@pytest.mark.parametrize("settings", [v1_settings, v2_settings])
def test_empty_sections_of_other_tools_are_passed_over(settings: Any) -> None:
    assert (
        settings({"blockIO": {}, "memory": {"limit": 0, "disableOOMKiller": False}, "cpu": None, "pids": {}})
        == []
    )


def test_unified_needs_v2() -> None:
    with pytest.raises(Unsupported, match="v2"):
        v1_settings({"unified": {"memory.high": "1"}})


@pytest.mark.parametrize("file", ["memory", "../x.y", ".max", "a/b.c"])
def test_unified_names_are_files_of_controllers(file: str) -> None:
    with pytest.raises(InvalidArgument):
        v2_settings({"unified": {file: "1"}})


def test_swap_below_memory_is_refused() -> None:
    with pytest.raises(InvalidArgument):
        v2_settings({"memory": {"limit": 100, "swap": 50}})


def test_device_rules_become_one_line_each_in_order() -> None:
    rules = [
        {"allow": False, "access": "rwm"},
        {"allow": True, "type": "c", "access": "m"},
        {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rw"},
        {"allow": False, "type": "b", "major": 8, "minor": -1},
    ]
    assert device_lines(rules) == [
        ("devices.deny", "a"),
        ("devices.allow", "c *:* m"),
        ("devices.allow", "c 1:3 rw"),
        ("devices.deny", "b 8:* rwm"),
    ]
