"""linux.resources as properties of a systemd unit."""

from __future__ import annotations

import time
from typing import Any

import pytest

from containerlib.errors import InvalidArgument
from containerlib.runtime.cgroups.path import ScopeName
from containerlib.runtime.cgroups.systemd_properties import (
    annotated_properties,
    cpu_mask,
    scope_properties,
    unit_properties,
)

MIB = 1 << 20
INFINITY = 2**64 - 1
NAME = ScopeName("libpod-web.scope", "machine-x.slice")


def test_scope_is_delegated_in_its_slice_with_its_processes() -> None:
    properties = dict(scope_properties(NAME, [41, 42], unified=True))
    assert properties["Slice"] == ("s", "machine-x.slice")
    assert properties["Delegate"] == ("b", True)
    assert properties["PIDs"] == ("au", [41, 42])
    assert properties["DefaultDependencies"] == ("b", False)
    assert {name for name in properties if "Accounting" in name} == {
        "MemoryAccounting",
        "CPUAccounting",
        "IOAccounting",
        "TasksAccounting",
    }
    assert "BlockIOAccounting" in dict(scope_properties(NAME, [1], unified=False))


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({"memory": {"limit": 64 * MIB}}, {"MemoryMax": ("t", 64 * MIB)}),
        ({"memory": {"limit": -1}}, {"MemoryMax": ("t", INFINITY), "MemorySwapMax": ("t", INFINITY)}),
        (
            {"memory": {"limit": 64 * MIB, "swap": 96 * MIB}},
            {"MemoryMax": ("t", 64 * MIB), "MemorySwapMax": ("t", 32 * MIB)},
        ),
        ({"memory": {"reservation": 5}}, {"MemoryLow": ("t", 5)}),
        ({"cpu": {"shares": 2000}}, {"CPUWeight": ("t", 170)}),
        ({"cpu": {"shares": 2000, "idle": 1}}, {"CPUWeight": ("t", 0)}),
        ({"cpu": {"quota": 50_000}}, {"CPUQuotaPerSecUSec": ("t", 500_000)}),
        (
            {"cpu": {"quota": 25_500, "period": 100_000}},
            {"CPUQuotaPeriodUSec": ("t", 100_000), "CPUQuotaPerSecUSec": ("t", 260_000)},
        ),
        ({"cpu": {"quota": -1}}, {"CPUQuotaPerSecUSec": ("t", INFINITY)}),
        (
            {"cpu": {"cpus": "0-1,9", "mems": "0"}},
            {"AllowedCPUs": ("ay", b"\x03\x02"), "AllowedMemoryNodes": ("ay", b"\x01")},
        ),
        ({"pids": {"limit": 7}}, {"TasksMax": ("t", 7)}),
        ({"pids": {"limit": -1}}, {"TasksMax": ("t", INFINITY)}),
        ({"pids": {"limit": 0}}, {"TasksMax": ("t", 1)}),
        (
            {"unified": {"memory.high": "max", "memory.min": "5", "pids.max": "9", "io.max": "8:0 rbps=1"}},
            {"MemoryHigh": ("t", INFINITY), "MemoryMin": ("t", 5), "TasksMax": ("t", 9)},
        ),
        ({"blockIO": {"weight": 5}, "hugepageLimits": [{"pageSize": "2MB", "limit": 1}]}, {}),
    ],
)
def test_limit_becomes_a_unit_property(resources: dict[str, Any], expected: dict[str, Any]) -> None:
    assert dict(unit_properties(resources, 252, unified=True)) == expected


def test_old_systemd_is_not_told_what_it_does_not_know() -> None:
    cpu = {"quota": 50_000, "period": 50_000, "cpus": "0", "idle": 1}
    assert dict(unit_properties({"cpu": cpu}, 239, unified=True)) == {"CPUQuotaPerSecUSec": ("t", 1_000_000)}


def test_v1_has_its_own_words() -> None:
    resources = {"memory": {"limit": 5, "swap": 9}, "cpu": {"shares": 512}, "blockIO": {"weight": 300}}
    assert dict(unit_properties(resources, 252, unified=False)) == {
        "MemoryLimit": ("t", 5),
        "CPUShares": ("t", 512),
        "BlockIOWeight": ("t", 300),
    }


