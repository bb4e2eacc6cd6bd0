"""config.json to the ops that make it so. Pure: it reads nothing and decides everything, so that it can be compared
with a golden list.

    host's tree visible     cgroups, namespaces, the root and everything mounted in it
    pivot_root              the host's tree is gone
    the process             limits, user, capabilities, filter, exec

Spec: runtime-spec config.md, config-linux.md
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence

from attrs import frozen

from containerlib.errors import InvalidArgument, Unsupported
from containerlib.runtime import mount_options, ops
from containerlib.runtime.ops import Op, Plan
from containerlib.runtime.plan_process import process_ops
from containerlib.runtime.roots import OverlayRoot, Root
from containerlib.runtime.sysctls import check_sysctl
from containerlib.spec.runtime import Linux, Mount, Process, Spec

__all__ = ["Groups", "container_plan", "exec_plan"]

CLONE_FLAGS = {
    "mount": 0x00020000,
    "cgroup": 0x02000000,
    "uts": 0x04000000,
    "ipc": 0x08000000,
    "pid": 0x20000000,
    "network": 0x40000000,
}
_LATER = {"user": "user namespaces", "time": "time namespaces"}
_MS_REC = mount_options.MS_REC
_NO_SYMLINKS = frozenset({"proc", "sysfs"})

_S_IFCHR, _S_IFBLK, _S_IFIFO = 0o020000, 0o060000, 0o010000
_DEVICE_TYPES = {"c": _S_IFCHR, "u": _S_IFCHR, "b": _S_IFBLK, "p": _S_IFIFO}
_DEVICES = (("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0))
_LINKS = (
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
    ("pts/ptmx", "/dev/ptmx"),
)


@frozen
class Groups:
    """A container's cgroups, as far as a plan needs them. `hierarchies`: v1 controllers to host directories."""

    join_files: tuple[str, ...] = ()
    directories: tuple[str, ...] = ()
    oom_file: str | None = None
    hierarchies: Mapping[str, str] | None = None
    """None: cgroup v2."""


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
        _root_op(spec, rootfs, root),
        *_mount_ops(spec, groups, new),
        *_dev_ops(spec, linux, process),
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


def exec_plan(spec: Spec, process: Process, groups: Groups, *, seccomp: bytes | None = None) -> Plan:
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
        *_console(process, bind=False),
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
            raise Unsupported(f"{_LATER.get(kind, kind)}: linux.namespaces of type {kind!r} is not supported yet")
        if path:
            joined[kind] = path
        else:
            new.add(kind)
    if "mount" not in new and "mount" not in joined:
        raise Unsupported("a container without a mount namespace of its own: add one to linux.namespaces")
    return new, joined


def _oom_score(process: Process) -> list[Op]:
    return [ops.oom_score_adj(process["oomScoreAdj"])] if "oomScoreAdj" in process else []


def _host_ops(linux: Linux, process: Process, groups: Groups, new: set[str], joined: Mapping[str, str]) -> Iterator[Op]:
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


def _root_op(spec: Spec, rootfs: str, root: Root) -> Op:
    if isinstance(root, OverlayRoot):
        return ops.root_overlay(rootfs, root.lowers, root.upper, root.work)
    return ops.root_bind(root.path)


# ---- mounts ----


def _mount_ops(spec: Spec, groups: Groups, new: set[str]) -> Iterator[Op]:
    for index, mount in enumerate(spec.get("mounts", ())):
        destination = posixpath.join("/", mount["destination"])
        if mount.get("uidMappings") or mount.get("gidMappings"):
            raise Unsupported(f"mounts[{index}] {destination}: id-mapped mounts are not supported yet")
        options = mount_options.parse(mount.get("options", ()))
        fstype = mount.get("type", "")
        if fstype == "cgroup":
            yield from _cgroup_mounts(f"mounts[{index}]", destination, options, groups, private="cgroup" in new)
        elif options.bind or fstype in ("bind", "none"):
            yield _bind(f"mounts[{index}] {mount.get('source', '')} on {destination}", mount, destination, options)
        else:
            yield _new_mount(f"mounts[{index}] {destination}", mount, fstype, destination, options)


def _bind(origin: str, mount: Mount, target: str, options: mount_options.MountOptions) -> Op:
    flags = ops.MOUNT_RECURSIVE if options.recursive else 0
    if options.recursive_attributes:
        flags |= ops.MOUNT_ATTR_RECURSIVE
    return ops.bind(
        mount["source"], target, origin, attributes=options.attributes, flags=flags, propagation=options.propagation
    )


