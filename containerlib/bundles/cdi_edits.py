"""A configuration with what CDI's specifications add to it. Pure, but for a look at the device nodes.

Spec: cncf-tags/container-device-interface SPEC.md#containeredits
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from containerlib.bundles.cdi import Edits
from containerlib.bundles.devices import rule_of
from containerlib.bundles.host import device_at
from containerlib.errors import InvalidArgument, NotFound
from containerlib.spec.runtime import Device, Hooks, IntelRdt, Linux, Mount, Process, Spec

__all__ = ["edited"]

_HOOKS = frozenset(
    {"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"}
)
_RDT = ("closID", "l3CacheSchema", "memBwSchema", "schemata", "enableMonitoring")

DeviceAt = Callable[[str], Device | None]


def edited(spec: Spec, edits: Sequence[Edits], look: DeviceAt = device_at) -> Spec:
    """`spec` with all of `edits`, in their order. Raises: InvalidArgument; NotFound for a device node."""
    for edit in edits:
        try:
            spec = _edited(spec, edit, look)
        except (KeyError, TypeError, AttributeError) as error:
            raise InvalidArgument(
                f"a containerEdits of CDI lacks {error} or has another type for it", field="device"
            ) from error
    return spec


def _edited(spec: Spec, edit: Edits, look: DeviceAt) -> Spec:
    made: Spec = {**spec, "process": _process(spec["process"], edit), "linux": _linux(spec, edit, look)}
    if mounts := edit.get("mounts"):
        made["mounts"] = [*spec["mounts"], *map(_mount, mounts)]
    if hooks := edit.get("hooks"):
        made["hooks"] = _hooks(spec.get("hooks", {}), hooks)
    return made


def _process(process: Process, edit: Edits) -> Process:
    """Variables replace those of their name; groups come to the program's own."""
    process = {**process}
    if more := edit.get("env"):
        env = dict(item.split("=", 1) for item in [*process.get("env", ()), *more])
        process["env"] = [f"{name}={value}" for name, value in env.items()]
    if gids := edit.get("additionalGids"):
        user = process["user"]
        process["user"] = {
            **user,
            "additionalGids": list(
                dict.fromkeys([*user.get("additionalGids", ()), *(int(g) for g in gids if g)])
            ),
        }
    return process


def _linux(spec: Spec, edit: Edits, look: DeviceAt) -> Linux:
    linux: Linux = {**spec["linux"]}
    if nodes := edit.get("deviceNodes"):
        devices = {device["path"]: device for device in linux.get("devices", ())}
        resources = linux.get("resources", {})
        rules = [*resources.get("devices", ())]
        for node in nodes:
            device = _device(node, spec["process"], look)
            devices[device["path"]] = device
            rules.append(rule_of(device, node.get("permissions") or "rwm"))
        linux["devices"] = list(devices.values())
        linux["resources"] = {**resources, "devices": rules}
    if rdt := edit.get("intelRdt"):
        known = {name: rdt[name] for name in _RDT if name in rdt}
        if rdt.get("enableCMT") or rdt.get("enableMBM"):
            known["enableMonitoring"] = True
        linux["intelRdt"] = cast(IntelRdt, known)
    if net := edit.get("netDevices"):
        names = {each["hostInterfaceName"]: {"name": each["name"]} for each in net}
        linux["netDevices"] = {**linux.get("netDevices", {}), **cast(Any, names)}
    return linux


def _device(node: Mapping[str, Any], process: Process, look: DeviceAt) -> Device:
    """The node as the specification has it; what that leaves open is as on the host."""
    path, source = node["path"], node.get("hostPath") or node["path"]
    device: Device = {"path": path}
    if not {"type", "major", "minor"} <= {name for name, value in node.items() if value is not None}:
        found = look(os.path.realpath(source))
        if found is None:
            raise NotFound(
                f"CDI names the device node {source}, and there is none on this machine: is its driver loaded?"
            )
        device = {**found, "path": path}
    for name in ("type", "major", "minor", "fileMode", "uid", "gid"):
        if node.get(name) is not None:
            device = cast(Device, {**device, name: node[name]})
    user = process["user"]
    for name, own in (("uid", user["uid"]), ("gid", user["gid"])):
        if node.get(name) is None and own > 0:  # the program is no root: the node is its own
            device = cast(Device, {**device, name: own})
    return device


def _mount(mount: Mapping[str, Any]) -> Mount:
    options, kind = list(mount.get("options") or ()), mount.get("type") or ""
    if kind in ("", "bind", "none") and not {"bind", "rbind"} & set(options):
        options.append("rbind")
    return {
        "destination": mount["containerPath"],
        "source": mount["hostPath"],
        "type": kind or "bind",
        "options": options,
    }


def _hooks(hooks: Hooks, more: Sequence[Mapping[str, Any]]) -> Hooks:
    made: dict[str, list[Any]] = {name: [*cast(list[Any], items)] for name, items in hooks.items()}
    for hook in more:
        name = hook["hookName"]
        if name not in _HOOKS:
            raise InvalidArgument(
                f"CDI names the hook {name!r}: hooks are {', '.join(sorted(_HOOKS))}", field="device"
            )
        known = {key: hook[key] for key in ("path", "args", "env", "timeout") if hook.get(key) is not None}
        made.setdefault(name, []).append(known)
    return cast(Hooks, made)
