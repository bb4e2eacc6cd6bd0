"""Reads a container's statistics from the files of its groups.

Counters of one controller are read one after the other: they are not of one instant, as nowhere.

Spec: kernel admin-guide/cgroup-v1/*.rst, cgroup-v2.rst, accounting/psi.rst
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from containerlib.runtime.cgroups.files import read_or
from containerlib.runtime.cgroups.stats import (
    BlockCount,
    BlockStats,
    CgroupStats,
    CpuSetStats,
    CpuStats,
    HugepageStats,
    MemoryAmount,
    MemoryStats,
    PidsStats,
    Pressure,
    RdmaStats,
)

__all__ = ["cpu_numbers", "pressure", "v1_stats", "v2_stats"]

_TICK_NS = 10**9 // os.sysconf("SC_CLK_TCK")
_NO_LIMIT = 2**63 - 65536
"""v1 rounds "no limit" down to a page, which has 4 to 64 KiB."""
_CPUSET_FLAGS = (
    "cpu_exclusive",
    "mem_exclusive",
    "mem_hardwall",
    "memory_migrate",
    "memory_pressure",
    "memory_spread_page",
    "memory_spread_slab",
    "sched_load_balance",
    "sched_relax_domain_level",
)
_V1_BLOCK = {
    "bytes": "io_service_bytes_recursive",
    "operations": "io_serviced_recursive",
    "queued": "io_queued_recursive",
    "service_time": "io_service_time_recursive",
    "wait_time": "io_wait_time_recursive",
    "merged": "io_merged_recursive",
    "time": "time_recursive",
    "sectors": "sectors_recursive",
}


def v1_stats(groups: Mapping[str, str]) -> CgroupStats:
    """`groups`: the directory of each controller that the container has a group of."""
    return CgroupStats(
        cpu=_v1_cpu(groups.get("cpu"), groups.get("cpuacct")),
        cpuset=_v1_cpuset(groups["cpuset"]) if "cpuset" in groups else None,
        memory=_v1_memory(groups["memory"]) if "memory" in groups else None,
        pids=_pids(groups["pids"]) if "pids" in groups else None,
        block=_v1_block(groups["blkio"]) if "blkio" in groups else None,
        hugepages=_v1_hugepages(groups["hugetlb"]) if "hugetlb" in groups else None,
        rdma=_rdma(groups["rdma"]) if "rdma" in groups else None,
    )


def v2_stats(directory: str) -> CgroupStats:
    """Controllers that are not enabled for `directory` have no files there, but cpu.stat's times always are."""
    controllers = read_or(f"{directory}/cgroup.controllers").split()
    return CgroupStats(
        cpu=_v2_cpu(directory),
        cpuset=_v2_cpuset(directory) if "cpuset" in controllers else None,
        memory=_v2_memory(directory) if "memory" in controllers else None,
        pids=_pids(directory) if "pids" in controllers else None,
        block=_v2_block(directory) if "io" in controllers else None,
        hugepages=_v2_hugepages(directory) if "hugetlb" in controllers else None,
        rdma=_rdma(directory) if "rdma" in controllers else None,
    )


# ---- cpu ----


def _v1_cpu(cpu: str | None, cpuacct: str | None) -> CpuStats | None:
    if cpu is None and cpuacct is None:
        return None
    stat = _table(f"{cpu}/cpu.stat") if cpu else {}
    times = _table(f"{cpuacct}/cpuacct.stat") if cpuacct else {}
    per_cpu = (
        [line.split() for line in read_or(f"{cpuacct}/cpuacct.usage_all").splitlines()[1:]] if cpuacct else []
    )
    return CpuStats(
        usage_ns=_number(f"{cpuacct}/cpuacct.usage") if cpuacct else None,
        user_ns=times["user"] * _TICK_NS if "user" in times else None,
        system_ns=times["system"] * _TICK_NS if "system" in times else None,
        per_cpu=tuple(map(int, read_or(f"{cpuacct}/cpuacct.usage_percpu").split())) if cpuacct else (),
        per_cpu_user=tuple(int(words[1]) for words in per_cpu),
        per_cpu_system=tuple(int(words[2]) for words in per_cpu),
        periods=stat.get("nr_periods", 0),
        throttled_periods=stat.get("nr_throttled", 0),
        throttled_ns=stat.get("throttled_time", 0),
        burst_periods=stat.get("nr_bursts", 0),
        burst_ns=stat.get("burst_time", 0),
    )


