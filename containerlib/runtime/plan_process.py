"""The ops that turn the container's first process, or an exec's, into the user's.

The order is the kernel's logic, not a matter of taste:

    limits -> (filter) -> bounding set -> user -> capabilities -> no_new_privs -> (filter) -> exec

A filter needs CAP_SYS_ADMIN, or no_new_privs: with the flag it is loaded last, without it before the capabilities go.
The bounding set can be cut only while CAP_SETPCAP is there; a change of user drops what is not kept.

Spec: runtime-spec config.md#process
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from containerlib.errors import InvalidArgument, Unsupported
from containerlib.runtime import ops
from containerlib.runtime.capabilities import mask
from containerlib.runtime.ops import Op
from containerlib.spec.runtime import Process

__all__ = ["process_ops", "search_path"]

_RLIMITS = {
    name: number
    for number, name in enumerate(
        (
            "RLIMIT_CPU",
            "RLIMIT_FSIZE",
            "RLIMIT_DATA",
            "RLIMIT_STACK",
            "RLIMIT_CORE",
            "RLIMIT_RSS",
            "RLIMIT_NPROC",
            "RLIMIT_NOFILE",
            "RLIMIT_MEMLOCK",
            "RLIMIT_AS",
            "RLIMIT_LOCKS",
            "RLIMIT_SIGPENDING",
            "RLIMIT_MSGQUEUE",
            "RLIMIT_NICE",
            "RLIMIT_RTPRIO",
            "RLIMIT_RTTIME",
        )
    )
}
_FILTER_FLAGS = {
    "SECCOMP_FILTER_FLAG_TSYNC": 1,
    "SECCOMP_FILTER_FLAG_LOG": 2,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": 4,
}
_NEW_LISTENER = 8
DEFAULT_UMASK = 0o022


def process_ops(
    process: Process,
    seccomp: bytes | None,
    profile: Mapping[str, Any] | None,
    *,
    make_cwd: bool,
    die_with_shim: bool = True,
    keep_groups: bool = False,
    listener: Op | None = None,
    last: Sequence[Op] = (),
) -> Iterator[Op]:
    """Ends with the exec, and `last` before it. `seccomp`: the compiled `profile`.

    `make_cwd`: a missing working directory is made. `keep_groups`: setgroups(2) is denied here. `listener`: tells the
    seccomp agent.
    """
    _refuse_later(process)
    user = process.get("user", {})
    no_new_privileges = process.get("noNewPrivileges", False)
    filters = _filter_ops(seccomp, profile or {}, listener) if seccomp else []
    yield from map(_rlimit, process.get("rlimits", ()))
    yield ops.chdir(process.get("cwd", "/"), make=make_cwd)
    if not no_new_privileges:
        yield from filters
    capabilities = process.get("capabilities")
    if capabilities is not None:
        yield ops.cap_bounding(mask(capabilities.get("bounding", ())))
    groups = user.get("additionalGids", ())
    if keep_groups and groups:
        raise InvalidArgument(
            "groups cannot be set in a user namespace that its own user has mapped",
            field="process.user.additionalGids",
        )
    yield ops.user(user.get("uid", 0), user.get("gid", 0), groups, keep_groups=keep_groups)
    if capabilities is not None:
        yield ops.capabilities(
            mask(capabilities.get("effective", ())),
            mask(capabilities.get("permitted", ())),
            mask(capabilities.get("inheritable", ())),
            mask(capabilities.get("ambient", ())),
        )
    if no_new_privileges:
        yield ops.no_new_privs()
    yield ops.umask(user.get("umask", DEFAULT_UMASK))
    if die_with_shim:
        yield ops.parent_death(signal.SIGKILL)
    if no_new_privileges:
        yield from filters
    yield from last
    env = process.get("env", [])
    yield ops.exec_(process["args"], env, search_path(env))


def _refuse_later(process: Process) -> None:
    for name in ("apparmorProfile", "selinuxLabel", "scheduler", "ioPriority", "execCPUAffinity"):
        if process.get(name):
            raise Unsupported(f"process.{name} of config.json is not supported yet")


def _rlimit(limit: Mapping[str, Any]) -> Op:
    number = _RLIMITS.get(limit["type"])
    if number is None:
        raise InvalidArgument(f"{limit['type']!r} is not a resource limit", field="process.rlimits")
    return ops.rlimit(limit["type"], number, limit["soft"], limit["hard"])


def _filter_ops(seccomp: bytes, profile: Mapping[str, Any], listener: Op | None) -> list[Op]:
    flags = _filter_flags(profile)
    if listener is None:
        return [ops.seccomp(seccomp, flags)]
    return [ops.seccomp(seccomp, flags | _NEW_LISTENER), *ops.handover(listener)]


def _filter_flags(profile: Mapping[str, Any]) -> int:
    flags = 0
    for name in profile.get("flags", ()):
        if name not in _FILTER_FLAGS:
            raise Unsupported(f"linux.seccomp.flags {name} is not supported yet")
        flags |= _FILTER_FLAGS[name]
    return flags


def search_path(env: Sequence[str]) -> str:
    """Where a program without a slash is sought: the PATH of its own environment."""
    return next((entry[5:] for entry in env if entry.startswith("PATH=")), "")
