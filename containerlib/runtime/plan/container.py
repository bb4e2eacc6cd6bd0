"""config.json to the ops that make it so. Pure: it reads nothing and decides everything, so that it can be compared
with a golden list.

    host's tree visible     cgroups, namespaces, the root and everything mounted in it
    pivot_root              the host's tree is gone
    the process             limits, user, capabilities, filter, exec

Spec: runtime-spec config.md, config-linux.md
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from containerlib.errors import InvalidArgument
from containerlib.runtime.plan import ops
from containerlib.runtime.plan.devices import console_ops, device_ops
from containerlib.runtime.plan.groups import Groups
from containerlib.runtime.plan.hooks import hook_ops, state_text
from containerlib.runtime.plan.labels import keyring_label_ops, labelled_mounts
from containerlib.runtime.plan.mount_entry import read_mounts
from containerlib.runtime.plan.mounts import mount_ops, read_only_ops, root_propagation
from containerlib.runtime.plan.net_devices import net_device_ops
from containerlib.runtime.plan.op import Op, Plan
from containerlib.runtime.plan.process import final_ops, joining_ops, process_ops, search_path
from containerlib.runtime.plan.root_mounts import root_mount_ops
from containerlib.runtime.plan.roots import Root
from containerlib.runtime.plan.sysctls import check_sysctl
from containerlib.runtime.plan.time_offsets import CLONE_NEWTIME, time_ops
from containerlib.runtime.plan.unmounted import check_unmounted, directory_op, is_unmounted
from containerlib.runtime.plan.user import Mapper, denies_groups, root_ops, user_ops
from containerlib.spec.values import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from containerlib.spec.runtime import Linux, Process, Spec

__all__ = ["Manner", "after_ops", "container_plan", "exec_plan", "late_ops"]

CLONE_FLAGS = {
    "mount": 0x00020000,
    "cgroup": 0x02000000,
    "uts": 0x04000000,
    "ipc": 0x08000000,
    "pid": 0x20000000,
    "network": 0x40000000,
    "user": 0x10000000,
    "time": CLONE_NEWTIME,
}
_NOTIFY = "SCMP_ACT_NOTIFY"
_UNSHARED = {"cgroup", "time"}
"""Kinds that clone3(2) does not make: something is to be done first, with the groups or the clocks."""


@frozen
class Manner:
    """How a process is started, beyond what its config says."""

    hold: bool = False
    """It stops at OCI's "created"."""
    supervised: bool = True
    """A shim stays with it, and it ends with that."""
    keyring: bool = True
    """It has a session keyring of its own."""
    pivot: bool = True
    """By pivot_root(2), which the kernel refuses where "/" is the initial ramdisk."""
    bundle: str = ""
    """What hooks are told."""
    mapper: Mapper | None = None
    """Who maps the ids of a user namespace; None: the caller, who is privileged."""


def container_plan(
    spec: Spec,
    rootfs: str,
    root: Root,
    groups: Groups,
    *,
    container_id: str,
    seccomp: bytes | None = None,
    manner: Manner = Manner(),  # noqa: B008 - it is frozen
) -> Plan:
    """The plan of a new container. `rootfs`: the absolute host directory that the root is mounted on.

    Raises: InvalidArgument and Unsupported, for a config that says what cannot be or is not there yet.
    """
    linux = spec.get("linux", {})
    _refuse_later(spec, linux)
    new, joined = _namespaces(linux)
    kinds = new | set(joined)
    unmounted = is_unmounted(kinds)
    if unmounted:
        check_unmounted(spec, kinds)
    process = spec["process"]
    mounts = read_mounts(spec, manner.bundle)

    def hooks(kind: str) -> Iterator[Op]:
        return hook_ops(spec, kind, container_id=container_id, bundle=manner.bundle)

    before = [
        *_host_ops(spec, groups, new, joined, manner.mapper),
        *(
            (directory_op(root),)
            if unmounted
            else root_mount_ops(
                rootfs,
                root,
                linux,
                new="user" in new,
                joined="user" in joined,
                privileged=manner.mapper is None,
            )
        ),
        *labelled_mounts(mount_ops(mounts, linux, groups, private_cgroups="cgroup" in new), linux),
        *device_ops(spec, mounts, bound="user" in new or "user" in joined),
        *read_only_ops(mounts),
        *_sysctls(linux, kinds),
        *(ops.mask(path, f"linux.maskedPaths {path}") for path in linux.get("maskedPaths", ())),
        *(ops.readonly(path, f"linux.readonlyPaths {path}") for path in linux.get("readonlyPaths", ())),
        *_names(spec, new),
        *ops.handover(*hooks("prestart"), *hooks("createRuntime")),
        *hooks("createContainer"),
        ops.change_root()
        if unmounted
        else ops.pivot(
            read_only=spec.get("root", {}).get("readonly", False),
            propagation=root_propagation(linux)[1],
            moved=not manner.pivot,
        ),
        *(_keyring(process, container_id) if manner.keyring else ()),
        *process_ops(
            process,
            seccomp,
            linux.get("seccomp"),
            linux=linux,
            make_cwd=True,
            die_with_shim=manner.supervised,
            keep_groups="user" in new and denies_groups(linux, manner.mapper),
            listener=_listener(spec, container_id, manner.bundle),
            last=(*_hold(process, manner), *hooks("startContainer")),
        ),
    ]
    clone_flags = 0 if "user" in joined else _flags(new - _UNSHARED)
    supervised = manner.supervised
    return Plan(
        tuple(before),
        (*after_ops(groups), *(hooks("poststop") if supervised else ())),
        clone_flags,
        tuple(hooks("poststart") if supervised else ()),
    )


