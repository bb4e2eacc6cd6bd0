"""What the words about resources take."""

from __future__ import annotations

from typing import Any

import pytest

from containerlib.engine import words_resources as words
from containerlib.errors import InvalidArgument
from containerlib.spec.options import DeviceLimit, Limits

NONE: dict[str, Any] = dict.fromkeys(("weight", "read_bps", "write_bps", "read_iops", "write_iops"))


def test_limits_given_values_replace_and_others_stay() -> None:
    old = Limits(memory_bytes=1, cpus=2.0)
    assert words.limits(old, memory="64MiB", swap=None, cpus=None, pids=7) == Limits(64 << 20, None, 2.0, 7)


def test_limits_swap_of_minus_one_is_no_limit() -> None:
    assert words.limits(Limits(), swap=-1).swap_bytes == -1


def test_limits_hugepages_of_another_size_are_added() -> None:
    first = words.limits(Limits(), hugepages={"2MB": "4MiB"})
    assert words.limits(first, hugepages={"1GB": 0}).hugepages == (("2MB", 4 << 20), ("1GB", 0))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("memory", 0),
        ("memory", "many"),
        ("memory_reservation", 0),
        ("swappiness", 101),
        ("cpus", 0.0),
        ("cpus", float("nan")),
        ("cpu_shares", 1),
        ("cpu_quota", 999),
        ("cpu_period", 999),
        ("cpu_rt_runtime", -1),
        ("cpuset", "3-1"),
        ("cpuset", "a"),
        ("mems", True),
        ("blkio_weight", 9),
        ("hugepages", {"2Mb": 1}),
        ("pids", 0),
    ],
)
def test_limits_impossible_refused(field: str, value: object) -> None:
    with pytest.raises(InvalidArgument) as caught:
        words.limits(Limits(), **{field: value})
    assert caught.value.field == field


def test_limits_cpus_beside_a_quota_refused() -> None:
    with pytest.raises(InvalidArgument, match="one of both"):
        words.limits(Limits(cpus=1.0), cpu_quota=5000)


def test_device_limit_sizes_are_bytes() -> None:
    limit = words.device_limit("/dev/sda", **{**NONE, "read_bps": "1MiB", "write_iops": 5})
    assert limit == DeviceLimit("/dev/sda", read_bps=1 << 20, write_iops=5)


@pytest.mark.parametrize(
    ("field", "given"), [("read_bps", {}), ("weight", {"weight": 5}), ("read_iops", {"read_iops": 0})]
)
def test_device_limit_impossible_refused(field: str, given: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        words.device_limit("/dev/sda", **{**NONE, **given})
    assert caught.value.field == field


def test_memory_policy_is_in_the_specs_words() -> None:
    policy = words.memory_policy("bind", "0-1", static=True, relative=False)
    assert policy == ("MPOL_BIND", "0-1", ("MPOL_F_STATIC_NODES",))


@pytest.mark.parametrize(
    ("field", "mode", "nodes"), [("mode", "near", "0"), ("nodes", "bind", None), ("nodes", "local", "0")]
)
def test_memory_policy_impossible_refused(field: str, mode: str, nodes: str | None) -> None:
    with pytest.raises(InvalidArgument) as caught:
        words.memory_policy(mode, nodes, static=False, relative=False)
    assert caught.value.field == field


def test_rlimit_one_value_is_both() -> None:
    assert words.rlimit("nofile", 1024, None) == ("RLIMIT_NOFILE", 1024, 1024)


def test_rlimit_minus_one_is_no_limit() -> None:
    assert words.rlimit("RLIMIT_CORE", 0, -1) == ("RLIMIT_CORE", 0, 2**64 - 1)


def test_rlimit_soft_above_hard_refused() -> None:
    with pytest.raises(InvalidArgument, match="above the hard limit"):
        words.rlimit("nofile", 2, 1)
