"""What a container has used, as its groups tell it: values without I/O, and the words of `runc events`.

    stats = cgroup.stats()                    # CgroupStats; a controller that the container has no group of: None
    stats.memory.usage.bytes, stats.cpu.usage_ns
    json.dumps({"type": "stats", "id": container_id, "data": events_document(stats)})

Times are nanoseconds, sizes bytes, and None is "no limit".

Spec: opencontainers/runc types/events.go (the names and what is left out when zero)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

__all__ = [
    "BlockCount",
    "BlockStats",
    "CgroupStats",
    "CpuSetStats",
    "CpuStats",
    "HugepageStats",
    "MemoryAmount",
    "MemoryStats",
    "PidsStats",
    "Pressure",
    "RdmaStats",
    "events_document",
]

UNLIMITED = 2**64 - 1  # what runc's JSON says for "max"


@frozen
class Pressure:
    """One resource's pressure stall information: share of time in percent, over 10, 60 and 300 seconds.

    `some`: at least one process waited; `full`: all did, and nothing was done. Each (avg10, avg60, avg300, total µs).
    """

    some: tuple[float, float, float, int]
    full: tuple[float, float, float, int] | None = None


@frozen
class CpuStats:
    """`per_cpu`, `per_cpu_user`, `per_cpu_system`: one number for each CPU, in order; empty on v2, which has none."""

    usage_ns: int | None = None
    user_ns: int | None = None
    system_ns: int | None = None
    per_cpu: tuple[int, ...] = ()
    per_cpu_user: tuple[int, ...] = ()
    per_cpu_system: tuple[int, ...] = ()
    periods: int = 0
    throttled_periods: int = 0
    throttled_ns: int = 0
    burst_periods: int = 0
    burst_ns: int = 0
    pressure: Pressure | None = None


@frozen
class CpuSetStats:
    """`cpus` and `mems`: the numbers that are allowed; `flags`: v1's other files by name ("cpu_exclusive": 0)."""

    cpus: tuple[int, ...] = ()
    mems: tuple[int, ...] = ()
    flags: Mapping[str, int] = field(factory=dict)


@frozen
class MemoryAmount:
    """`peak` and `failures` (how often the limit was hit) are 0 where the kernel does not tell."""

    bytes: int = 0
    limit: int | None = None
    peak: int = 0
    failures: int = 0


@frozen
class MemoryStats:
    """`swap` includes memory, on v2 too; None without swap accounting. `kernel_tcp`: v1 only.

    `stat`: the lines of memory.stat; `events`: those of v2's memory.events (low, high, max, oom, oom_kill, ...).
    """

    usage: MemoryAmount = MemoryAmount()
    cache: int = 0
    swap: MemoryAmount | None = None
    kernel: MemoryAmount | None = None
    kernel_tcp: MemoryAmount | None = None
    stat: Mapping[str, int] = field(factory=dict)
    oom_kills: int | None = None
    events: Mapping[str, int] = field(factory=dict)
    pressure: Pressure | None = None


@frozen
class PidsStats:
    current: int = 0
    limit: int | None = None


@frozen
class BlockCount:
    """One number of one device. `operation`: Read, Write, Sync, Async, Discard, Total, or "" where all are one."""

    major: int
    minor: int
    operation: str
    value: int


@frozen
class BlockStats:
    """Each a tuple of `BlockCount`, groups below included; those after `operations` are CFQ's or BFQ's debugging."""

    bytes: tuple[BlockCount, ...] = ()
    operations: tuple[BlockCount, ...] = ()
    queued: tuple[BlockCount, ...] = ()
    service_time: tuple[BlockCount, ...] = ()
    wait_time: tuple[BlockCount, ...] = ()
    merged: tuple[BlockCount, ...] = ()
    time: tuple[BlockCount, ...] = ()
    sectors: tuple[BlockCount, ...] = ()
    pressure: Pressure | None = None


@frozen
class HugepageStats:
    """`reserved`: what is reserved where the kernel counts that, else what is in use."""

    bytes: int = 0
    peak: int = 0
    failures: int = 0


@frozen
class RdmaStats:
    """Of one device; None is no limit."""

    handles: int = 0
    objects: int = 0
    handle_limit: int | None = None
    object_limit: int | None = None


@frozen
class CgroupStats:
    """`hugepages` by size ("2MB"), `rdma` by device."""

    cpu: CpuStats | None = None
    cpuset: CpuSetStats | None = None
    memory: MemoryStats | None = None
    pids: PidsStats | None = None
    block: BlockStats | None = None
    hugepages: Mapping[str, HugepageStats] | None = None
    rdma: Mapping[str, RdmaStats] | None = None