def _v2_cpu(directory: str) -> CpuStats | None:
    stat = _table(f"{directory}/cpu.stat")
    if not stat:
        return None
    return CpuStats(
        usage_ns=stat.get("usage_usec", 0) * 1000,
        user_ns=stat.get("user_usec", 0) * 1000,
        system_ns=stat.get("system_usec", 0) * 1000,
        periods=stat.get("nr_periods", 0),
        throttled_periods=stat.get("nr_throttled", 0),
        throttled_ns=stat.get("throttled_usec", 0) * 1000,
        burst_periods=stat.get("nr_bursts", 0),
        burst_ns=stat.get("burst_usec", 0) * 1000,
        pressure=_read_pressure(f"{directory}/cpu.pressure"),
    )


def _v1_cpuset(directory: str) -> CpuSetStats:
    flags = {
        name: value for name in _CPUSET_FLAGS if (value := _number(f"{directory}/cpuset.{name}")) is not None
    }
    cpus, mems = (cpu_numbers(read_or(f"{directory}/cpuset.{name}")) for name in ("cpus", "mems"))
    return CpuSetStats(cpus, mems, flags)


def _v2_cpuset(directory: str) -> CpuSetStats:
    cpus, mems = (cpu_numbers(read_or(f"{directory}/cpuset.{name}.effective")) for name in ("cpus", "mems"))
    return CpuSetStats(cpus, mems)


def cpu_numbers(text: str) -> tuple[int, ...]:
    """0-2,5 is (0, 1, 2, 5). Spec: kernel cpuset(7), "List format" """
    numbers: list[int] = []
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        if first:
            numbers.extend(range(int(first), int(last or first) + 1))
    return tuple(numbers)


# ---- memory ----


def _v1_memory(directory: str) -> MemoryStats:
    stat = _table(f"{directory}/memory.stat")
    usage = _v1_amount(directory, "memory")
    return MemoryStats(
        usage=usage or MemoryAmount(),
        cache=stat.get("cache", 0),
        swap=_v1_amount(directory, "memory.memsw"),
        kernel=_v1_amount(directory, "memory.kmem"),
        kernel_tcp=_v1_amount(directory, "memory.kmem.tcp"),
        stat=stat,
        oom_kills=_table(f"{directory}/memory.oom_control").get("oom_kill"),
    )


def _v1_amount(directory: str, prefix: str) -> MemoryAmount | None:
    usage = _number(f"{directory}/{prefix}.usage_in_bytes")
    if usage is None:
        return None
    limit = _number(f"{directory}/{prefix}.limit_in_bytes")
    return MemoryAmount(
        bytes=usage,
        limit=None if limit is None or limit >= _NO_LIMIT else limit,
        peak=_number(f"{directory}/{prefix}.max_usage_in_bytes") or 0,
        failures=_number(f"{directory}/{prefix}.failcnt") or 0,
    )


def _v2_memory(directory: str) -> MemoryStats:
    stat, events = _table(f"{directory}/memory.stat"), _table(f"{directory}/memory.events")
    usage = MemoryAmount(
        bytes=_number(f"{directory}/memory.current") or 0,
        limit=_number(f"{directory}/memory.max"),
        peak=_number(f"{directory}/memory.peak") or 0,
        failures=events.get("max", 0),
    )
    kernel = stat.get("kernel")
    return MemoryStats(
        usage=usage,
        cache=stat.get("file", 0),
        swap=_v2_swap(directory, usage),
        kernel=None if kernel is None else MemoryAmount(bytes=kernel),
        stat=stat,
        oom_kills=events.get("oom_kill"),
        events=events,
        pressure=_read_pressure(f"{directory}/memory.pressure"),
    )


def _v2_swap(directory: str, memory: MemoryAmount) -> MemoryAmount | None:
    """Swap and memory together, as v1 counts and everybody reads."""
    swap = _number(f"{directory}/memory.swap.current")
    if swap is None:
        return None
    limit = _number(f"{directory}/memory.swap.max")
    return MemoryAmount(
        bytes=swap + memory.bytes,
        limit=None if limit is None or memory.limit is None else limit + memory.limit,
        failures=_table(f"{directory}/memory.swap.events").get("max", 0),
    )


# ---- pids, block devices, huge pages, RDMA ----


def _pids(directory: str) -> PidsStats:
    return PidsStats(_number(f"{directory}/pids.current") or 0, _number(f"{directory}/pids.max"))


def _v1_block(directory: str) -> BlockStats:
    """From the scheduler that counts most: CFQ's files, BFQ's, or the throttling layer's, which has two counts."""
    for prefix in ("blkio.bfq.", "blkio.", "blkio.throttle."):
        tables: dict[str, Any] = {
            name: tuple(_block_counts(read_or(f"{directory}/{prefix}{file}")))
            for name, file in _V1_BLOCK.items()
        }
        if tables["operations"]:
            return BlockStats(**tables)
    return BlockStats()


