"""What the properties of a config.json mean together: rules over a configuration whose shape is right.

Each rule is a function that raises InvalidArgument with the path of the property that cannot stand as it does, or
Unsupported with the path of one that this runtime refuses. Nothing is read from the machine: whether a path, a
device or a controller is there is found out when it is used.

Spec: runtime-spec config.md, config-linux.md
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from containerlib.errors import InvalidArgument, Unsupported
from containerlib.runtime.config.refusals import refuse
from containerlib.runtime.config.rules_linux import check_linux, check_mappings, namespace_kinds
from containerlib.runtime.plan import mount_options
from containerlib.runtime.plan.capabilities import NAMES
from containerlib.runtime.plan.unmounted import check_unmounted, is_unmounted
from containerlib.spec import vocabulary

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from containerlib.spec.runtime import Linux, Mount, Process, Resources, Spec

__all__ = ["capability_warnings", "check_config", "check_process", "check_resources", "warnings_of"]

_HOSTNAME_BYTES = 64  # __NEW_UTS_LEN
_WINDOW = 2**16 - 1  # struct winsize
_REAL_TIME = frozenset({"SCHED_FIFO", "SCHED_RR"})
_CAPABILITY_NAMES = frozenset(NAMES)


def check_config(spec: Spec) -> None:
    """Raises: InvalidArgument(field=path); Unsupported."""
    for rule in _RULES:
        rule(spec)
    check_process(spec["process"])
    linux: Linux = spec.get("linux") or {}
    kinds = namespace_kinds(linux)
    if is_unmounted(kinds):
        check_unmounted(spec, kinds)
    check_linux(linux, kinds)
    _names(spec, kinds)
    _mounts(spec, kinds)
    check_resources(linux.get("resources") or {}, "linux.resources")


# ---- the whole ----


def _version(spec: Spec) -> None:
    major = spec["ociVersion"].partition(".")[0]
    if major != vocabulary.VERSION.partition(".")[0]:
        raise Unsupported(
            f"ociVersion: {spec['ociVersion']} is not a version that this runtime reads: "
            f"{vocabulary.VERSION_MIN} to {vocabulary.VERSION}"
        )


def _platforms(spec: Spec) -> None:
    for name in vocabulary.OTHER_PLATFORMS:
        if name in spec:
            raise refuse(name)


_RULES: Sequence[Callable[[Spec], None]] = (_version, _platforms)


def _names(spec: Spec, kinds: Mapping[str, str]) -> None:
    for name, value in (("hostname", spec.get("hostname")), ("domainname", spec.get("domainname"))):
        if not value:
            continue
        if "uts" not in kinds:
            raise InvalidArgument(
                "without a uts namespace it would change the host's: add one to linux.namespaces", field=name
            )
        if len(value.encode(errors="surrogateescape")) > _HOSTNAME_BYTES:
            raise InvalidArgument(f"is longer than {_HOSTNAME_BYTES} bytes", field=name)


# ---- process ----


def check_process(process: Process, where: str = "process") -> None:
    """The rules of a process, which is also what an exec is given. `where`: its path in errors."""
    if process.get("commandLine"):
        raise refuse("process.commandLine", f"{where}.commandLine")
    if process.get("user", {}).get("username"):
        raise refuse("process.user.username", f"{where}.user.username")
    if not process["args"][0]:
        raise InvalidArgument("is no program", field=f"{where}.args[0]")
    size = process.get("consoleSize")
    if size and process.get("terminal"):
        for side in ("height", "width"):
            if size[side] > _WINDOW:
                raise InvalidArgument(
                    f"a terminal has at most {_WINDOW}", field=f"{where}.consoleSize.{side}"
                )
    _rlimits(process, where)
    if "scheduler" in process:
        _scheduler(process["scheduler"], f"{where}.scheduler")


def _rlimits(process: Process, where: str) -> None:
    seen = set()
    for index, limit in enumerate(process.get("rlimits") or ()):
        field = f"{where}.rlimits[{index}]"
        if limit["type"] in seen:
            raise InvalidArgument(f"{limit['type']} is there twice", field=f"{field}.type")
        seen.add(limit["type"])
        if limit["soft"] > limit["hard"]:
            raise InvalidArgument(
                f"{limit['soft']} is above the hard limit, {limit['hard']}", field=f"{field}.soft"
            )


def _scheduler(scheduler: Mapping[str, Any], where: str) -> None:
    """Spec: runtime-spec config.md#linux-process, sched_setattr(2)."""
    policy, priority = scheduler["policy"], scheduler.get("priority", 0)
    if bool(priority) != (policy in _REAL_TIME):
        needs = "is from 1 to 99" if policy in _REAL_TIME else "is only for SCHED_FIFO and SCHED_RR"
        raise InvalidArgument(f"{priority} with {policy}: it {needs}", field=f"{where}.priority")
    times = [scheduler.get(name, 0) for name in ("runtime", "deadline", "period")]
    if policy != "SCHED_DEADLINE":
        for name, value in zip(("runtime", "deadline", "period"), times, strict=True):
            if value:
                raise InvalidArgument(f"is only for SCHED_DEADLINE, not {policy}", field=f"{where}.{name}")
    elif not 0 < times[0] <= times[1] or (times[2] and times[1] > times[2]):
        raise InvalidArgument("must be above 0 and within deadline and period", field=f"{where}.runtime")


