"""config.json to the ops that make it so. Pure: it reads nothing and decides everything, so that it can be compared
with a golden list.

    host's tree visible     cgroups, namespaces, the root and everything mounted in it
    pivot_root              the host's tree is gone
    the process             limits, user, capabilities, filter, exec

Spec: runtime-spec config.md, config-linux.md
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from containerlib.errors import InvalidArgument, Unsupported
from containerlib.runtime import mount_options, ops
from containerlib.runtime.groups import Groups
from containerlib.runtime.ops import Op, Plan
from containerlib.runtime.plan_devices import console_ops, device_ops
from containerlib.runtime.plan_mounts import mount_ops
from containerlib.runtime.plan_process import process_ops
from containerlib.runtime.roots import OverlayRoot, Root
from containerlib.runtime.sysctls import check_sysctl
from containerlib.spec.runtime import Linux, Process, Spec

__all__ = ["container_plan", "exec_plan"]

CLONE_FLAGS = {
    "mount": 0x00020000,
    "cgroup": 0x02000000,
    "uts": 0x04000000,
    "ipc": 0x08000000,
    "pid": 0x20000000,
    "network": 0x40000000,
}
_LATER = {"user": "user namespaces", "time": "time namespaces"}


def container_plan(
    spec: Spec, rootfs: str, root: Root, groups: Groups, *, container_id: str, seccomp: bytes | None = None
) -> Plan:
    """The plan of a new container. `rootfs`: the absolute host directory that the root is mounted on.

    Raises: InvalidArgument and Unsupported, for a config that says what cannot be or is not there yet.
    """
    linux = spec.get("linux", {})
    _refuse_later(spec, linux)
    new, joined = _namespaces(linux)
    process = spec["process"]
    before = [
        *_host_ops(linux, process, groups, new, joined),
        _root_op(rootfs, root),
        *mount_ops(spec, groups, private_cgroups="cgroup" in new),
        *device_ops(spec),
        *_sysctls(linux, new),
        *(ops.mask(path, f"linux.maskedPaths {path}") for path in linux.get("maskedPaths", ())),
        *(ops.readonly(path, f"linux.readonlyPaths {path}") for path in linux.get("readonlyPaths", ())),
        *_names(spec, new),
        ops.pivot(read_only=spec.get("root", {}).get("readonly", False)),
        ops.session_keyring(container_id),
        *process_ops(process, seccomp, linux.get("seccomp"), make_cwd=True),
    ]
    clone_flags = 0
    for kind in new - {"cgroup"}:
        clone_flags |= CLONE_FLAGS[kind]
    return Plan(tuple(before), tuple(_after_ops(groups)), clone_flags)


def exec_plan(
    spec: Spec, process: Process, groups: Groups, *, container_id: str, seccomp: bytes | None = None
) -> Plan:
    """The plan of another process in a container that runs with `spec`."""
    linux = spec.get("linux", {})
    new, joined = _namespaces(linux)
    flags = 0
    for kind in new | set(joined):
        flags |= CLONE_FLAGS[kind]
    before = [
        *map(ops.cgroup_join, groups.join_files),
        *_oom_score(process),
        ops.join(flags),
        *console_ops(process, bind=False),
        ops.session_keyring(container_id),
        *process_ops(process, seccomp, linux.get("seccomp"), make_cwd=False),
    ]
    return Plan(tuple(before))


def _refuse_later(spec: Spec, linux: Linux) -> None:
    keys: dict[str, Mapping[str, object]] = {"": dict(spec), "linux.": dict(linux)}
    for prefix, name in (
        ("", "hooks"),
        ("linux.", "uidMappings"),
        ("linux.", "gidMappings"),
        ("linux.", "intelRdt"),
        ("linux.", "mountLabel"),
        ("linux.", "timeOffsets"),
        ("linux.", "netDevices"),
    ):
        if keys[prefix].get(name):
            raise Unsupported(f"{prefix}{name} of config.json is not supported yet")
    if "process" not in spec or not spec["process"].get("args"):
        raise InvalidArgument("config.json has no command to run", field="process.args")


def _namespaces(linux: Linux) -> tuple[set[str], dict[str, str]]:
    """Kinds that are made new, and kinds that are joined with their paths."""
    new, joined = set(), {}
    for namespace in linux.get("namespaces", ()):
        kind, path = namespace["type"], namespace.get("path", "")
        if kind not in CLONE_FLAGS:
            raise Unsupported(
                f"{_LATER.get(kind, kind)}: linux.namespaces of type {kind!r} is not supported yet"
            )
        if path:
            joined[kind] = path
        else:
            new.add(kind)
    if "mount" not in new and "mount" not in joined:
        raise Unsupported("a container without a mount namespace of its own: add one to linux.namespaces")
    return new, joined


def _oom_score(process: Process) -> list[Op]:
    return [ops.oom_score_adj(process["oomScoreAdj"])] if "oomScoreAdj" in process else []


def _host_ops(
    linux: Linux, process: Process, groups: Groups, new: set[str], joined: Mapping[str, str]
) -> Iterator[Op]:
    yield from map(ops.cgroup_join, groups.join_files)
    for kind, path in joined.items():
        yield ops.setns(path, CLONE_FLAGS[kind], f"linux.namespaces {kind} {path}")
    if "cgroup" in new:  # after the groups were joined: they become the namespace's root
        yield ops.unshare(CLONE_FLAGS["cgroup"], "linux.namespaces cgroup")
    yield from _oom_score(process)
    if "network" in new:
        yield ops.loopback_up()
    yield ops.propagation(_root_propagation(linux))


def _root_propagation(linux: Linux) -> int:
    word = linux.get("rootfsPropagation") or "rslave"
    flags = mount_options.PROPAGATION.get(word.removeprefix("r"))
    if flags is None:
        raise InvalidArgument(f"{word!r} is not a propagation", field="linux.rootfsPropagation")
    if flags == mount_options.PROPAGATION["shared"]:
        raise Unsupported("linux.rootfsPropagation shared: mounts of the container would appear on the host")
    return flags


def _root_op(rootfs: str, root: Root) -> Op:
    if isinstance(root, OverlayRoot):
        return ops.root_overlay(rootfs, root.lowers, root.upper, root.work, classic=root.classic)
    return ops.root_bind(root.path)


def _sysctls(linux: Linux, new: set[str]) -> Iterator[Op]:
    for key, value in linux.get("sysctl", {}).items():
        check_sysctl(key, new)
        yield ops.sysctl(key, value)


def _names(spec: Spec, new: set[str]) -> Iterator[Op]:
    setters: tuple[tuple[str, Callable[[str], Op]], ...] = (
        (spec.get("hostname", ""), ops.hostname),
        (spec.get("domainname", ""), ops.domainname),
    )
    for name, setter in setters:
        if name and "uts" in new:
            yield setter(name)


def _after_ops(groups: Groups) -> Sequence[Op]:
    return [
        *map(ops.oom_record, [groups.oom_file] if groups.oom_file else []),
        *map(ops.cgroup_kill, _killed_through(groups)),
        *map(ops.cgroup_remove, groups.directories),
    ]


def _killed_through(groups: Groups) -> Sequence[str]:
    """The group by which all processes are found: v1's freezer if there is one, since it must be thawed too."""
    freezers = [path for names, path in (groups.hierarchies or {}).items() if "freezer" in names.split(",")]
    return (freezers or groups.directories)[:1]