def _block_counts(text: str) -> Iterator[BlockCount]:
    """8:0 Read 4096, or 8:0 12; the sum over all devices is passed over."""
    for line in text.splitlines():
        device, *rest = line.split()
        major, colon, minor = device.partition(":")
        if colon and rest:
            yield BlockCount(int(major), int(minor), rest[0] if len(rest) > 1 else "", int(rest[-1]))


_V2_BLOCK = {
    "rbytes": ("bytes", "Read"),
    "wbytes": ("bytes", "Write"),
    "dbytes": ("bytes", "Discard"),
    "rios": ("operations", "Read"),
    "wios": ("operations", "Write"),
    "dios": ("operations", "Discard"),
}


def _v2_block(directory: str) -> BlockStats:
    tables: dict[str, list[BlockCount]] = {"bytes": [], "operations": []}
    for line in read_or(f"{directory}/io.stat").splitlines():
        device, *words = line.split()
        major, _, minor = device.partition(":")
        for word in words:
            name, _, value = word.partition("=")
            if name in _V2_BLOCK and minor:
                table, operation = _V2_BLOCK[name]
                tables[table].append(BlockCount(int(major), int(minor), operation, int(value)))
    return BlockStats(
        bytes=tuple(tables["bytes"]),
        operations=tuple(tables["operations"]),
        pressure=_read_pressure(f"{directory}/io.pressure"),
    )


def _v1_hugepages(directory: str) -> dict[str, HugepageStats]:
    stats = {}
    for size in _page_sizes(directory, ".limit_in_bytes"):
        prefix = f"{directory}/hugetlb.{size}"
        if _number(f"{prefix}.rsvd.usage_in_bytes") is not None:
            prefix += ".rsvd"
        stats[size] = HugepageStats(
            _number(f"{prefix}.usage_in_bytes") or 0,
            _number(f"{prefix}.max_usage_in_bytes") or 0,
            _number(f"{prefix}.failcnt") or 0,
        )
    return stats


def _v2_hugepages(directory: str) -> dict[str, HugepageStats]:
    stats = {}
    for size in _page_sizes(directory, ".max"):
        prefix = f"{directory}/hugetlb.{size}"
        usage = _number(f"{prefix}.rsvd.current")
        if usage is None:
            usage = _number(f"{prefix}.current")
        stats[size] = HugepageStats(usage or 0, failures=_table(f"{prefix}.events").get("max", 0))
    return stats


def _page_sizes(directory: str, ending: str) -> list[str]:
    """Of hugetlb.2MB.max the 2MB."""
    names = [name for name in os.listdir(directory) if name.startswith("hugetlb.") and name.endswith(ending)]  # noqa: PTH208
    return sorted({name.split(".")[1] for name in names})


def _rdma(directory: str) -> dict[str, RdmaStats]:
    """mlx5_0 hca_handle=2 hca_object=max"""
    used, limits = (_rdma_table(read_or(f"{directory}/rdma.{name}")) for name in ("current", "max"))
    return {
        device: RdmaStats(
            handles=used.get(device, {}).get("hca_handle") or 0,
            objects=used.get(device, {}).get("hca_object") or 0,
            handle_limit=limits.get(device, {}).get("hca_handle"),
            object_limit=limits.get(device, {}).get("hca_object"),
        )
        for device in {**used, **limits}
    }


def _rdma_table(text: str) -> dict[str, dict[str, int | None]]:
    table: dict[str, dict[str, int | None]] = {}
    for line in text.splitlines():
        device, *words = line.split()
        pairs = (word.partition("=") for word in words)
        table[device] = {name: int(value) if value.isdigit() else None for name, _, value in pairs}
    return table


# ---- files ----


def _number(path: str) -> int | None:
    """None where the file is not there, or says "max"."""
    text = read_or(path).strip()
    return int(text) if text.lstrip("-").isdigit() else None


def _table(path: str) -> dict[str, int]:
    pairs = (line.split(" ") for line in read_or(path).splitlines())
    return {words[0]: int(words[1]) for words in pairs if len(words) == 2 and words[1].isdigit()}


def _read_pressure(path: str) -> Pressure | None:
    return pressure(read_or(path))


def pressure(text: str) -> Pressure | None:
    """None where the kernel has none (CONFIG_PSI), or it is switched off. Spec: kernel accounting/psi.rst"""
    lines = {}
    for line in text.splitlines():
        word, *pairs = line.split()
        numbers = dict(pair.partition("=")[::2] for pair in pairs)
        averages = (float(numbers["avg10"]), float(numbers["avg60"]), float(numbers["avg300"]))
        lines[word] = (*averages, int(numbers["total"]))
    return Pressure(lines["some"], lines.get("full")) if "some" in lines else None
