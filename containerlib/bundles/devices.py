"""Devices of the host that a container is given, and the rules that let it use them.

Spec: runtime-spec config-linux.md#devices, #allowed-device-list
"""

from __future__ import annotations

import os
import stat

from containerlib.bundles.host import device_at, host_devices
from containerlib.errors import NotFound, StageError
from containerlib.spec.options import ContainerOptions, DeviceOption
from containerlib.spec.runtime import Device, DeviceRule, Mount, Spec

__all__ = ["bound_elsewhere", "devices_of", "rule_of", "rules_of"]


def devices_of(options: ContainerOptions) -> list[Device]:
    """The nodes that are made; of two with one path the later. Raises: NotFound; StageError."""
    found = {device["path"]: device for device in (host_devices("/dev") if options.privileged else ())}
    for option in options.devices:
        found.update((device["path"], device) for device in _nodes(option))
    return list(found.values())


def bound_elsewhere(spec: Spec, options: ContainerOptions) -> Spec:
    """`spec` with the devices bound that have another path than on the host: root of a user namespace makes none.

    Those with the same path the runtime binds by itself.
    """
    moved = {
        option.target + source.removeprefix(option.path): source
        for option in options.devices
        if option.target != option.path
        for source in (node["path"].replace(option.target, option.path, 1) for node in _nodes(option))
    }
    devices = [device for device in spec["linux"].get("devices", ()) if device["path"] not in moved]
    binds: list[Mount] = [
        {"destination": target, "type": "bind", "source": source, "options": ["bind", "rprivate"]}
        for target, source in moved.items()
    ]
    if not binds:
        return spec
    return {**spec, "mounts": [*spec["mounts"], *binds], "linux": {**spec["linux"], "devices": devices}}


def rules_of(options: ContainerOptions) -> list[DeviceRule]:
    """What may be used beyond the default devices. Raises: NotFound; StageError."""
    rules = [rule_of(device, option.access) for option in options.devices for device in _nodes(option)]
    for kind, major, minor, access in options.device_rules:
        rule: DeviceRule = {"allow": True, "type": kind, "access": access}
        if major is not None:
            rule["major"] = major
        if minor is not None:
            rule["minor"] = minor
        rules.append(rule)
    return rules


def rule_of(device: Device, access: str) -> DeviceRule:
    """The rule that lets a device be used."""
    return {
        "allow": True,
        "type": device["type"],
        "major": device["major"],
        "minor": device["minor"],
        "access": access,
    }


def _nodes(option: DeviceOption) -> list[Device]:
    """The device itself, or each of a directory, under the container's path."""
    try:
        is_directory = stat.S_ISDIR(os.stat(option.path).st_mode)  # noqa: PTH116 - a str
    except FileNotFoundError as error:
        raise NotFound(f"there is no device {option.path} on this machine: is its driver loaded?") from error
    except OSError as error:
        raise StageError("device", error.errno or 0, option.path) from error
    if is_directory:
        found = host_devices(option.path)
    else:
        device = device_at(os.path.realpath(option.path))
        found = [] if device is None else [{**device, "path": option.path}]
    if not found:
        raise NotFound(
            f"{option.path} is no device and no directory with devices: to show files, mount() them"
        )
    return [{**device, "path": option.target + device["path"].removeprefix(option.path)} for device in found]