def exec_plan(
    spec: Spec,
    process: Process,
    groups: Groups,
    *,
    container_id: str,
    seccomp: bytes | None = None,
    manner: Manner = Manner(),  # noqa: B008 - it is frozen
    root: Root | None = None,
) -> Plan:
    """The plan of another process in a container that runs with `spec`; `root` is the container's own.

    Raises: InvalidArgument, Unsupported.
    """
    linux = spec.get("linux", {})
    new, joined = _namespaces(linux)
    flags = _flags(new | set(joined))
    unmounted = is_unmounted(new | joined.keys())
    before = [
        *joining_ops(process, groups),
        *ops.handover(*map(ops.cgroup_join, groups.task_files)),
        *_oom_score(process),
        *([directory_op(root)] if unmounted else ()),
        ops.join(flags),
        *([ops.change_root()] if unmounted else ()),
        *console_ops(process, bind=False),
        *(_keyring(process, container_id) if manner.keyring else ()),
        *process_ops(
            process,
            seccomp,
            linux.get("seccomp"),
            linux=linux,
            make_cwd=False,
            die_with_shim=manner.supervised,
            keep_groups=bool(flags & CLONE_FLAGS["user"]) and denies_groups(linux, manner.mapper),
            listener=_listener(spec, container_id, manner.bundle),
        ),
    ]
    return Plan(tuple(before))


def late_ops(spec: Spec) -> Sequence[Op]:
    """The ops that are left when a container is created, for the words of what fails in them."""
    hooks = hook_ops(spec, "startContainer", container_id="", bundle="")
    return [*hooks, *final_ops(spec["process"])]


def _refuse_later(spec: Spec, linux: Linux) -> None:
    if linux.get("timeOffsets") and not any(
        n["type"] == "time" and not n.get("path") for n in linux.get("namespaces") or ()
    ):
        raise InvalidArgument(
            "is for a new time namespace, and linux.namespaces has none", field="linux.timeOffsets"
        )
    if "process" not in spec or not spec["process"].get("args"):
        raise InvalidArgument("config.json has no command to run", field="process.args")


def _namespaces(linux: Linux) -> tuple[set[str], dict[str, str]]:
    """Kinds that are made new, and kinds that are joined with their paths."""
    new, joined = set(), {}
    for namespace in linux.get("namespaces", ()):
        kind, path = namespace["type"], namespace.get("path", "")
        if kind not in CLONE_FLAGS:
            raise InvalidArgument(f"{kind!r} is no type of namespace", field="linux.namespaces")
        if path:
            joined[kind] = path
        else:
            new.add(kind)
    return new, joined


def _check_notify(profile: Mapping[str, Any], path: str | None) -> None:
    """The call by which the listener is handed over must not be one that the listener judges."""
    if profile.get("defaultAction") == _NOTIFY:
        raise InvalidArgument(f"{_NOTIFY} cannot be the default action", field="linux.seccomp.defaultAction")
    for index, rule in enumerate(profile.get("syscalls") or ()):
        if rule.get("action") != _NOTIFY:
            continue
        field = f"linux.seccomp.syscalls[{index}]"
        if not path:
            raise InvalidArgument(f"{_NOTIFY} needs a listenerPath, where an agent listens", field=field)
        if "write" in rule.get("names", ()):
            raise InvalidArgument(f"{_NOTIFY} cannot be used for write", field=field)