# ---- linux.resources ----


def check_resources(resources: Resources, where: str) -> None:
    """The rules of resources, which is also what an update is given. `where`: their path in errors."""
    memory = resources.get("memory") or {}
    if 0 < memory.get("swap", 0) < memory.get("limit", 0):
        raise InvalidArgument(
            f"{memory['swap']} is less than the limit, {memory['limit']}: it counts memory and swap",
            field=f"{where}.memory.swap",
        )
    cpu = resources.get("cpu") or {}
    if 0 < cpu.get("quota", 0) < cpu.get("burst", 0):
        raise InvalidArgument(
            f"{cpu['burst']} is more than the quota, {cpu['quota']}", field=f"{where}.cpu.burst"
        )


# ---- mounts ----


def _mounts(spec: Spec, kinds: Mapping[str, str]) -> None:
    for index, mount in enumerate(spec.get("mounts") or ()):
        where = f"mounts[{index}]"
        try:
            options = mount_options.parse(mount.get("options") or ())
        except Unsupported as error:
            raise Unsupported(f"{where}.options: {error}") from None
        except InvalidArgument as error:
            message = str(error).removeprefix(f"{error.field}: ")
            raise InvalidArgument(message, field=f"{where}.options") from None
        if options.bind or mount.get("type") in ("bind", "none"):
            _bind(mount, options, where)
        elif not mount.get("type"):
            raise InvalidArgument("is required of a mount that binds nothing", field=f"{where}.type")
        _mount_mappings(mount, where, "user" in kinds)


def _bind(mount: Mount, options: mount_options.MountOptions, where: str) -> None:
    if not mount.get("source"):
        raise InvalidArgument("is required of a bind mount", field=f"{where}.source")
    if options.data:  # the kernel would ignore it without a word
        key, value = options.data[0]
        raise InvalidArgument(
            f"{f'{key}={value}' if value else key!r} is an option of a file system, and a bind mount makes none",
            field=f"{where}.options",
        )


def _mount_mappings(mount: Mount, where: str, user_namespace: bool) -> None:
    uids, gids = mount.get("uidMappings"), mount.get("gidMappings")
    if bool(uids) != bool(gids):
        given, missing = ("uidMappings", "gidMappings") if uids else ("gidMappings", "uidMappings")
        raise InvalidArgument(f"is required with {given}", field=f"{where}.{missing}")
    if uids or gids:
        check_mappings(uids or (), f"{where}.uidMappings")
        check_mappings(gids or (), f"{where}.gidMappings")
    elif not user_namespace and any(word in ("idmap", "ridmap") for word in mount.get("options") or ()):
        raise InvalidArgument(
            "is id-mapped, without uidMappings and gidMappings and without a user namespace to take them from",
            field=f"{where}.options",
        )


# ---- what is passed over, but not in silence ----


def warnings_of(spec: Spec) -> Iterator[str]:
    """Spec: runtime-spec runtime.md#warnings."""
    yield from capability_warnings(spec["process"])
    for index, mount in enumerate(spec.get("mounts") or ()):
        if not mount["destination"].startswith("/"):
            yield f"mounts[{index}].destination: {mount['destination']} is taken relative to /, which is deprecated"


def capability_warnings(process: Process, where: str = "process") -> Iterator[str]:
    """A capability that does not exist is no error. Spec: runtime-spec config.md#linux-process."""
    sets: Mapping[str, Any] = process.get("capabilities") or {}
    for name in vocabulary.CAPABILITY_SETS:
        for capability in sets.get(name) or ():
            if capability not in _CAPABILITY_NAMES:
                yield f"{where}.capabilities.{name}: {capability!r} is not a capability, and is passed over"
