"""`linux.resources`, whose words are those of cgroup v1, to the files of cgroup v2: pure.

Swap is counted without memory there, weights have other ranges, and what v2 lacks is refused by name.

Spec: runtime-spec config-linux.md#control-groups, #unified; kernel admin-guide/cgroup-v2.rst
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from containerlib.errors import InvalidArgument
from containerlib.runtime.cgroups.limits import (
    Section,
    Setting,
    hugepage_settings,
    io_weight,
    or_max,
    pids_settings,
    rdma_settings,
    refused_on_v2,
    section,
    weight_of_shares,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["swap_alone", "v2_settings"]

Current = Callable[[str], str]
"""What a file of the group has now; "" where it is not there."""

_PERIOD = 100_000
_THROTTLES = {
    "throttleReadBpsDevice": "rbps",
    "throttleWriteBpsDevice": "wbps",
    "throttleReadIOPSDevice": "riops",
    "throttleWriteIOPSDevice": "wiops",
}
_NOT_LIMITS = frozenset({"cgroup.procs", "cgroup.threads", "cgroup.kill", "cgroup.freeze", "cgroup.type"})


def _new_group(_: str) -> str:
    return ""


def v2_settings(resources: Mapping[str, Any], current: Current = _new_group) -> list[Setting]:
    """Writes in the order that a new group wants. `current` completes a change that names half of a value.

    Raises: Unsupported for what only v1 has; InvalidArgument(field="resources.…").
    """
    _refuse_network(section(resources, "network"))
    return [
        *_memory(section(resources, "memory"), current),
        *_cpu(section(resources, "cpu"), current),
        *pids_settings(resources),
        *_block_io(section(resources, "blockIO")),
        *hugepage_settings(resources, "max"),
        *rdma_settings(resources),
        *_unified(section(resources, "unified")),
    ]


def swap_alone(limit: int | None, swap: int | None) -> int | None:
    """memory.swap.max for runtime-spec's `swap`, which includes memory; None: nothing is said of it; -1: no limit.

    Raises: InvalidArgument.
    """
    if not swap:
        return -1 if limit == -1 else None  # as on v1: no limit on memory is none on swap
    if swap < 0 or limit == -1:
        return swap
    if not limit:
        raise InvalidArgument(
            "swap includes memory, and is no number without memory.limit", field="resources.memory.swap"
        )
    if swap < limit:
        raise InvalidArgument(f"{swap} is less than memory.limit {limit}", field="resources.memory.swap")
    return swap - limit


def _memory(memory: Section, current: Current) -> Iterator[Setting]:
    memory.number("kernel")
    if (memory.bytes("kernelTCP") or 0) > 0:
        raise refused_on_v2("memory.kernelTCP", "cgroup v2 has no limit on the memory of TCP buffers alone")
    if memory.count("swappiness", 100) is not None:
        raise refused_on_v2("memory.swappiness", "cgroup v2 has no swappiness of a group")
    if memory.flag("disableOOMKiller"):
        raise refused_on_v2("memory.disableOOMKiller", "cgroup v2 cannot disable the OOM killer")
    if memory.flag("useHierarchy") is False:
        raise refused_on_v2("memory.useHierarchy", "on cgroup v2 a limit always holds for the groups below")
    limit, swap = memory.bytes("limit"), memory.bytes("swap")
    reservation = memory.bytes("reservation")
    if swap and swap > 0 and not limit:
        limit_now = current("memory.max").strip()
        alone = swap_alone(int(limit_now) if limit_now.isdigit() else -1 if limit_now else None, swap)
    else:
        alone = swap_alone(limit, swap)
    if limit:
        yield Setting("memory", "memory.max", or_max(limit), "memory.limit")
    if alone is not None:
        # without swap accounting the kernel has no such file: see v1
        optional = not swap or swap in (2 * (limit or 0), -1)
        yield Setting("memory", "memory.swap.max", or_max(alone), "memory.swap", optional)
    if reservation:
        yield Setting("memory", "memory.low", or_max(reservation), "memory.reservation")


def _cpu(cpu: Section, current: Current) -> Iterator[Setting]:
    for key in ("realtimeRuntime", "realtimePeriod"):
        if cpu.number(key):
            raise refused_on_v2(f"cpu.{key}", "cgroup v2 does not divide real-time CPU time among groups")
    idle = cpu.number("idle", least=0, most=1)
    if idle == 0:  # an idle group takes no weight
        yield Setting("cpu", "cpu.idle", "0", "cpu.idle", optional=True)
    if shares := cpu.count("shares"):
        yield Setting("cpu", "cpu.weight", str(weight_of_shares(shares)), "cpu.shares")
    if idle:
        yield Setting("cpu", "cpu.idle", "1", "cpu.idle")
    quota, period, burst = cpu.number("quota"), cpu.count("period"), cpu.count("burst")
    if quota or period:
        now = current("cpu.max").split() or ["max", str(_PERIOD)]
        value = f"{or_max(quota) if quota else now[0]} {period or now[1]}"
        yield Setting("cpu", "cpu.max", value, "cpu.quota" if quota else "cpu.period")
    if burst is not None:
        yield Setting("cpu", "cpu.max.burst", str(burst), "cpu.burst", optional=not burst)
    for key in ("cpus", "mems"):
        if value := cpu.text(key):
            yield Setting("cpuset", f"cpuset.{key}", value, f"cpu.{key}")


def _block_io(block: Section) -> Iterator[Setting]:
    """Weights go to BFQ where the kernel has that scheduler, and to io.weight, which io.cost keeps, else."""
    if block.count("leafWeight", 1000):
        raise refused_on_v2("blockIO.leafWeight", "cgroup v2 has no weights of leaves")
    if weight := block.count("weight", 1000):
        setting = Setting("io", "io.bfq.weight", str(weight), "blockIO.weight")
        yield setting.or_else("io.weight", str(io_weight(weight)))
    for item in block.objects("weightDevice"):
        device, weight = item.device(), item.count("weight", 1000)
        if item.count("leafWeight", 1000):
            raise refused_on_v2(item.property("leafWeight"), "cgroup v2 has no weights of leaves")
        if weight is None:
            raise item.wrong("weight", "is missing")
        if weight:
            setting = Setting("io", "io.bfq.weight", f"{device} {weight}", item.property("weight"))
            yield setting.or_else("io.weight", f"{device} {io_weight(weight)}")
    yield from _throttles(block)


def _throttles(block: Section) -> Iterator[Setting]:
    """One line for each device: it takes all its limits or none."""
    limits: dict[str, list[str]] = {}
    for key, word in _THROTTLES.items():
        for item in block.objects(key):
            rate = item.count("rate")
            if rate is None:
                raise item.wrong("rate", "is missing")
            limits.setdefault(item.device(), []).append(f"{word}={rate or 'max'}")
    for device, words in limits.items():
        yield Setting("io", "io.max", f"{device} {' '.join(words)}", f"blockIO throttle of {device}")


def _unified(unified: Section) -> Iterator[Setting]:
    """A value of several lines is as many writes: the kernel's files of that shape take one at a time."""
    for file, value in unified.values.items():
        controller, dot, rest = file.partition(".")
        if not controller or not dot or not rest or "/" in file or "\0" in file or file in _NOT_LIMITS:
            raise InvalidArgument(f"{file!r} is no file of a limit of cgroup v2", field="resources.unified")
        if not isinstance(value, str):
            raise InvalidArgument(f"{value!r} of {file} is not text", field="resources.unified")
        for line in value.strip("\n").split("\n") or [""]:
            yield Setting(controller, file, line, f"unified.{file}")


def _refuse_network(network: Section) -> None:
    if network.count("classID", 0xFFFFFFFF):
        raise refused_on_v2(
            "network.classID", "cgroup v2 has no net_cls: match the cgroup in nftables instead"
        )
    if list(network.objects("priorities")):
        raise refused_on_v2(
            "network.priorities", "cgroup v2 has no net_prio: set SO_PRIORITY by eBPF instead"
        )