def _flags(kinds: Iterable[str]) -> int:
    return functools.reduce(operator.or_, (CLONE_FLAGS[kind] for kind in kinds), 0)


def _hold(process: Process, manner: Manner) -> Sequence[Op]:
    return [ops.hold(process["args"][0], search_path(process.get("env", [])))] if manner.hold else []


def _listener(spec: Spec, container_id: str, bundle: str) -> Op | None:
    """Where the seccomp agent is, and what it is told. Spec: config-linux.md#the-container-process-state"""
    profile: Mapping[str, Any] = spec.get("linux", {}).get("seccomp") or {}
    path = profile.get("listenerPath")
    _check_notify(profile, path)
    if not path:
        return None
    state = state_text(
        spec,
        "creating",
        container_id=container_id,
        bundle=bundle,
        ociVersion=spec.get("ociVersion", ""),
        fds=["seccompFd"],
        metadata=profile.get("listenerMetadata", ""),
    )
    return ops.listener(path, state)


def _keyring(process: Process, container_id: str) -> Iterator[Op]:
    yield from keyring_label_ops(process)
    yield ops.session_keyring(container_id)


def _oom_score(process: Process) -> list[Op]:
    return [ops.oom_score_adj(process["oomScoreAdj"])] if "oomScoreAdj" in process else []


def _host_ops(
    spec: Spec, groups: Groups, new: set[str], joined: Mapping[str, str], mapper: Mapper | None
) -> Iterator[Op]:
    linux = spec.get("linux", {})
    joins = [ops.cgroup_join(file) for file in groups.join_files]
    oom_score = _oom_score(spec["process"])
    if "time" in new:
        yield from time_ops(linux)
    if "user" in new:
        # before it is another user, to whom its own files in /proc do not belong
        yield from oom_score
        yield from user_ops(linux, mapper, joins)
        joins, oom_score = [], []
    yield from joins
    yield from ops.handover(*map(ops.cgroup_join, groups.task_files))
    for kind, path in sorted(joined.items(), key=lambda item: item[0] != "user"):
        yield ops.setns(path, CLONE_FLAGS[kind], f"linux.namespaces {kind} {path}")
    if "cgroup" in new:  # after the groups were joined: they become the namespace's root
        yield ops.unshare(CLONE_FLAGS["cgroup"], "linux.namespaces cgroup")
    yield from oom_score
    if "user" in joined:
        yield from root_ops(keep_groups=False)
        yield ops.unshare(_flags(new - _UNSHARED), "new namespaces in the joined user namespace")
        if "pid" in new:
            yield ops.rebirth()
    if "network" in new:
        yield ops.loopback_up()
    yield from net_device_ops(linux)
    if not is_unmounted(new | joined.keys()):
        yield ops.propagation(root_propagation(linux)[0])


def _sysctls(linux: Linux, own: set[str]) -> Iterator[Op]:
    for key, value in linux.get("sysctl", {}).items():
        check_sysctl(key, own)
        yield ops.sysctl(key, value)


def _names(spec: Spec, new: set[str]) -> Iterator[Op]:
    setters: tuple[tuple[str, Callable[[str], Op]], ...] = (
        (spec.get("hostname", ""), ops.hostname),
        (spec.get("domainname", ""), ops.domainname),
    )
    for name, setter in setters:
        if name and "uts" in new:
            yield setter(name)


def after_ops(groups: Groups) -> Sequence[Op]:
    """What is left to do when a container has ended, whoever made its process."""
    return [
        *map(ops.oom_record, [groups.oom_file] if groups.oom_file else []),
        *map(ops.cgroup_kill, _killed_through(groups)),
        *map(ops.cgroup_remove, (*groups.directories, *groups.classes)),
    ]


def _killed_through(groups: Groups) -> Sequence[str]:
    """The group by which all processes are found: v1's freezer if there is one, since it must be thawed too."""
    freezers = [path for names, path in (groups.hierarchies or {}).items() if "freezer" in names.split(",")]
    return (freezers or groups.directories)[:1]
