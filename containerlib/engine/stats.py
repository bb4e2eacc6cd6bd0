"""What a container uses: once, or again and again.

    read(instance)                      # Stats
    for stats in follow(instance, 1.0): stats.cpu.percent

Numbers come from the container's control groups. Where it has no group of a controller (cgroup v1 has one only for a
limit that was asked for) they are the sums of its processes' own, as far as the kernel keeps these.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from containerlib import runtime
from containerlib._sys.processes import is_alive
from containerlib._sys.steps import Flow, Ready
from containerlib.engine.usage import ProcessUsage, pids_of, usage_of
from containerlib.errors import Conflict
from containerlib.runtime.cgroups.stats import BlockCount, BlockStats, CgroupStats, Pressure
from containerlib.spec.lifecycle import State, check

if TYPE_CHECKING:
    from containerlib.engine.instance import Instance

__all__ = [
    "CpuUsage",
    "IoUsage",
    "MemoryUsage",
    "NetworkUsage",
    "PidsUsage",
    "Pressures",
    "Stats",
    "follow",
    "interfaces",
    "read",
    "summed",
]


@frozen
class CpuUsage:
    """Processor time since the start, in nanoseconds.

    `percent`: since the sample before, 100 for one processor; None for the first. `throttled_ns`: how long it was held
    back by its limit.
    """

    usage_ns: int
    user_ns: int
    system_ns: int
    throttled_ns: int = 0
    throttled_periods: int = 0
    percent: float | None = None


@frozen
class MemoryUsage:
    """`usage_bytes` includes the page cache; `working_set_bytes` leaves out what of it could go at once, as `docker
    stats` does. None: no limit, or the kernel does not tell.
    """

    usage_bytes: int
    working_set_bytes: int
    peak_bytes: int | None = None
    limit_bytes: int | None = None
    swap_bytes: int | None = None
    oom_kills: int | None = None


@frozen
class IoUsage:
    """What reached block devices. `*_operations` is None where the kernel counts bytes alone."""

    read_bytes: int
    write_bytes: int
    read_operations: int | None = None
    write_operations: int | None = None


@frozen
class PidsUsage:
    """Processes and threads."""

    current: int
    limit: int | None = None


@frozen
class NetworkUsage:
    """One interface of the container's own network."""

    name: str
    rx_bytes: int
    rx_packets: int
    rx_errors: int
    rx_drops: int
    tx_bytes: int
    tx_packets: int
    tx_errors: int
    tx_drops: int


@frozen
class Pressures:
    """Pressure stall information of each resource; None where the kernel keeps none: cgroup v1, or psi=0."""

    cpu: Pressure | None = None
    memory: Pressure | None = None
    io: Pressure | None = None


@frozen
class Stats:
    """One sample."""

    time: datetime
    cpu: CpuUsage
    memory: MemoryUsage
    io: IoUsage
    pids: PidsUsage
    networks: tuple[NetworkUsage, ...] = ()
    pressure: Pressures = Pressures()

    def _repr_html_(self) -> str:
        from containerlib.spec.html import details  # noqa: PLC0415 - for notebooks alone

        return details(_columns(self))


def _columns(stats: Stats) -> dict[str, str]:
    """Those of `docker stats`."""
    cpu, memory = stats.cpu, stats.memory
    limit = "" if memory.limit_bytes is None else f" of {_mib(memory.limit_bytes)}"
    return {
        "time": f"{stats.time.astimezone():%H:%M:%S}",
        "processor": f"{cpu.usage_ns / 1e9:.2f} s" if cpu.percent is None else f"{cpu.percent:.1f} %",
        "memory": f"{_mib(memory.working_set_bytes)}{limit}",
        "network": ", ".join(
            f"{each.name}: {_mib(each.rx_bytes)} in, {_mib(each.tx_bytes)} out" for each in stats.networks
        ),
        "devices": f"{_mib(stats.io.read_bytes)} read, {_mib(stats.io.write_bytes)} written",
        "processes": str(stats.pids.current),
    }


