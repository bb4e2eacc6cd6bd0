"""The ops that turn the container's first process, or an exec's, into the user's.

The order is the kernel's logic, not a matter of taste:

    limits -> placement -> labels -> bounding set -> user -> capabilities -> no_new_privs
    -> (hold) -> (few open files) -> filter -> exec

Placement (scheduler, I/O, memory) needs capabilities. A label needs a file, which a filter may refuse, and what
no_new_privs may forbid; it counts from the exec on. A filter need not allow what a start calls, so it is loaded right
before the exec. It needs CAP_SYS_ADMIN, or no_new_privs: without the flag that capability stays permitted until the
exec, which takes it away. A filter is loaded earlier where something of the container is to run under it before
(startContainer hooks, an init of ours), or where its agent hears of it while the container is being created. The
bounding set can be cut only while CAP_SETPCAP is there; a change of user drops what is not kept. Where the program may
have few files open, the start still needs more.

Spec: runtime-spec config.md#process
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping, Sequence

from containerlib.errors import InvalidArgument, Unsupported
from containerlib.runtime.config.refusals import refuse
from containerlib.runtime.plan import ops
from containerlib.runtime.plan.capabilities import granted, mask
from containerlib.runtime.plan.groups import Groups
from containerlib.runtime.plan.labels import label_ops
from containerlib.runtime.plan.op import Op
from containerlib.runtime.plan.scheduling import affinity_op, any_cpu, placement_ops

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from containerlib.spec.runtime import Linux, Process, Rlimit

__all__ = ["environment", "final_ops", "joining_ops", "process_ops", "search_path"]

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
_FILES_OF_A_START = 128
"""More than the helper ever has open. A limit below is set last."""
_FILTER_FLAGS = {
    "SECCOMP_FILTER_FLAG_TSYNC": 1,
    "SECCOMP_FILTER_FLAG_LOG": 2,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": 4,
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": 32,
}
_NEW_LISTENER = 8
_SYS_ADMIN = mask(["CAP_SYS_ADMIN"])
_PERSONALITIES = {"LINUX": 0x0000, "LINUX32": 0x0008}


def process_ops(
    process: Process,
    seccomp: bytes | None,
    profile: Mapping[str, Any] | None,
    *,
    linux: Linux,
    make_cwd: bool,
    die_with_shim: bool = True,
    keep_groups: bool = False,
    listener: Op | None = None,
    hold: Sequence[Op] = (),
    hooks: Sequence[Op] = (),
    reaper: bool = False,
) -> Iterator[Op]:
    """Ends with the exec, and `hold` and `hooks` before it. `seccomp`: the compiled `profile`.

    `make_cwd`: a missing working directory is made. `keep_groups`: setgroups(2) is denied here. `listener`: tells the
    seccomp agent. `reaper`: as for `final_ops`.
    """
    user = process.get("user", {})
    no_new_privileges = process.get("noNewPrivileges", False)
    filters = _filter_ops(seccomp, profile or {}, listener) if seccomp else []
    yield from _rlimit_ops(process)
    yield from _personality_ops(linux)
    yield from placement_ops(process, linux)
    yield from label_ops(process)
    yield ops.chdir(process.get("cwd", "/"), make=make_cwd)
    early = reaper or listener is not None
    if reaper and not no_new_privileges:  # the init stays, and has no capability beyond the program's
        yield from filters
    capabilities = process.get("capabilities")
    sets = None if capabilities is None else granted(capabilities)
    if sets is not None:
        yield ops.cap_bounding(sets.bounding)
    groups = user.get("additionalGids", ())
    if keep_groups and groups:
        raise InvalidArgument(
            "groups cannot be set in a user namespace that its own user has mapped",
            field="process.user.additionalGids",
        )
    yield ops.user(user.get("uid", 0), user.get("gid", 0), groups, keep_groups=keep_groups, owns_pipes=True)
    if sets is not None:
        kept = _SYS_ADMIN if filters and not (reaper or no_new_privileges) else 0
        yield ops.capabilities(sets.effective, sets.permitted | kept, sets.inheritable, sets.ambient)
    if no_new_privileges:
        yield ops.no_new_privs()
    yield ops.umask(user.get("umask"))
    if die_with_shim:
        yield ops.parent_death(signal.SIGKILL)
    if early and (no_new_privileges or not reaper):
        yield from filters
    yield from hold
    yield from final_ops(process, filters=() if early else filters, hooks=hooks, reaper=reaper)


def final_ops(
    process: Process, *, filters: Sequence[Op] = (), hooks: Sequence[Op] = (), reaper: bool = False
) -> Iterator[Op]:
    """What is left when a container is started: its hooks, a small limit of open files, its filter and the exec.

    `reaper`: this process stays as the container's init, and the program is its child.
    """
    env = environment(process)
    if hooks:  # they are the container's programs, and have its filter
        yield from filters
        yield from hooks
    yield ops.descriptors()
    yield from (_rlimit_op(limit) for limit in process.get("rlimits") or () if _is_few_files(limit))
    if reaper:
        yield ops.init()
    if not hooks:
        yield from filters
    yield ops.exec_(process["args"], env, search_path(env))


def joining_ops(process: Process, groups: Groups, *, reset: bool = False) -> Iterator[Op]:
    """An exec's way into the container's groups, on the CPUs that process.execCPUAffinity has for before and after.

    With CPUs for before it is not born in its cgroup v2 (CLONE_INTO_CGROUP), but goes there. Without CPUs for after it
    has all those of the container; with `reset` it has them always, whatever CPUs its maker is bound to.
    """
    affinity = process.get("execCPUAffinity") or {}
    initial, final = affinity.get("initial", "").strip(), affinity.get("final", "").strip()
    files = groups.join_files
    if initial:
        yield affinity_op(initial, "process.execCPUAffinity.initial")
        files = files or tuple(f"{directory}/cgroup.procs" for directory in groups.directories[:1])
    yield from map(ops.cgroup_join, files)
    if final:
        yield affinity_op(final, "process.execCPUAffinity.final")
    elif initial or reset:
        yield any_cpu("process.execCPUAffinity.final")


def _rlimit_ops(process: Process) -> Iterator[Op]:
    seen = set()
    for limit in process.get("rlimits") or ():
        kind = limit["type"]
        if kind not in _RLIMITS:
            raise InvalidArgument(f"{kind!r} is not a resource limit", field="process.rlimits")
        if kind in seen:
            raise InvalidArgument(f"{kind} is there twice", field="process.rlimits")
        seen.add(kind)
        if not _is_few_files(limit):
            yield _rlimit_op(limit)
        elif limit["hard"] >= _FILES_OF_A_START:  # raising it may need what is given up before the exec
            yield _rlimit_op({**limit, "soft": _FILES_OF_A_START})


def _rlimit_op(limit: Rlimit) -> Op:
    return ops.rlimit(limit["type"], _RLIMITS[limit["type"]], limit["soft"], limit["hard"])


def _is_few_files(limit: Rlimit) -> bool:
    return (
        limit["type"] == "RLIMIT_NOFILE"
        and limit["soft"] <= limit["hard"]
        and limit["soft"] < _FILES_OF_A_START
    )


def _personality_ops(linux: Linux) -> Iterator[Op]:
    personality = linux.get("personality")
    if not personality:
        return
    if personality.get("flags"):
        raise refuse("linux.personality.flags")
    domain = personality.get("domain", "")
    if domain not in _PERSONALITIES:
        raise InvalidArgument(
            f"{domain!r} is none of {', '.join(_PERSONALITIES)}", field="linux.personality.domain"
        )
    yield ops.personality(_PERSONALITIES[domain], f"linux.personality {domain}")


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


def environment(process: Process) -> list[str]:
    """Of a variable that is set several times the last one, where that stands. Not the specification's, but runc's."""
    last: dict[str, str] = {}
    for entry in process.get("env") or ():
        name = entry.partition("=")[0]
        last.pop(name, None)
        last[name] = entry
    return list(last.values())


def search_path(env: Sequence[str]) -> str:
    """Where a program without a slash is sought: the PATH of its own environment."""
    return next((entry[5:] for entry in env if entry.startswith("PATH=")), "")