def events_document(stats: CgroupStats) -> dict[str, Any]:
    """The `data` of a line of `runc events --stats`. What is zero and optional there is left out here too."""
    return {
        "cpu": _cpu(stats.cpu or CpuStats()),
        "cpuset": _cpuset(stats.cpuset or CpuSetStats()),
        "memory": _memory(stats.memory or MemoryStats()),
        "pids": _pids(stats.pids or PidsStats()),
        "blkio": _block(stats.block or BlockStats()),
        "hugetlb": {
            size: _without_zeros({"usage": item.bytes, "max": item.peak}) | {"failcnt": item.failures}
            for size, item in (stats.hugepages or {}).items()
        },
        "intel_rdt": {},
        "network_interfaces": None,
    }


def _cpu(cpu: CpuStats) -> dict[str, Any]:
    usage = _without_zeros(
        {
            "total": cpu.usage_ns,
            "percpu": list(cpu.per_cpu),
            "percpu_kernel": list(cpu.per_cpu_system),
            "percpu_user": list(cpu.per_cpu_user),
        }
    )
    throttling = {
        "periods": cpu.periods,
        "throttledPeriods": cpu.throttled_periods,
        "throttledTime": cpu.throttled_ns,
    }
    return {
        "usage": usage | {"kernel": cpu.system_ns or 0, "user": cpu.user_ns or 0},
        "throttling": _without_zeros(throttling),
        **_pressure(cpu.pressure),
    }


_CPUSET_FLAGS = (
    "cpu_exclusive",
    "mem_hardwall",
    "mem_exclusive",
    "memory_migrate",
    "memory_spread_page",
    "memory_spread_slab",
    "memory_pressure",
    "sched_load_balance",
    "sched_relax_domain_level",
)


def _cpuset(cpuset: CpuSetStats) -> dict[str, Any]:
    lists = _without_zeros({"cpus": list(cpuset.cpus), "mems": list(cpuset.mems)})
    return lists | {name: cpuset.flags.get(name, 0) for name in _CPUSET_FLAGS}


def _memory(memory: MemoryStats) -> dict[str, Any]:
    nothing = MemoryAmount(limit=0)
    counts = {name: memory.events.get(name, 0) for name in ("low", "high", "max", "oom", "oom_kill")}
    return {
        **_without_zeros({"cache": memory.cache}),
        "usage": _amount(memory.usage),
        "swap": _amount(memory.swap or nothing),
        "kernel": _amount(memory.kernel or nothing),
        "kernelTCP": _amount(memory.kernel_tcp or nothing),
        **_without_zeros({"raw": dict(memory.stat)}),
        **_pressure(memory.pressure),
        "event_count": _without_zeros(counts),
    }


def _amount(amount: MemoryAmount) -> dict[str, int]:
    return {
        "limit": UNLIMITED if amount.limit is None else amount.limit,
        **_without_zeros({"usage": amount.bytes, "max": amount.peak}),
        "failcnt": amount.failures,
    }


def _pids(pids: PidsStats) -> dict[str, int]:
    return _without_zeros({"current": pids.current, "limit": pids.limit})


def _block(block: BlockStats) -> dict[str, Any]:
    tables = {
        "ioServiceBytesRecursive": block.bytes,
        "ioServicedRecursive": block.operations,
        "ioQueueRecursive": block.queued,
        "ioServiceTimeRecursive": block.service_time,
        "ioWaitTimeRecursive": block.wait_time,
        "ioMergedRecursive": block.merged,
        "ioTimeRecursive": block.time,
        "sectorsRecursive": block.sectors,
    }
    document = {name: [_block_count(count) for count in counts] for name, counts in tables.items() if counts}
    return document | _pressure(block.pressure)


def _block_count(count: BlockCount) -> dict[str, Any]:
    return _without_zeros(
        {"major": count.major, "minor": count.minor, "op": count.operation, "value": count.value}
    )


def _pressure(pressure: Pressure | None) -> dict[str, Any]:
    if pressure is None:
        return {}
    words = {"some": pressure.some, "full": pressure.full or (0.0, 0.0, 0.0, 0)}
    names = ("avg10", "avg60", "avg300", "total")
    return {"psi": {word: dict(zip(names, numbers, strict=True)) for word, numbers in words.items()}}


def _without_zeros(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}