def _mib(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB"


def read(instance: Instance) -> Stats:
    """One sample. Raises: Conflict where the container has ended; NotFound; StageError."""
    check("watch", instance.state, instance.subject)
    supervisor = runtime.connect(instance.directory)
    if supervisor is None:
        raise _ended(instance)
    with contextlib.closing(supervisor):
        return _sample(instance, supervisor.pid, supervisor.start_time)


def follow(instance: Instance, every: float) -> Flow[Stats]:
    """Samples, `every` so many seconds, until the container ends. Raises: as `read`."""
    check("watch", instance.state, instance.subject)
    return _samples(instance, every)


def _samples(instance: Instance, every: float) -> Flow[Stats]:
    supervisor = yield from runtime.connecting(instance.directory)
    if supervisor is None:
        raise _ended(instance)
    with contextlib.closing(supervisor), contextlib.suppress(Conflict):
        before: tuple[Stats, int] | None = None
        due = time.monotonic()
        while supervisor.poll() is None:
            moment = time.monotonic_ns()
            stats = _sample(instance, supervisor.pid, supervisor.start_time)
            if before is not None:
                used = stats.cpu.usage_ns - before[0].cpu.usage_ns
                percent = max(0.0, 100.0 * used / max(1, moment - before[1]))
                stats = evolve(stats, cpu=evolve(stats.cpu, percent=percent))
            before = (stats, moment)
            yield stats
            due = max(due + every, time.monotonic())
            while supervisor.poll() is None and (left := due - time.monotonic()) > 0:
                yield Ready((supervisor.fileno(),), timeout=left)


def _ended(instance: Instance) -> Conflict:
    return Conflict(f"{instance.subject} has ended: it uses nothing", state=State.STOPPED.value)


def _sample(instance: Instance, pid: int, started: int) -> Stats:
    groups = instance.cgroup.stats()
    own = usage_of(pids_of(instance)) if _is_partial(groups) else ProcessUsage()
    networks = _networks(pid)
    if not is_alive(pid, started):
        raise _ended(instance)
    return summed(groups, own, networks)


def summed(groups: CgroupStats, own: ProcessUsage, networks: tuple[NetworkUsage, ...] = ()) -> Stats:
    """What groups count, and where there is none, what the processes' own numbers come to. Pure."""
    return Stats(
        time=datetime.now(UTC),
        cpu=_cpu(groups, own),
        memory=_memory(groups, own),
        io=_io(groups.block, own),
        pids=PidsUsage(groups.pids.current, groups.pids.limit) if groups.pids else PidsUsage(own.threads),
        networks=networks,
        pressure=Pressures(
            groups.cpu.pressure if groups.cpu else None,
            groups.memory.pressure if groups.memory else None,
            groups.block.pressure if groups.block else None,
        ),
    )


def _is_partial(groups: CgroupStats) -> bool:
    return None in (groups.memory, groups.pids, groups.block) or _has_no_times(groups)


def _has_no_times(groups: CgroupStats) -> bool:
    return groups.cpu is None or groups.cpu.usage_ns is None


def _cpu(groups: CgroupStats, own: ProcessUsage) -> CpuUsage:
    cpu = groups.cpu
    held = (cpu.throttled_ns, cpu.throttled_periods) if cpu else (0, 0)
    if cpu is None or cpu.usage_ns is None:
        return CpuUsage(own.user_ns + own.system_ns, own.user_ns, own.system_ns, *held)
    return CpuUsage(cpu.usage_ns, cpu.user_ns or 0, cpu.system_ns or 0, *held)


def _memory(groups: CgroupStats, own: ProcessUsage) -> MemoryUsage:
    memory = groups.memory
    if memory is None:
        return MemoryUsage(own.memory_bytes, own.memory_bytes, swap_bytes=own.swap_bytes)
    usage = memory.usage.bytes
    idle = memory.stat.get("total_inactive_file", memory.stat.get("inactive_file", 0))
    return MemoryUsage(
        usage,
        max(0, usage - idle),
        peak_bytes=memory.usage.peak or None,
        limit_bytes=memory.usage.limit,
        swap_bytes=max(0, memory.swap.bytes - usage) if memory.swap else None,
        oom_kills=memory.oom_kills,
    )


def _io(block: BlockStats | None, own: ProcessUsage) -> IoUsage:
    if block is None:
        return IoUsage(own.read_bytes, own.write_bytes)
    return IoUsage(
        _total(block.bytes, "Read"),
        _total(block.bytes, "Write"),
        _total(block.operations, "Read"),
        _total(block.operations, "Write"),
    )


def _total(counts: Sequence[BlockCount], operation: str) -> int:
    return sum(count.value for count in counts if count.operation.lower() == operation.lower())


def _networks(pid: int) -> tuple[NetworkUsage, ...]:
    """Of the process's network namespace; none where that is the caller's own: its numbers are everybody's.

    Spec: proc_pid_net(5)
    """
    try:
        if os.stat(f"/proc/{pid}/ns/net").st_ino == os.stat("/proc/self/ns/net").st_ino:  # noqa: PTH116
            return ()
        with open(f"/proc/{pid}/net/dev", encoding="utf-8", errors="replace") as file:
            text = file.read()
    except OSError:  # it ended
        return ()
    return interfaces(text)


def interfaces(text: str) -> tuple[NetworkUsage, ...]:
    """The lines of /proc/PID/net/dev, without the two that name the columns."""
    return tuple(_interface(line) for line in text.splitlines()[2:])


def _interface(line: str) -> NetworkUsage:
    name, _, rest = line.partition(":")
    numbers = [int(word) for word in rest.split()]
    return NetworkUsage(name.strip(), *numbers[:4], *numbers[8:12])
