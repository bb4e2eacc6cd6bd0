"""config.json to the ops that make it so. Pure: it reads nothing and decides everything, so that it can be compared
with a golden list.

    host's tree visible     cgroups, namespaces, the root and everything mounted in it
    pivot_root              the host's tree is gone
    the process             limits, user, capabilities, filter, exec

Spec: runtime-spec config.md, config-linux.md
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

from containerlib.errors import InvalidArgument
from containerlib.runtime.plan import ops
from containerlib.runtime.plan.devices import console_ops, device_ops
from containerlib.runtime.plan.groups import Groups
from containerlib.runtime.plan.hooks import hook_ops, state_text
from containerlib.runtime.plan.labels import keyring_label_ops, labelled_mounts
from containerlib.runtime.plan.late import NOTHING, Late
from containerlib.runtime.plan.mount_entry import read_mounts
from containerlib.runtime.plan.mounts import ahead_ops, mount_ops, read_only_ops, root_propagation
from containerlib.runtime.plan.namespaces import CLONE_FLAGS, Namespaces, namespaces_of
from containerlib.runtime.plan.net_devices import net_device_ops
from containerlib.runtime.plan.op import Op, Plan
from containerlib.runtime.plan.process import environment, final_ops, joining_ops, process_ops, search_path
from containerlib.runtime.plan.root_mounts import root_mount_ops
from containerlib.runtime.plan.roots import OverlayRoot, Root
from containerlib.runtime.plan.scheduling import any_cpu
from containerlib.runtime.plan.sysctls import check_sysctl
from containerlib.runtime.plan.time_offsets import time_ops
from containerlib.runtime.plan.unmounted import check_unmounted, directory_op, is_unmounted
from containerlib.runtime.plan.user import Mapper, denies_groups, root_ops, user_ops
from containerlib.spec.log import ALL_IN_ONE, LogOptions
from containerlib.spec.values import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from containerlib.runtime.plan.mount_entry import MountEntry
    from containerlib.spec.runtime import Linux, Process, Spec

__all__ = ["Manner", "after_ops", "container_plan", "exec_plan", "host_ops", "late_ops", "log_ops"]

_NOTIFY = "SCMP_ACT_NOTIFY"
_IMAGE_ATTRIBUTES = 0x1 | 0x2 | 0x4
"""MOUNT_ATTR_RDONLY, NOSUID, NODEV."""
_KEYRING = 0x3F1B0000
"""What the kernel gives, and KEY_USR_SEARCH: its user finds it."""
_KEYRING_FOR_OTHERS = 0x00000008
"""KEY_OTH_SEARCH: of those that are in its user namespace."""


@frozen
class Manner:
    """How a process is started, beyond what its config says."""

    hold: bool = False
    """It stops at OCI's "created"."""
    bare: bool = False
    """It stays there, for the sake of its mounts: its program need not be there."""
    supervised: bool = True
    """A shim stays with it, and it ends with that."""
    keyring: bool = True
    """It has a session keyring of its own."""
    pivot: bool = True
    """By pivot_root(2), which the kernel refuses where "/" is the initial ramdisk."""
    reaper: bool = False
    """The first process is an init of ours, and the program its child."""
    images: tuple[tuple[str, OverlayRoot], ...] = ()
    """Roots that are mounted read-only, above its mounts: (path, root)."""
    late: Late = NOTHING
    """What is found or made when it starts; the plan is the only place that has it."""
    links: tuple[str, ...] = ()
    """What connects its network namespace: the origin of each op."""
    bundle: str = ""
    """What hooks are told."""
    mapper: Mapper | None = None
    """Who maps the ids of a user namespace; None: the caller, who is privileged."""
    log: LogOptions = ALL_IN_ONE
    all_cpus: bool = False
    """It has all CPUs of its cgroup, also where its maker is bound to a few, as a command's caller may be."""
    environ: tuple[str, ...] = ()
    """The runtime's, which hooks on the host have where they are given none of their own."""
    nested: bool = False
    """The caller is root of a user namespace alone: it makes no devices, and cannot mount what shows the host's."""


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
    namespaces = namespaces_of(linux)
    new, kinds = namespaces.new, namespaces.kinds
    unmounted = is_unmounted(kinds)
    if unmounted:
        check_unmounted(spec, kinds)
    late = manner.late
    process = late.process(spec["process"])
    mounts = read_mounts(spec, manner.bundle)

    def hooks(kind: str) -> Iterator[Op]:
        # a createContainer hook is a program of the host: with LD_PRELOAD of the image it would load the image's code
        inherited = environment(process) if kind == "startContainer" else manner.environ
        return hook_ops(spec, kind, container_id=container_id, bundle=manner.bundle, inherited=inherited)

    before = [
        *host_ops(spec, mounts, groups, namespaces, manner),
        *(
            (directory_op(root),)
            if unmounted
            else root_mount_ops(
                rootfs,
                root,
                linux,
                new="user" in new,
                joined="user" in namespaces.joined,
                privileged=manner.mapper is None,
            )
        ),
        *labelled_mounts(
            mount_ops(
                mounts,
                linux,
                groups,
                private_cgroups="cgroup" in new,
                late=late.found,
                nested=manner.nested,
            ),
            linux,
        ),
        *(op for at, image in manner.images for op in _image(rootfs, at, image)),
        *device_ops(spec, mounts, bound=namespaces.have_user or manner.nested),
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
        *(ops.handover(ops.lend(late.lends)) if late.lends else ()),
        *(_keyring(process, container_id, namespaces) if manner.keyring else ()),
        *process_ops(
            process,
            seccomp,
            linux.get("seccomp"),
            linux=linux,
            make_cwd=True,
            die_with_shim=manner.supervised,
            keep_groups="user" in new and denies_groups(linux, manner.mapper),
            listener=_listener(spec, container_id, manner.bundle),
            hold=_hold(process, manner),
            hooks=tuple(hooks("startContainer")),
            reaper=manner.reaper,
        ),
    ]
    supervised = manner.supervised
    return Plan(
        tuple(before),
        (
            *after_ops(groups),
            *log_ops(manner.log),
            *(hooks("poststop") if supervised else ()),
        ),
        namespaces.cloned,
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
    namespaces = namespaces_of(linux)
    flags = namespaces.all_flags
    unmounted = is_unmounted(namespaces.kinds)
    before = [
        *joining_ops(process, groups, reset=manner.all_cpus),
        *ops.handover(*map(ops.cgroup_join, groups.task_files)),
        *_oom_score(process),
        *([directory_op(root)] if unmounted else ()),
        ops.join(flags),
        *([ops.change_root()] if unmounted else ()),
        *console_ops(process, bind=False),
        *(_keyring(process, container_id, namespaces) if manner.keyring else ()),
        *process_ops(
            process,
            seccomp,
            linux.get("seccomp"),
            linux=linux,
            make_cwd=False,
            die_with_shim=manner.supervised,
            keep_groups=namespaces.have_user and denies_groups(linux, manner.mapper),
            listener=_listener(spec, container_id, manner.bundle),
        ),
    ]
    return Plan(tuple(before))


def _image(rootfs: str, at: str, root: OverlayRoot) -> Iterator[Op]:
    """An image's files, which the shim stacks, and the container has at `at`: its devices are none."""
    yield from ops.handover(ops.root_overlay(rootfs, root))
    yield ops.bind("image", at, f"image on {at}", attributes=_IMAGE_ATTRIBUTES, flags=ops.MOUNT_TREE)


def late_ops(spec: Spec) -> Sequence[Op]:
    """The ops that are left when a container is created, for the words of what fails in them."""
    hooks = tuple(hook_ops(spec, "startContainer", container_id="", bundle=""))
    profile: Mapping[str, Any] = spec.get("linux", {}).get("seccomp") or {}
    filters = [ops.seccomp(b"")] if profile and not profile.get("listenerPath") else []
    return list(final_ops(spec["process"], filters=filters, hooks=hooks))


def _refuse_later(spec: Spec, linux: Linux) -> None:
    if linux.get("timeOffsets") and not any(
        n["type"] == "time" and not n.get("path") for n in linux.get("namespaces") or ()
    ):
        raise InvalidArgument(
            "is for a new time namespace, and linux.namespaces has none", field="linux.timeOffsets"
        )
    if "process" not in spec or not spec["process"].get("args"):
        raise InvalidArgument("config.json has no command to run", field="process.args")


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


def _hold(process: Process, manner: Manner) -> Sequence[Op]:
    if not manner.hold:
        return []
    return [ops.hold(process["args"][0], search_path(environment(process)), bare=manner.bare)]


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


def _keyring(process: Process, container_id: str, namespaces: Namespaces) -> Iterator[Op]:
    """The container's one, which the first process makes and each that is executed finds by its name.

    Whoever executes one in a user namespace is not yet the user there whose keyring it is.
    """
    yield from keyring_label_ops(process)
    yield ops.session_keyring(
        f"_ses.{container_id}", _KEYRING | (_KEYRING_FOR_OTHERS if namespaces.have_user else 0)
    )


def _oom_score(process: Process) -> list[Op]:
    return [ops.oom_score_adj(process["oomScoreAdj"])] if "oomScoreAdj" in process else []


def host_ops(
    spec: Spec,
    mounts: Sequence[MountEntry],
    groups: Groups,
    namespaces: Namespaces,
    manner: Manner,
) -> Iterator[Op]:
    linux, mapper = spec.get("linux", {}), manner.mapper
    new, joined = namespaces.new, namespaces.joined
    joins = [ops.cgroup_join(file) for file in groups.join_files]
    oom_score = _oom_score(spec["process"])
    if "time" in new:
        yield from time_ops(linux)
    if "user" in new and not namespaces.come_late:
        # before it is another user, to whom its own files in /proc do not belong
        yield from oom_score
        yield from user_ops(linux, mapper, joins)
        joins, oom_score = [], []
    yield from joins
    if manner.all_cpus:
        yield any_cpu("the CPUs of the container's cgroup")
    yield from ops.handover(*map(ops.cgroup_join, groups.task_files))
    for kind, path in sorted(joined.items(), key=lambda item: item[0] != "user"):
        origin, other = f"linux.namespaces {kind} {path}", manner.late.namespace(path)
        if other is None:
            yield ops.setns(path, CLONE_FLAGS[kind], origin)
        else:
            yield ops.setns_of(other.name, other.directory, CLONE_FLAGS[kind], origin)
    if namespaces.leave_their_owner:
        yield from labelled_mounts(ahead_ops(mounts, linux), linux)
    if "cgroup" in new and not namespaces.leave_their_owner:  # the groups, which are joined, become its root
        yield ops.unshare(CLONE_FLAGS["cgroup"], "linux.namespaces cgroup")
    yield from oom_score
    if namespaces.come_late:
        yield from _late_namespaces(linux, namespaces, mapper)
    if "network" in new:
        yield ops.loopback_up()
    if manner.supervised and ("network" in new or manner.links):
        yield ops.links(manner.links)
    yield from net_device_ops(linux)
    if not is_unmounted(namespaces.kinds):
        yield ops.propagation(root_propagation(linux)[0])


def _late_namespaces(linux: Linux, namespaces: Namespaces, mapper: Mapper | None) -> Iterator[Op]:
    if "user" in namespaces.joined:
        yield from root_ops(keep_groups=False)
    yield ops.unshare(namespaces.late, "new namespaces beside the joined ones")
    if "user" in namespaces.new:
        yield from user_ops(linux, mapper, ())
    if "pid" in namespaces.new:
        yield ops.rebirth()


def _sysctls(linux: Linux, own: AbstractSet[str]) -> Iterator[Op]:
    for key, value in linux.get("sysctl", {}).items():
        check_sysctl(key, own)
        yield ops.sysctl(key, value)


def _names(spec: Spec, new: AbstractSet[str]) -> Iterator[Op]:
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


def log_ops(options: LogOptions) -> Sequence[Op]:
    """What the shim does unasked is the default."""
    if options == ALL_IN_ONE:
        return ()
    return (ops.log(options.max_size_bytes, options.max_files, block=options.full == "block"),)


def _killed_through(groups: Groups) -> Sequence[str]:
    """The group by which all processes are found: v1's freezer if there is one, since it must be thawed too."""
    freezers = [path for names, path in (groups.hierarchies or {}).items() if "freezer" in names.split(",")]
    return (freezers or groups.directories)[:1]
