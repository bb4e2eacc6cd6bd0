"""When and where the process is run, and where its memory comes from, as the kernel's numbers.

Spec: runtime-spec config.md#linux-process, config-linux.md#memory-policy; sched_setattr(2), ioprio_set(2),
sched_setaffinity(2), set_mempolicy(2)
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from containerlib.errors import InvalidArgument
from containerlib.runtime.plan import ops
from containerlib.runtime.plan.op import Op
from containerlib.spec.number_list import bits_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from containerlib.spec.runtime import IOPriority, Linux, MemoryPolicy, Process, Scheduler

__all__ = ["affinity_op", "any_cpu", "memory_policy_ops", "placement_ops"]

_SCHED_ATTR = struct.Struct("<IIQiIQQQII")
_POLICIES = {
    "SCHED_OTHER": 0,
    "SCHED_FIFO": 1,
    "SCHED_RR": 2,
    "SCHED_BATCH": 3,
    "SCHED_ISO": 4,  # reserved: a kernel that has it says so itself
    "SCHED_IDLE": 5,
    "SCHED_DEADLINE": 6,
}
_FLAGS = {
    "SCHED_FLAG_RESET_ON_FORK": 0x01,
    "SCHED_FLAG_RECLAIM": 0x02,
    "SCHED_FLAG_DL_OVERRUN": 0x04,
    "SCHED_FLAG_KEEP_POLICY": 0x08,
    "SCHED_FLAG_KEEP_PARAMS": 0x10,
    "SCHED_FLAG_UTIL_CLAMP_MIN": 0x20,
    "SCHED_FLAG_UTIL_CLAMP_MAX": 0x40,
}
_IO_CLASSES = {"IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_BE": 2, "IOPRIO_CLASS_IDLE": 3}
_IO_CLASS_SHIFT = 13
_MODES = {
    "MPOL_DEFAULT": 0,
    "MPOL_PREFERRED": 1,
    "MPOL_BIND": 2,
    "MPOL_INTERLEAVE": 3,
    "MPOL_LOCAL": 4,
    "MPOL_PREFERRED_MANY": 5,
    "MPOL_WEIGHTED_INTERLEAVE": 6,
}
_MODE_FLAGS = {
    "MPOL_F_NUMA_BALANCING": 1 << 13,
    "MPOL_F_RELATIVE_NODES": 1 << 14,
    "MPOL_F_STATIC_NODES": 1 << 15,
}
CPUS = 8192
"""As many as a kernel can be built for (NR_CPUS)."""
NODES = 1024
"""1 << CONFIG_NODES_SHIFT, at most."""
WORD = 8


def placement_ops(process: Process, linux: Linux) -> Iterator[Op]:
    """Scheduler, I/O priority and memory policy: while the capabilities that they need are there."""
    scheduler = process.get("scheduler")
    if scheduler:
        yield ops.scheduler(scheduler_attributes(scheduler))
    priority = process.get("ioPriority")
    if priority:
        yield ops.io_priority(io_priority(priority))
    yield from memory_policy_ops(linux)


def scheduler_attributes(scheduler: Scheduler) -> bytes:
    """struct sched_attr. What clamping clamps to is no property of the specification: it is 0."""
    flags = 0
    for name in scheduler.get("flags") or ():
        flags |= _number(_FLAGS, name, "process.scheduler.flags")
    times = (scheduler.get("runtime", 0), scheduler.get("deadline", 0), scheduler.get("period", 0))
    return _SCHED_ATTR.pack(
        _SCHED_ATTR.size,
        _number(_POLICIES, scheduler.get("policy", ""), "process.scheduler.policy"),
        flags,
        scheduler.get("nice", 0),
        scheduler.get("priority", 0),
        *times,
        0,
        0,
    )


def io_priority(priority: IOPriority) -> int:
    """Spec: ioprio_set(2), IOPRIO_PRIO_VALUE"""
    kind = _number(_IO_CLASSES, priority["class"], "process.ioPriority.class")
    return kind << _IO_CLASS_SHIFT | priority.get("priority", 0)


def affinity_op(cpus: str, field: str) -> Op:
    return ops.cpu_affinity(_mask(cpus, CPUS, field), f"{field} {cpus.strip()}")


def any_cpu(origin: str) -> Op:
    """Every CPU that the process's cgroup has: the kernel takes the others away."""
    return ops.cpu_affinity(b"\xff" * (CPUS // 8), origin)


def memory_policy_ops(linux: Linux) -> Iterator[Op]:
    policy: MemoryPolicy | None = linux.get("memoryPolicy")
    if not policy:
        return
    mode = _number(_MODES, policy.get("mode", ""), "linux.memoryPolicy.mode")
    for name in policy.get("flags") or ():
        mode |= _number(_MODE_FLAGS, name, "linux.memoryPolicy.flags")
    nodes = (policy.get("nodes") or "").strip()
    mask = _mask(nodes, NODES, "linux.memoryPolicy.nodes") if nodes else b""
    # the kernel takes one bit less than it is told of
    yield ops.memory_policy(mode, len(mask) * 8 + 1 if mask else 0, mask)


def _mask(text: str, bound: int, field: str) -> bytes:
    """Whole words, as the kernel wants them, with a bit for each number of a list such as "0-3,7"."""
    try:
        bits = bits_of(text, bound)
    except ValueError as error:
        raise InvalidArgument(str(error), field=field) from None
    words = -(-bits.bit_length() // (8 * WORD))
    return bits.to_bytes(words * WORD, "little")


def _number(table: dict[str, int], word: str, field: str) -> int:
    number = table.get(word)
    if number is None:
        raise InvalidArgument(f"{word!r} is none of {', '.join(table)}", field=field)
    return number
