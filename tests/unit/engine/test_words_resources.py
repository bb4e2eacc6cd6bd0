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
        ("pids", -2),
        ("oom_kill_disable", "no"),
        ("swap", True),
        ("swap", -2),
        ("cpus", 8193),
    ],
)
def test_limits_impossible_refused(field: str, value: object) -> None:
    with pytest.raises(InvalidArgument) as caught:
        words.limits(Limits(), **{field: value})
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("field", "value", "name"),
    [
        ("pids", -1, "pids"),
        ("pids", 1, "pids"),
        ("pids", 2**22, "pids"),
        ("swappiness", 0, "swappiness"),
        ("swappiness", 100, "swappiness"),
        ("cpu_quota", -1, "cpu_quota"),
        ("cpu_quota", 1000, "cpu_quota"),
        ("cpus", 0.01, "cpus"),
        ("cpus", 8192.0, "cpus"),
        ("cpuset", "3-3", "cpuset"),
        ("cpuset", "1,3-4", "cpuset"),
        ("swap", 0, "swap_bytes"),
        ("swap", 4096, "swap_bytes"),
    ],
)
def test_limits_at_the_end_of_their_range_are_taken(field: str, value: object, name: str) -> None:
    assert getattr(words.limits(Limits(), **{field: value}), name) == value


def test_limits_that_nobody_knows_are_the_callers_mistake() -> None:
    with pytest.raises(TypeError, match="not a limit: memry"):
        words.limits(Limits(), memry=5)


@pytest.mark.parametrize("given", [{"cpu_quota": 5000}, {"cpu_period": 5000}])
def test_limits_cpus_beside_a_quota_refused(given: dict[str, int]) -> None:
    with pytest.raises(InvalidArgument, match="one of both"):
        words.limits(Limits(cpus=1.0), **given)


def test_limits_of_a_quota_and_its_period_are_no_cpus() -> None:
    made = words.limits(Limits(cpu_quota=5000), cpu_period=10_000)
    assert (made.cpus, made.cpu_quota, made.cpu_period) == (None, 5000, 10_000)


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
    policy = words.memory_policy("interleave", 0, static=False, relative=True)
    assert policy == ("MPOL_INTERLEAVE", "0", ("MPOL_F_RELATIVE_NODES",))
    assert words.memory_policy("local", None, static=False, relative=False) == ("MPOL_LOCAL", "", ())


def test_memory_policy_of_static_and_relative_nodes_is_refused() -> None:
    with pytest.raises(InvalidArgument) as caught:
        words.memory_policy("bind", "0", static=True, relative=True)
    assert caught.value.field == "static"


@pytest.mark.parametrize(
    ("field", "mode", "nodes", "says"),
    [
        ("mode", "near", "0", "none of"),
        ("nodes", "bind", None, "needs nodes"),
        ("nodes", "local", "0", "takes no nodes"),
    ],
)
def test_memory_policy_impossible_refused(field: str, mode: str, nodes: str | None, says: str) -> None:
    with pytest.raises(InvalidArgument, match=says) as caught:
        words.memory_policy(mode, nodes, static=False, relative=False)
    assert caught.value.field == field


def test_rlimit_one_value_is_both() -> None:
    assert words.rlimit("nofile", 1024, None) == ("RLIMIT_NOFILE", 1024, 1024)


def test_rlimit_minus_one_is_no_limit() -> None:
    assert words.rlimit("RLIMIT_CORE", 0, -1) == ("RLIMIT_CORE", 0, 2**64 - 1)


def test_rlimit_soft_above_hard_refused() -> None:
    with pytest.raises(InvalidArgument, match="above the hard limit"):
        words.rlimit("nofile", 2, 1)


@pytest.mark.parametrize(
    "given", [("files", 1, 1), ("nofile", -2, None), ("nofile", 0, 2**64), ("nofile", "1", None)]
)
def test_rlimit_that_cannot_be_is_refused_by_name(given: tuple[Any, Any, Any]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        words.rlimit(*given)
    assert caught.value.field == "rlimit"


def test_rlimit_at_the_end_of_its_range_is_taken() -> None:
    assert words.rlimit("core", 0, 2**64 - 1) == ("RLIMIT_CORE", 0, 2**64 - 1)
    assert words.rlimit("core", 5, 5) == ("RLIMIT_CORE", 5, 5)
