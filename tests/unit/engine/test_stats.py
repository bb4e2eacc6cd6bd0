"""What a sample says, of given counts."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
from attrs import evolve

from containerlib.engine.owner import this_process
from containerlib.engine.stats import (
    CpuUsage,
    IoUsage,
    MemoryUsage,
    NetworkUsage,
    PidsUsage,
    Pressures,
    _sample,
    interfaces,
    summed,
)
from containerlib.engine.usage import ProcessUsage
from containerlib.runtime.cgroups.stats import (
    BlockCount,
    BlockStats,
    CgroupStats,
    CpuStats,
    MemoryAmount,
    MemoryStats,
    PidsStats,
    Pressure,
)

OWN = ProcessUsage(1, 2, 3, 4, 5, 6, 7)
PSI = [Pressure((float(n), 0.0, 0.0, n)) for n in range(3)]
GROUPS = CgroupStats(
    cpu=CpuStats(100, 60, 40, throttled_ns=9, throttled_periods=8, pressure=PSI[0]),
    memory=MemoryStats(
        MemoryAmount(1000, 4000, peak=2000),
        swap=MemoryAmount(1300),
        stat={"inactive_file": 50, "total_inactive_file": 300},
        oom_kills=2,
        pressure=PSI[1],
    ),
    pids=PidsStats(11, 12),
    block=BlockStats(
        tuple(BlockCount(8, n, word, 10 + n) for n in range(2) for word in ("Read", "Write", "Total")),
        tuple(BlockCount(8, 0, word, size) for word, size in (("read", 3), ("write", 4), ("Sync", 5))),
        pressure=PSI[2],
    ),
)


def test_sample_of_groups_is_what_they_count() -> None:
    stats = summed(GROUPS, OWN)
    assert stats.cpu == CpuUsage(100, 60, 40, 9, 8)
    assert stats.memory == MemoryUsage(1000, 700, 2000, 4000, 300, 2)
    assert stats.io == IoUsage(21, 21, 3, 4)
    assert stats.pids == PidsUsage(11, 12)
    assert stats.pressure == Pressures(*PSI)


def test_sample_without_groups_is_what_processes_count() -> None:
    stats = summed(CgroupStats(), OWN)
    assert stats.cpu == CpuUsage(3, 1, 2)
    assert stats.memory == MemoryUsage(3, 3, swap_bytes=4)
    assert stats.io == IoUsage(5, 6)
    assert stats.pids == PidsUsage(7)
    assert (stats.pressure, stats.networks) == (Pressures(), ())


def test_sample_of_a_group_without_times_has_those_of_processes() -> None:
    """cgroup v1, where `cpu` holds it back and nobody has asked for `cpuacct`."""
    assert summed(CgroupStats(cpu=CpuStats(throttled_ns=9)), OWN).cpu == CpuUsage(3, 1, 2, 9)


def test_sample_of_memory_that_can_all_go_is_not_below_nothing() -> None:
    memory = MemoryStats(MemoryAmount(100), swap=MemoryAmount(90), stat={"inactive_file": 200})
    assert summed(CgroupStats(memory=memory), OWN).memory == MemoryUsage(100, 0, swap_bytes=0)


def test_interfaces_are_counted_in_both_directions() -> None:
    head = "Inter-| Receive\n face |bytes\n"
    assert interfaces(
        f"{head}    lo: 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\neth0:9 8 7 6 0 0 0 0 5 4 3 2 0 0 0 0\n"
    ) == (
        NetworkUsage("lo", 1, 2, 3, 4, 5, 6, 7, 8),
        NetworkUsage("eth0", 9, 8, 7, 6, 5, 4, 3, 2),
    )


@pytest.mark.parametrize(
    "groups",
    [
        evolve(GROUPS, cpu=None),
        evolve(GROUPS, cpu=CpuStats(None, None, None)),
        evolve(GROUPS, memory=None),
        evolve(GROUPS, pids=None),
        evolve(GROUPS, block=None),
    ],
)
def test_sample_asks_the_processes_for_what_no_group_counts(groups: CgroupStats) -> None:
    """Of this test's own process, as if it were the container's."""
    own = this_process()
    cgroup = SimpleNamespace(stats=lambda: groups, pids=lambda: [own.pid])
    instance = SimpleNamespace(cgroup=cgroup, subject="container 'x'")
    stats = _sample(instance, own.pid, own.start_time)  # type: ignore[arg-type]
    if groups.cpu is None or groups.cpu.usage_ns is None:
        assert stats.cpu.usage_ns > 0
    if groups.memory is None:
        assert stats.memory.usage_bytes > 0
    if groups.pids is None:
        assert stats.pids == PidsUsage(threading.active_count())