def test_device_rules_become_a_strict_list() -> None:
    rules = [
        {"allow": False, "access": "rwm"},
        {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rw"},
        {"allow": True, "type": "c", "major": 136, "access": "rwm"},
        {"allow": True, "type": "b", "access": "m"},
    ]
    assert dict(unit_properties({"devices": rules}, 252, unified=True)) == {
        "DevicePolicy": ("s", "strict"),
        "DeviceAllow": ("a(ss)", [("/dev/char/1:3", "rw"), ("char-136", "rwm"), ("block-*", "m")]),
    }


@pytest.mark.parametrize(
    "rules",
    [
        [{"allow": True, "access": "rwm"}],
        [{"allow": False}, {"allow": True, "type": "c", "minor": 3}],
        [
            {"allow": False},
            {"allow": True, "type": "c", "major": 1},
            {"allow": False, "type": "c", "major": 1, "minor": 3},
        ],
    ],
)
def test_device_rules_that_are_no_list_are_left_to_the_containers_own_program_on_v2(
    rules: list[dict[str, Any]],
) -> None:
    properties = dict(unit_properties({"devices": rules}, 252, unified=True))
    assert properties == {"DevicePolicy": ("s", "auto"), "DeviceAllow": ("a(ss)", [])}


def test_device_rules_that_are_no_list_allow_less_on_v1() -> None:
    """systemd writes to the files that hold the rules: `auto` would allow everything at the next daemon-reload."""
    rules = [{"allow": False}, {"allow": True, "type": "c", "minor": 3}]
    properties = dict(unit_properties({"devices": rules}, 252, unified=False))
    assert properties == {"DevicePolicy": ("s", "strict"), "DeviceAllow": ("a(ss)", [])}


@pytest.mark.parametrize(
    ("text", "mask"), [("0", [1]), ("0-3", [15]), ("8", [0, 1]), ("1,3,5-6", [0b1101010])]
)
def test_list_of_numbers_is_a_mask(text: str, mask: list[int]) -> None:
    assert cpu_mask(text) == mask


def test_list_of_many_ranges_is_a_mask_at_once() -> None:
    started = time.thread_time()
    assert cpu_mask("0-65535," * 2000 + "0") == [255] * 8192
    assert time.thread_time() - started < 1.0


@pytest.mark.parametrize(
    ("file", "value"),
    [("memory.max", "\u00b2"), ("memory.max", "9" * 5000), ("pids.max", str(2**64)), ("cpu.weight", "-1")],
)
def test_value_that_systemd_cannot_have_is_left_to_the_file(file: str, value: str) -> None:
    assert unit_properties({"unified": {file: value}}, 252, unified=True) == []


def test_quota_beyond_what_systemd_can_have_is_none() -> None:
    properties = dict(unit_properties({"cpu": {"quota": 2**63 - 1, "period": 1}}, 252, unified=True))
    assert properties["CPUQuotaPerSecUSec"] == ("t", 2**64 - 1)


@pytest.mark.parametrize("text", ["a", "1-", "-1", "1-b", "3-1", "99999999", "", "\u0663", "9" * 5000])
def test_list_of_no_numbers_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        cpu_mask(text)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("TimeoutStopUSec", "uint64 123456789", ("TimeoutStopUSec", ("t", 123456789))),
        ("TimeoutStopSec", "uint64 5", ("TimeoutStopUSec", ("t", 5_000_000))),
        ("TimeoutStopSec", "double 1.5", ("TimeoutStopUSec", ("t", 1_500_000))),
        ("CollectMode", "'inactive-or-failed'", ("CollectMode", ("s", "inactive-or-failed"))),
        ("SendSIGHUP", "true", ("SendSIGHUP", ("b", True))),
        ("KillSignal", "9", ("KillSignal", ("i", 9))),
        ("After", """['a.service', "b.service"]""", ("After", ("as", ["a.service", "b.service"]))),
    ],
)
def test_annotation_becomes_a_property(name: str, text: str, expected: object) -> None:
    assert annotated_properties({f"org.systemd.property.{name}": text, "other": "x"}) == [expected]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("A", "inactive"),
        ("A", "uint64 x"),
        ("A", "'it's'"),
        ("", "5"),
        ("A.B", "5"),
        ("A", "[5]"),
        ("A", "uint65 5"),
        ("A", "byte 256"),
        ("A", "uint64 -1"),
        ("A", "uint64 18446744073709551616"),
        ("A", f"uint64 {'9' * 4000}"),
        ("A", "double inf"),
        ("TimeoutStopSec", "double nan"),
        ("TimeoutStopSec", "double 1e308"),
        ("TimeoutStopSec", "uint64 18446744073709551615"),
    ],
)
def test_annotation_that_is_no_property_is_refused(name: str, text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        annotated_properties({f"org.systemd.property.{name}": text})
    assert caught.value.field == "annotations"
