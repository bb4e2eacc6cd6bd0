"""`linux.resources` to the files of cgroup v1: pure.

Spec: runtime-spec config-linux.md#control-groups; kernel admin-guide/cgroup-v1/*.rst, scheduler/sched-bwc.rst
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from containerlib.errors import Unsupported
from containerlib.runtime.cgroups.limits import (
    Section,
    Setting,
    hugepage_settings,
    pids_settings,
    rdma_settings,
    section,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["v1_settings"]

_THROTTLES = {
    "throttleReadBpsDevice": "blkio.throttle.read_bps_device",
    "throttleWriteBpsDevice": "blkio.throttle.write_bps_device",
    "throttleReadIOPSDevice": "blkio.throttle.read_iops_device",
    "throttleWriteIOPSDevice": "blkio.throttle.write_iops_device",
}


def v1_settings(resources: Mapping[str, Any]) -> list[Setting]:
    """Writes in the order that a new group wants: memory before memory with swap, a period before its quota.

    Raises: Unsupported for what only v2 has; InvalidArgument(field="resources.…").
    """
    if resources.keys() <= {"devices"}:  # as most containers have it, and this is on the way to each
        return []
    if resources.get("unified"):
        raise Unsupported(
            f"resources.unified ({', '.join(resources['unified'])}) needs cgroup v2, and this machine has v1 "
            "controllers; use the other properties of resources"
        )
    return [
        *_memory(section(resources, "memory")),
        *_cpu(section(resources, "cpu")),
        *pids_settings(resources),
        *_block_io(section(resources, "blockIO")),
        *hugepage_settings(resources, "limit_in_bytes"),
        *rdma_settings(resources),
        *_network(section(resources, "network")),
    ]


def _memory(memory: Section) -> Iterator[Setting]:
    """`kernel` is read and let go: kernels since 5.16 take a limit on kernel memory alone, and keep none."""
    memory.number("kernel")
    hierarchical = memory.flag("useHierarchy")
    if hierarchical is not None:  # before there is a limit, and before there are children
        yield Setting("memory", "memory.use_hierarchy", str(int(hierarchical)), "memory.useHierarchy")
    limit, swap = memory.bytes("limit"), memory.bytes("swap")
    if limit == -1 and not swap:  # no limit on memory alone would leave one on both
        yield Setting("memory", "memory.memsw.limit_in_bytes", "-1", "memory.limit", optional=True)
    if limit:
        yield Setting("memory", "memory.limit_in_bytes", str(limit), "memory.limit")
    if swap:
        # without swap accounting the kernel has no such file; Docker's default of twice the memory can then be let go
        optional = swap in (2 * (limit or 0), -1)
        yield Setting("memory", "memory.memsw.limit_in_bytes", str(swap), "memory.swap", optional)
    if reservation := memory.bytes("reservation"):
        yield Setting("memory", "memory.soft_limit_in_bytes", str(reservation), "memory.reservation")
    if tcp := memory.bytes("kernelTCP"):
        yield Setting("memory", "memory.kmem.tcp.limit_in_bytes", str(tcp), "memory.kernelTCP")
    swappiness = memory.count("swappiness", 100)
    if swappiness is not None:
        yield Setting("memory", "memory.swappiness", str(swappiness), "memory.swappiness")
    disable = memory.flag("disableOOMKiller")
    if disable:
        yield Setting("memory", "memory.oom_control", "1", "memory.disableOOMKiller")


def _cpu(cpu: Section) -> Iterator[Setting]:
    idle = cpu.number("idle", least=0, most=1)
    if idle == 0:  # an idle group takes no shares
        yield Setting("cpu", "cpu.idle", "0", "cpu.idle", optional=True)
    if shares := cpu.count("shares"):
        yield Setting("cpu", "cpu.shares", str(shares), "cpu.shares")
    if idle:
        yield Setting("cpu", "cpu.idle", "1", "cpu.idle")
    for key, file in (
        ("period", "cpu.cfs_period_us"),
        ("quota", "cpu.cfs_quota_us"),
        ("burst", "cpu.cfs_burst_us"),
        ("realtimePeriod", "cpu.rt_period_us"),
        ("realtimeRuntime", "cpu.rt_runtime_us"),
    ):
        number = cpu.number(key) if key in ("quota", "realtimeRuntime") else cpu.count(key)
        if number or (key == "burst" and number is not None):
            yield Setting("cpu", file, str(number), f"cpu.{key}", optional=key == "burst" and not number)
    for key in ("cpus", "mems"):
        if value := cpu.text(key):
            yield Setting("cpuset", f"cpuset.{key}", value, f"cpu.{key}")


def _block_io(block: Section) -> Iterator[Setting]:
    """Weights are CFQ's where the kernel has that (before 5.0), and BFQ's else; those of leaves are CFQ's alone."""
    if weight := block.count("weight", 1000):
        yield Setting("blkio", "blkio.weight", str(weight), "blockIO.weight").or_else("blkio.bfq.weight")
    if leaf := block.count("leafWeight", 1000):
        yield Setting("blkio", "blkio.leaf_weight", str(leaf), "blockIO.leafWeight")
    for item in block.objects("weightDevice"):
        device, weight, leaf = item.device(), item.count("weight", 1000), item.count("leafWeight", 1000)
        if weight is None and leaf is None:
            raise item.wrong("weight", "or leafWeight is needed, or both")
        if weight:
            setting = Setting("blkio", "blkio.weight_device", f"{device} {weight}", item.property("weight"))
            yield setting.or_else("blkio.bfq.weight_device")
        if leaf:
            yield Setting(
                "blkio", "blkio.leaf_weight_device", f"{device} {leaf}", item.property("leafWeight")
            )
    for key, file in _THROTTLES.items():
        for item in block.objects(key):
            rate = item.count("rate")
            if rate is None:
                raise item.wrong("rate", "is missing")
            yield Setting("blkio", file, f"{item.device()} {rate}", item.property("rate"))


def _network(network: Section) -> Iterator[Setting]:
    if class_id := network.count("classID", 0xFFFFFFFF):
        yield Setting("net_cls", "net_cls.classid", str(class_id), "network.classID")
    for item in network.objects("priorities"):
        name, priority = item.text("name"), item.count("priority", 0xFFFFFFFF)
        if not name or "/" in name:
            raise item.wrong("name", f"{name!r} is not the name of an interface")
        if priority is None:
            raise item.wrong("priority", "is missing")
        yield Setting("net_prio", "net_prio.ifpriomap", f"{name} {priority}", f"network.priorities.{name}")