def _new_mount(origin: str, mount: Mount, fstype: str, target: str, options: mount_options.MountOptions) -> Op:
    source = mount.get("source", fstype)
    return ops.mount(
        fstype,
        target,
        origin,
        options=[("source", source or fstype), *options.data],
        attributes=options.attributes,
        flags=ops.MOUNT_NO_SYMLINKS if fstype in _NO_SYMLINKS else 0,
        propagation=options.propagation,
    )


def _cgroup_mounts(
    origin: str, target: str, options: mount_options.MountOptions, groups: Groups, *, private: bool
) -> Iterator[Op]:
    """v2: one mount. v1: a tmpfs with a directory for each hierarchy in which the container has a group.

    With a cgroup namespace a new mount shows the container's own group as its root; without one, the group's directory
    is bound.
    """
    attributes, origin = options.attributes, f"{origin} {target}"
    if groups.hierarchies is None:
        if private:
            yield ops.mount("cgroup2", target, origin, options=[("source", "cgroup")], attributes=attributes)
        else:
            yield from (ops.bind(path, target, origin, attributes=attributes) for path in groups.directories)
        return
    small = [("source", "tmpfs"), ("mode", "755"), ("size", "64k")]
    yield ops.mount("tmpfs", target, origin, options=small, attributes=attributes & ~0x1)
    for controllers, directory in groups.hierarchies.items():
        place = f"{target}/{controllers}"
        if private:
            names = [(name, "") for name in controllers.split(",")]
            yield ops.mount("cgroup", place, origin, options=[("source", "cgroup"), *names], attributes=attributes)
        else:
            yield ops.bind(directory, place, origin, attributes=attributes)
    if attributes & 0x1:
        yield ops.readonly(target, origin)


def _sysctls(linux: Linux, new: set[str]) -> Iterator[Op]:
    for key, value in linux.get("sysctl", {}).items():
        check_sysctl(key, new)
        yield ops.sysctl(key, value)


# ---- /dev ----


def _dev_ops(spec: Spec, linux: Linux, process: Process) -> Iterator[Op]:
    """The default devices and links, where the container has a /dev of its own.

    Spec: config-linux.md#default-devices, runtime-linux.md#dev-symbolic-links
    """
    own = _has_own_dev(spec)
    listed = {device["path"] for device in linux.get("devices", ())}
    if own:
        for name, major, minor in _DEVICES:
            if f"/dev/{name}" not in listed:
                yield ops.mknod(f"/dev/{name}", _S_IFCHR | 0o666, major, minor)
        for text, path in _LINKS:
            yield ops.symlink(text, path)
    for index, device in enumerate(linux.get("devices", ())):
        kind = _DEVICE_TYPES.get(device.get("type", ""))
        if kind is None:
            raise InvalidArgument(f"{device.get('type')!r} is not c, u, b or p", field=f"linux.devices[{index}].type")
        mode = kind | device.get("fileMode", 0o666)
        numbers = (device.get("major", 0), device.get("minor", 0))
        yield ops.mknod(device["path"], mode, *numbers, device.get("uid", 0), device.get("gid", 0))
    yield from _console(process, bind=own)


def _has_own_dev(spec: Spec) -> bool:
    return any(
        posixpath.normpath(mount["destination"]) == "/dev" and mount.get("type") not in ("bind", "none")
        for mount in spec.get("mounts", ())
    )


def _console(process: Process, *, bind: bool) -> list[Op]:
    user = process.get("user", {})
    return [ops.console(bind=bind, uid=user.get("uid", 0), gid=user.get("gid", 0))] if process.get("terminal") else []


def _names(spec: Spec, new: set[str]) -> Iterator[Op]:
    setters: tuple[tuple[str, Callable[[str], Op]], ...] = (
        (spec.get("hostname", ""), ops.hostname),
        (spec.get("domainname", ""), ops.domainname),
    )
    for name, setter in setters:
        if name and "uts" in new:
            yield setter(name)


def _after_ops(groups: Groups) -> Sequence[Op]:
    main = groups.directories[:1]
    return [
        *map(ops.oom_record, [groups.oom_file] if groups.oom_file else []),
        *map(ops.cgroup_kill, main),
        *map(ops.cgroup_remove, groups.directories),
    ]
