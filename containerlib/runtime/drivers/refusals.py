"""What another runtime cannot do, told before anything is made: a runtime leaves out what it does not know, in silence.

Spec: runtime-spec config.md, config-linux.md; the versions are those of the runtimes' release notes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from containerlib.errors import Unsupported
from containerlib.spec.runtime import Process, Spec

__all__ = ["Facts", "refuse_config", "refuse_process"]

NEVER = (1 << 30,)
_SINCE: dict[str, dict[str, tuple[int, ...]]] = {
    "domainname": {"runc": (1, 2), "crun": (1, 7), "runsc": NEVER},
    "process.scheduler": {"runc": (1, 2), "crun": (1, 8, 5), "runsc": NEVER},
    "process.ioPriority": {"runc": (1, 2), "crun": (1, 8, 6), "runsc": NEVER},
    "process.execCPUAffinity": {"runc": (1, 3), "crun": (1, 19), "runsc": NEVER},
    "process.apparmorProfile": {"runsc": NEVER},
    "process.selinuxLabel": {"runsc": NEVER},
    "linux.timeOffsets": {"runc": (1, 2), "crun": (1, 8, 4), "runsc": NEVER},
    "linux.personality": {"runc": (1, 2), "runsc": NEVER},
    "linux.intelRdt": {"crun": (1, 10), "runsc": NEVER},
    "linux.resources.cpu.burst": {"runc": (1, 2), "crun": (1, 11)},
    "linux.devices": {"runsc": NEVER},
    "linux.resources.pids": {"runsc": NEVER},
    "linux.sysctl": {"runsc": NEVER},
    "linux.mountLabel": {"runsc": NEVER},
}
"""Property to the first version of each runtime that has it; a runtime that is not named has always had it."""
_FEATURES = {"linux.netDevices": "netDevices", "linux.memoryPolicy": "memoryPolicy"}
"""Properties so new that the runtime's `features` is asked for them. Spec: features-linux.md"""
_HARMLESS_SYSCTLS = {"net.ipv4.ping_group_range", "net.ipv4.ip_unprivileged_port_start"}
"""They open to all users what a sandbox of one container does not close."""


@frozen
class Facts:
    """What a runtime says of itself. `kind`: the name by which `--version` calls it."""

    kind: str
    version: tuple[int, ...]
    features: Mapping[str, Any]


def refuse_config(spec: Spec, facts: Facts, name: str) -> None:
    """Raises Unsupported where the runtime would leave out, or do otherwise, what config.json says."""
    for path in _SINCE:
        if _asked_for(spec, path):
            _refuse_old(path, facts, name)
    for namespace in spec.get("linux", {}).get("namespaces", ()):
        if namespace.get("path"):  # which its own kernel has not
            what = f"a {namespace['type']} namespace that is another container's"
            _refuse_before({"runsc": NEVER}, what, facts, name)
    linux = facts.features.get("linux") or {}
    for path, feature in _FEATURES.items():
        if _asked_for(spec, path) and not (linux.get(feature) or {}):
            raise _unsupported(name, path)
    for index, mount in enumerate(spec.get("mounts", ())):
        if mount.get("uidMappings") or {"idmap", "ridmap"}.intersection(mount.get("options", ())):
            _refuse_before(
                {"runc": (1, 2), "crun": (1, 9), "runsc": NEVER}, f"mounts[{index}]: idmap", facts, name
            )


def refuse_process(process: Process, facts: Facts, name: str) -> None:
    """The same of one more process."""
    for path in _SINCE:
        if path.startswith("process.") and _asked_for({"process": process}, path):
            _refuse_old(path, facts, name)


def _refuse_old(path: str, facts: Facts, name: str) -> None:
    _refuse_before(_SINCE[path], path, facts, name)


def _refuse_before(since: Mapping[str, tuple[int, ...]], what: str, facts: Facts, name: str) -> None:
    first = since.get(facts.kind)
    if first is None or facts.version >= first:
        return
    if first is NEVER:
        raise _unsupported(name, what)
    newer, own = (".".join(map(str, version)) for version in (first, facts.version))
    raise Unsupported(
        f"the driver {name!r} cannot do {what}: {facts.kind} has it from {newer} on, and this is {own}; "
        'leave it out, install a newer one, or use driver="native"'
    )


def _unsupported(name: str, what: str) -> Unsupported:
    return Unsupported(f'the driver {name!r} cannot do {what}: leave it out, or use driver="native"')


def _asked_for(spec: Mapping[str, Any], path: str) -> bool:
    value: Any = spec
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    if path == "linux.sysctl":
        return bool(set(value or ()) - _HARMLESS_SYSCTLS)
    return value is not None and value not in ({}, [], "")
