"""What a container may use: limits, shares and devices as the runtime-spec's resources.

Spec: runtime-spec config-linux.md#control-groups
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from containerlib.bundles.devices import rules_of
from containerlib.errors import InvalidArgument, NotFound, StageError
from containerlib.spec.options import ContainerOptions, DeviceLimit, Limits
from containerlib.spec.runtime import CPU, BlockIO, DeviceRule, Memory, Resources, ThrottleDevice

__all__ = ["CPU_PERIOD", "limit_resources", "resources_of"]

CPU_PERIOD = 100_000
"""Microseconds; Docker's and the kernel's default."""
_NO_LIMITS = Limits()

BlockDevice = Callable[[str], tuple[int, int]]
"""The major and minor number of the block device at a path."""


def _device_rule(kind: str, major: int | None, minor: int | None, access: str = "rwm") -> DeviceRule:
    rule: DeviceRule = {"allow": True, "type": kind}
    if major is not None:
        rule["major"] = major
    if minor is not None:
        rule["minor"] = minor
    return {**rule, "access": access}


# every node may be made, the harmless ones be used
_DEVICES: list[DeviceRule] = [
    {"allow": False, "access": "rwm"},
    _device_rule("c", None, None, "m"),
    _device_rule("b", None, None, "m"),
    _device_rule("c", 1, 3),  # null
    _device_rule("c", 1, 5),  # zero
    _device_rule("c", 1, 7),  # full
    _device_rule("c", 1, 8),  # random
    _device_rule("c", 1, 9),  # urandom
    _device_rule("c", 5, 0),  # tty
    _device_rule("c", 5, 1),  # console
    _device_rule("c", 5, 2),  # ptmx
    _device_rule("c", 136, None),  # pts/*
]
_ALL_DEVICES: list[DeviceRule] = [{"allow": True, "access": "rwm"}]


def block_device(path: str) -> tuple[int, int]:
    """Raises: NotFound where nothing is there; InvalidArgument where it is no block device."""
    try:
        status = os.stat(path)  # noqa: PTH116 - a str
    except FileNotFoundError as error:
        raise NotFound(f"there is no device {path}: lsblk -p shows those that are") from error
    except OSError as error:
        raise StageError("device", error.errno or 0, path) from error
    if not stat.S_ISBLK(status.st_mode):
        raise InvalidArgument(
            f"{path} is no block device: what is read and written is counted for those alone", field="device"
        )
    return os.major(status.st_rdev), os.minor(status.st_rdev)


def resources_of(options: ContainerOptions, find: BlockDevice = block_device) -> Resources:
    """Raises: InvalidArgument for limits that contradict each other; what `find` raises."""
    devices = _ALL_DEVICES if options.privileged else _DEVICES
    if rules := rules_of(options):
        devices = [*devices, *rules]
    limits = options.limits
    return (
        {"devices": devices, **limit_resources(limits, find)}
        if limits != _NO_LIMITS
        else {"devices": devices}
    )


def limit_resources(limits: Limits, find: BlockDevice = block_device) -> Resources:
    """Those of `limits` alone. Raises: as `resources_of`."""
    resources: Resources = {}
    if memory := _memory(limits):
        resources["memory"] = memory
    if cpu := _cpu(limits):
        resources["cpu"] = cpu
    if block := _block(limits, find):
        resources["blockIO"] = block
    if limits.pids is not None:
        resources["pids"] = {"limit": limits.pids}
    if limits.hugepages:
        resources["hugepageLimits"] = [{"pageSize": size, "limit": limit} for size, limit in limits.hugepages]
    if limits.unified:
        resources["unified"] = dict(limits.unified)
    return resources


def _memory(limits: Limits) -> Memory:
    """The runtime-spec's `swap` includes memory; without a word Docker allows as much swap as memory."""
    memory: Memory = {}
    if limits.memory_bytes is not None:
        swap = limits.memory_bytes if limits.swap_bytes is None else limits.swap_bytes
        memory = {"limit": limits.memory_bytes, "swap": -1 if swap == -1 else limits.memory_bytes + swap}
    elif limits.swap_bytes is not None:
        raise InvalidArgument("a limit on swap needs one on memory", field="limits")
    if limits.memory_reservation_bytes is not None:
        if limits.memory_bytes is not None and limits.memory_reservation_bytes > limits.memory_bytes:
            raise InvalidArgument("memory_reservation is above memory: nothing could keep it", field="limits")
        memory["reservation"] = limits.memory_reservation_bytes
    if limits.swappiness is not None:
        memory["swappiness"] = limits.swappiness
    if limits.oom_kill_disable:
        memory["disableOOMKiller"] = True
    return memory


def _cpu(limits: Limits) -> CPU:
    cpu: CPU = {}
    if limits.cpus is not None:
        if not limits.cpus > 0:
            raise InvalidArgument(f"{limits.cpus} is not a number of CPUs", field="limits")
        if limits.cpu_quota is not None or limits.cpu_period is not None:
            raise InvalidArgument(
                "cpus says what cpu_quota and cpu_period say: give one of both", field="limits"
            )
        cpu = {"quota": max(1000, round(limits.cpus * CPU_PERIOD)), "period": CPU_PERIOD}
    if limits.cpu_quota is not None:
        cpu["quota"] = limits.cpu_quota
    if limits.cpu_period is not None:
        cpu["period"] = limits.cpu_period
    if limits.cpu_shares is not None:
        cpu["shares"] = limits.cpu_shares
    if limits.cpu_rt_runtime is not None:
        cpu["realtimeRuntime"] = limits.cpu_rt_runtime
    if limits.cpu_rt_period is not None:
        cpu["realtimePeriod"] = limits.cpu_rt_period
    if limits.cpuset:
        cpu["cpus"] = limits.cpuset
    if limits.mems:
        cpu["mems"] = limits.mems
    return cpu


def _block(limits: Limits, find: BlockDevice) -> BlockIO:
    block: BlockIO = {}
    if limits.blkio_weight is not None:
        block["weight"] = limits.blkio_weight
    numbers = {device.path: find(device.path) for device in limits.devices}
    weights = [device for device in limits.devices if device.weight is not None]
    if weights:
        block["weightDevice"] = [
            {"major": numbers[d.path][0], "minor": numbers[d.path][1], "weight": d.weight or 0}
            for d in weights
        ]

    def rates(value: Callable[[DeviceLimit], int | None]) -> list[ThrottleDevice]:
        return [
            {"major": numbers[device.path][0], "minor": numbers[device.path][1], "rate": rate}
            for device in limits.devices
            if (rate := value(device)) is not None
        ]

    if read_bps := rates(lambda device: device.read_bps):
        block["throttleReadBpsDevice"] = read_bps
    if write_bps := rates(lambda device: device.write_bps):
        block["throttleWriteBpsDevice"] = write_bps
    if read_iops := rates(lambda device: device.read_iops):
        block["throttleReadIOPSDevice"] = read_iops
    if write_iops := rates(lambda device: device.write_iops):
        block["throttleWriteIOPSDevice"] = write_iops
    return block
