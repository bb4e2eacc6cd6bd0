"""What the properties of config.json's `linux` mean together.

Spec: runtime-spec config-linux.md
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Mapping, Sequence

from containerlib.errors import InvalidArgument
from containerlib.runtime.config.refusals import refuse
from containerlib.runtime.config.shape import interface_name
from containerlib.runtime.config.shapes import Wrong, step
from containerlib.runtime.plan.sysctls import check_sysctl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from containerlib.spec.runtime import IDMapping, Linux

__all__ = ["check_linux", "check_mappings", "namespace_kinds"]

_IDS = 2**32
_FILE_TYPES = {"c": stat.S_IFCHR, "u": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}
_ERRNO_ACTIONS = frozenset({"SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"})
_WITHOUT_NODES = frozenset({"MPOL_DEFAULT", "MPOL_LOCAL"})
_NODES_OPTIONAL = frozenset({"MPOL_PREFERRED"})


def check_linux(linux: Linux, kinds: Mapping[str, str]) -> None:
    """Every rule of the section. `kinds`: its namespaces, as `namespace_kinds` has them."""
    for rule in _RULES:
        rule(linux, kinds)


def namespace_kinds(linux: Linux) -> dict[str, str]:
    """Each kind with its path, "" for a new one."""
    kinds: dict[str, str] = {}
    for index, namespace in enumerate(linux.get("namespaces") or ()):
        if namespace["type"] in kinds:
            raise InvalidArgument(
                f"{namespace['type']} is there twice", field=f"linux.namespaces[{index}].type"
            )
        kinds[namespace["type"]] = namespace.get("path", "")
    return kinds


def _mappings(linux: Linux, kinds: Mapping[str, str]) -> None:
    for name, mappings in (
        ("uidMappings", linux.get("uidMappings")),
        ("gidMappings", linux.get("gidMappings")),
    ):
        if mappings and "user" not in kinds:
            raise InvalidArgument(
                "is for a user namespace, and linux.namespaces has none", field=f"linux.{name}"
            )
        check_mappings(mappings or (), f"linux.{name}")


def check_mappings(mappings: Sequence[IDMapping], where: str) -> None:
    """The ranges of a map may not overlap, on either side. Spec: user_namespaces(7)."""
    for name in ("containerID", "hostID"):
        ranges = sorted((int(m[name]), m["size"], index) for index, m in enumerate(mappings))
        end = 0
        for first, size, index in ranges:
            if first < end:
                raise InvalidArgument(f"{first} is mapped already", field=f"{where}[{index}].{name}")
            end = first + size
            if end > _IDS:
                raise InvalidArgument(
                    f"{first} + {size} is beyond the last id", field=f"{where}[{index}].size"
                )


def _time_offsets(linux: Linux, kinds: Mapping[str, str]) -> None:
    if linux.get("timeOffsets") and kinds.get("time") != "":
        raise InvalidArgument(
            "is for a new time namespace, and linux.namespaces has none", field="linux.timeOffsets"
        )


def _devices(linux: Linux, _kinds: Mapping[str, str]) -> None:
    for index, device in enumerate(linux.get("devices") or ()):
        type_bits = stat.S_IFMT(device.get("fileMode", 0))
        if type_bits not in (0, _FILE_TYPES[device["type"]]):
            raise InvalidArgument(
                f"{device['fileMode']:#o} is of another type than {device['type']}",
                field=f"linux.devices[{index}].fileMode",
            )
        if device["type"] == "p":
            continue
        for name, highest in (("major", 2**12), ("minor", 2**20)):  # the kernel's dev_t
            number = device.get(name)
            if number is None:
                raise InvalidArgument("is required", field=f"linux.devices[{index}].{name}")
            if not isinstance(number, int) or not 0 <= number < highest:
                raise InvalidArgument(
                    f"{number} is no number of a device: 0 to {highest - 1}",
                    field=f"linux.devices[{index}].{name}",
                )


def _net_devices(linux: Linux, kinds: Mapping[str, str]) -> None:
    devices = linux.get("netDevices") or {}
    if devices and "network" not in kinds:
        raise InvalidArgument(
            "is for a network namespace, and linux.namespaces has none", field="linux.netDevices"
        )
    taken = set()
    for device, properties in devices.items():
        path = f"linux.netDevices{step(device)}.name"
        name = properties.get("name") or device
        try:
            interface_name(name)
        except Wrong as wrong:
            raise InvalidArgument(wrong.message, field=path) from None
        if name in taken:
            raise InvalidArgument(f"{name} is the name of another device too", field=path)
        if "%" not in name:  # eth%d: the kernel finds the number
            taken.add(name)


def _cgroups_path(linux: Linux, _kinds: Mapping[str, str]) -> None:
    path = linux.get("cgroupsPath", "")
    if ".." in path.split("/"):
        raise InvalidArgument(f"{path} leads up with '..'", field="linux.cgroupsPath")


def _sysctl(linux: Linux, kinds: Mapping[str, str]) -> None:
    for key in linux.get("sysctl") or ():
        try:
            check_sysctl(key, kinds.keys())
        except InvalidArgument as error:
            message = str(error).removeprefix(f"{error.field}: ")
            raise InvalidArgument(message, field=f"linux.sysctl{step(key)}") from None


def _seccomp(linux: Linux, _kinds: Mapping[str, str]) -> None:
    seccomp = linux.get("seccomp")
    if not seccomp:
        return
    notifies = seccomp["defaultAction"] == "SCMP_ACT_NOTIFY"
    _errno(seccomp["defaultAction"], seccomp, "defaultErrnoRet", "linux.seccomp")
    for index, rule in enumerate(seccomp.get("syscalls") or ()):
        action = rule["action"]
        notifies = notifies or action == "SCMP_ACT_NOTIFY"
        if "errnoRet" in rule and action not in _ERRNO_ACTIONS:
            _errno(action, rule, "errnoRet", f"linux.seccomp.syscalls[{index}]")
    if not seccomp.get("listenerPath"):
        if seccomp.get("listenerMetadata"):
            raise InvalidArgument("needs a listenerPath", field="linux.seccomp.listenerMetadata")
        if notifies:
            raise InvalidArgument(
                "is required where an action is SCMP_ACT_NOTIFY: the socket of who decides",
                field="linux.seccomp.listenerPath",
            )


def _errno(action: str, section: Mapping[str, Any], name: str, where: str) -> None:
    if name in section and action not in _ERRNO_ACTIONS:
        raise InvalidArgument(f"{action} returns no errno", field=f"{where}.{name}")


def _personality(linux: Linux, _kinds: Mapping[str, str]) -> None:
    if linux.get("personality", {}).get("flags"):
        raise refuse("linux.personality.flags")


def _intel_rdt(linux: Linux, _kinds: Mapping[str, str]) -> None:
    """Spec: runtime-spec config-linux.md#intelrdt; "/" is the root class, and resctrl has one level of them."""
    class_ = linux.get("intelRdt", {}).get("closID", "")
    if class_ in (".", "..") or (class_ != "/" and "/" in class_) or "\n" in class_:
        raise InvalidArgument(f"{class_!r} is no name of a class of service", field="linux.intelRdt.closID")


def _memory_policy(linux: Linux, _kinds: Mapping[str, str]) -> None:
    """Spec: runtime-spec config-linux.md#memory-policy, set_mempolicy(2)."""
    policy = linux.get("memoryPolicy")
    if not policy:
        return
    mode, nodes = policy["mode"], policy.get("nodes", "").strip()
    if nodes and mode in _WITHOUT_NODES:
        raise InvalidArgument(f"{mode} takes no nodes", field="linux.memoryPolicy.nodes")
    if not nodes and mode not in _WITHOUT_NODES | _NODES_OPTIONAL:
        raise InvalidArgument(f"{mode} needs at least one node", field="linux.memoryPolicy.nodes")
    if {"MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"} <= set(policy.get("flags") or ()):
        raise InvalidArgument("nodes are static or relative, not both", field="linux.memoryPolicy.flags")


_RULES: Sequence[Callable[[Linux, Mapping[str, str]], None]] = (
    _mappings,
    _time_offsets,
    _devices,
    _net_devices,
    _cgroups_path,
    _sysctl,
    _seccomp,
    _personality,
    _intel_rdt,
    _memory_policy,
)
