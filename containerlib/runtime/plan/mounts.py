"""config.json's mounts to ops, and the propagation of its root.

    MOUNT                      a new file system
    HANDOVER [TREE], BIND      what is bound, opened by the shim: id-mapped, or where the container's root may not look
    BIND                       what is bound, opened by the container's first process

What is to be read-only and has to be filled first (a tmpfs, /dev) becomes so when everything is in it.

Spec: runtime-spec config.md#mounts, config-linux.md#rootfs-mount-propagation
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from containerlib.errors import InvalidArgument
from containerlib.runtime.plan import mount_options, ops
from containerlib.runtime.plan.cgroup_mounts import cgroup_mounts
from containerlib.runtime.plan.groups import Groups
from containerlib.runtime.plan.late import NOTHING, Part, source_ops
from containerlib.runtime.plan.mount_options import RDONLY, MountOptions
from containerlib.runtime.plan.op import Op
from containerlib.runtime.plan.user import map_text
from containerlib.spec.values import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from containerlib.runtime.plan.late import Found
    from containerlib.runtime.plan.mount_entry import MountEntry
    from containerlib.spec.runtime import IDMapping, Linux

__all__ = ["PROC_FILES", "ahead_ops", "mount_ops", "read_only_ops", "root_propagation"]

PROC_FILES = frozenset(
    {
        "/proc/cpuinfo",
        "/proc/diskstats",
        "/proc/loadavg",
        "/proc/meminfo",
        "/proc/slabinfo",
        "/proc/stat",
        "/proc/swaps",
        "/proc/sys/crypto/fips_enabled",
        "/proc/sys/kernel/ns_last_pid",
        "/proc/uptime",
    }
)
"""The files of /proc that may be mounted on: lxcfs and the like show a container its own figures there.

On the others nothing is mounted: who writes to a false /proc/self/attr/exec has the container's confinement lifted
(CVE-2019-16884).
"""
_NO_SYMLINKS = frozenset({"proc", "sysfs"})
"""An image must not choose where these go (CVE-2019-19921, CVE-2023-27561)."""
_NAMESPACE_OF = {"proc": ("pid", "/proc"), "sysfs": ("network", "/sys"), "mqueue": ("ipc", "/dev/mqueue")}
"""What these show, and where the host has it. Only root of the user namespace that owns it can mount them."""
_WITHOUT_DEVICE = frozenset(
    {"proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup", "cgroup2", "ramfs"}
    | {"bpf", "debugfs", "tracefs", "securityfs", "configfs", "fusectl"}
)
"""Their one superblock may be shared with others: read-only is the mount, not the file system."""
_ID = re.compile("[0-9]{1,10}")
_LONGEST_VALUE = 255
"""Of fsconfig(2), in bytes."""
_SUPERBLOCK_FLAGS = {
    "sync": 1 << 4,
    "mand": 1 << 6,
    "dirsync": 1 << 7,
    "silent": 1 << 15,
    "iversion": 1 << 23,
    "lazytime": 1 << 25,
}
_ONLY_CLASSIC = frozenset({"silent", "iversion"})
"""Words for which fsconfig(2) has no name."""


@frozen
class _Setting:
    """What the container of the mounts is like."""

    new: frozenset[str]
    joined: frozenset[str]
    gids: Sequence[IDMapping]
    propagation: int
    """Of what is bound, MS_*; 0: it stays a peer of the host's."""
    procs: tuple[str, ...]
    """Where else than on /proc there is a procfs."""
    late: Mapping[str, Found]
    nested: bool
    """The caller is root of a user namespace alone."""

    @property
    def user(self) -> bool:
        return "user" in self.new or "user" in self.joined

    def may_mount(self, kind: str) -> bool:
        """Whether its namespace of that kind belongs to its user namespace, or there is none but the host's."""
        if not (self.user or self.nested) or kind in self.new:
            return True
        return kind in self.joined and "user" not in self.new

    def leaves(self, kind: str) -> bool:
        """Whether a namespace of that kind is joined before its owner is left for a new user namespace."""
        return "user" in self.new and kind in self.joined


def mount_ops(
    entries: Sequence[MountEntry],
    linux: Linux,
    groups: Groups,
    *,
    private_cgroups: bool,
    late: Mapping[str, Found] = NOTHING.found,
    nested: bool = False,
) -> Iterator[Op]:
    """One after the other. `private_cgroups`: the container has a cgroup namespace of its own.

    `late`: what sources stand for at which nothing is yet. `nested`: the caller is root of a user namespace alone.

    Raises: InvalidArgument.
    """
    setting = _setting(entries, linux, late, nested=nested)
    for entry in entries:
        if entry.fstype == "cgroup" and not entry.binds:
            on = entry.options.attributes.on
            yield from cgroup_mounts(entry.target, entry.origin, on, groups, private=private_cgroups)
            continue
        flags = _proc_flags(entry, setting)
        if entry.binds:
            yield from _bind(entry, flags, setting)
        else:
            yield _new_mount(entry, flags, setting)


def ahead_ops(entries: Sequence[MountEntry], linux: Linux) -> Iterator[Op]:
    """Makes what can be mounted only before the container's user namespace is: to come when its others are joined."""
    setting = _setting(entries, linux)
    for entry in entries:
        if _is_ahead(entry, setting):
            yield _new_mount(entry, ops.MOUNT_AHEAD, setting)


def read_only_ops(entries: Sequence[MountEntry]) -> Iterator[Op]:
    """Makes read-only what had to be filled before: to come when nothing is mounted or made any more."""
    for entry in entries:
        if entry.options.read_only and entry.is_filled:
            origin = f"{entry.where} {entry.target}"
            yield ops.bind("none", entry.target, origin, attributes=RDONLY, flags=ops.MOUNT_REMOUNT)


def root_propagation(linux: Linux) -> tuple[int, int]:
    """MS_* for the host's tree as the container's first process sees it, and for the container's "/" at the end.

    Nothing that is mounted while the container is made may reach the host, so the first is never shared: what is
    bound comes from the shim then, a peer of the host's mount. Raises: InvalidArgument.
    """
    word = linux.get("rootfsPropagation") or "rslave"
    flag = mount_options.PROPAGATION.get(word.removeprefix("r"))
    if flag is None:
        raise InvalidArgument(f"{word!r} is not a propagation", field="linux.rootfsPropagation")
    names = mount_options.PROPAGATION
    before = names["slave"] if flag in (names["slave"], names["shared"]) else names["private"]
    return before, 0 if flag == before else flag


def _setting(
    entries: Sequence[MountEntry],
    linux: Linux,
    late: Mapping[str, Found] = NOTHING.found,
    *,
    nested: bool = False,
) -> _Setting:
    kinds = [(namespace["type"], bool(namespace.get("path"))) for namespace in linux.get("namespaces") or ()]
    before, after = root_propagation(linux)
    return _Setting(
        frozenset(kind for kind, joined in kinds if not joined),
        frozenset(kind for kind, joined in kinds if joined),
        linux.get("gidMappings") or (),
        0 if after == mount_options.PROPAGATION["shared"] else before,
        tuple(
            f"{entry.normal}/"
            for entry in entries
            if entry.fstype == "proc" or _is_below(entry.source, "/proc")
        ),
        late,
        nested,
    )


def _is_below(path: str, directory: str) -> bool:
    return path == directory or path.startswith(f"{directory}/")


def _proc_flags(entry: MountEntry, setting: _Setting) -> int:
    """How /proc is kept what it seems to be, by the destination's words here and by its file system in the kernel."""
    if entry.normal == "/proc":
        if entry.options.remount or entry.fstype == "proc":
            return ops.MOUNT_ON_PROC
        if not entry.binds:
            what = entry.fstype or "this"
            raise entry.wrong("destination", f"{what} is no procfs, and nothing else may be mounted on /proc")
        return ops.MOUNT_ON_PROC | ops.MOUNT_PROC_SOURCE | ops.MOUNT_NO_SYMLINKS
    if entry.normal in PROC_FILES:
        return ops.MOUNT_ON_PROC | ops.MOUNT_NO_SYMLINKS
    if _is_below(entry.normal, "/proc"):
        raise entry.wrong(
            "destination",
            f"{entry.mount['destination']} is below /proc, which is the container's own: choose another place",
        )
    place = f"{entry.normal}/" if entry.options.remount else entry.normal
    return ops.MOUNT_ON_PROC if place.startswith(setting.procs) else 0


# ---- binds ----


def _bind(entry: MountEntry, flags: int, setting: _Setting) -> Iterator[Op]:
    options = entry.options
    if not entry.source:
        raise entry.wrong("source", "is required of a bind mount")
    if options.copy_up:
        raise entry.wrong("options", "tmpcopyup is an option of a tmpfs, not of a bind")
    tree = _tree(entry, setting)
    flags |= ops.MOUNT_RECURSIVE if options.recursive else 0
    flags |= ops.MOUNT_PROPAGATION_RECURSIVE if options.propagation_recursive else 0
    flags |= ops.MOUNT_COPY_SYMLINK if options.copy_symlink else 0
    flags |= ops.MOUNT_REMOUNT if options.remount else 0
    flags |= ops.MOUNT_TREE if tree else 0
    yield from ops.handover(*tree)
    yield ops.bind(
        entry.source,
        entry.target,
        entry.origin,
        attributes=entry.attributes,
        cleared=options.attributes.off,
        below=options.below.on,
        below_cleared=options.below.off,
        flags=flags,
        propagation=options.propagation,
    )


def _tree(entry: MountEntry, setting: _Setting) -> Sequence[Op]:
    """The source as the shim opens it; nothing where the container's first process does so itself."""
    options = entry.options
    uids, gids = entry.mount.get("uidMappings") or (), entry.mount.get("gidMappings") or ()
    if bool(uids) != bool(gids):
        given, missing = ("uidMappings", "gidMappings") if uids else ("gidMappings", "uidMappings")
        raise entry.wrong(missing, f"is required with {given}")
    mapped = options.mapped or bool(uids)
    found = setting.late.get(entry.source)
    if found is not None and not isinstance(found, Part):
        return source_ops(found, entry.origin)
    if options.remount or (options.copy_symlink and not mapped):
        return ()
    if found is None and not (mapped or setting.user) and setting.propagation:
        return ()
    if mapped and not uids and not setting.user:
        raise entry.wrong(
            "options",
            "id-mapped, without uidMappings and gidMappings and without a user namespace to take them from",
        )
    flags = ops.MOUNT_RECURSIVE if options.recursive else 0
    flags |= ops.MOUNT_ATTR_RECURSIVE if options.mapped_recursive else 0
    tree = ops.tree(
        entry.source if found is None else found.directory,
        flags,
        entry.origin,
        mapped=mapped,
        uid_map=map_text(uids) if uids else None,
        gid_map=map_text(gids) if gids else None,
        propagation=setting.propagation,
        part=None if found is None else found.path,
    )
    return [tree]


# ---- new file systems ----


def _new_mount(entry: MountEntry, flags: int, setting: _Setting) -> Op:
    options, fstype = entry.options, entry.fstype
    if options.mapped or entry.mount.get("uidMappings") or entry.mount.get("gidMappings"):
        raise entry.wrong("options", f"only a bind mount can be id-mapped, and {fstype} is a new file system")
    if options.copy_up and fstype != "tmpfs":
        raise entry.wrong("options", f"tmpcopyup is an option of a tmpfs, not of {fstype}")
    kind, host = _NAMESPACE_OF.get(fstype, ("", ""))
    is_ahead = _is_ahead(entry, setting)
    if kind and not setting.may_mount(kind) and not options.remount and not is_ahead:
        return _shown_from_host(host, entry, flags)
    pairs, superblock = _file_system_options(entry, setting)
    flags |= ops.MOUNT_NO_SYMLINKS if fstype in _NO_SYMLINKS else 0
    flags |= ops.MOUNT_MADE if is_ahead and not flags & ops.MOUNT_AHEAD else 0
    flags |= ops.MOUNT_CLASSIC if superblock is not None and not is_ahead else 0
    flags |= ops.MOUNT_REMOUNT if options.remount else 0
    flags |= _tmpfs_flags(options) if fstype == "tmpfs" and not options.remount else 0
    return ops.mount(
        fstype or "none",
        entry.target,
        entry.origin,
        options=pairs,
        attributes=entry.attributes,
        cleared=options.attributes.off if options.remount else 0,
        flags=flags,
        propagation=options.propagation | (superblock or 0),
    )


def _is_ahead(entry: MountEntry, setting: _Setting) -> bool:
    kind, _ = _NAMESPACE_OF.get(entry.fstype, ("", ""))
    return setting.leaves(kind) and not entry.binds and not entry.options.remount


def _shown_from_host(host: str, entry: MountEntry, flags: int) -> Op:
    """The host's own, for a container that shares the namespace that it shows: the kernel allows no new mount of it."""
    flags |= ops.MOUNT_RECURSIVE | ops.MOUNT_NO_SYMLINKS
    attributes = entry.attributes
    return ops.bind(host, entry.target, entry.origin, attributes=attributes, below=attributes, flags=flags)


def _file_system_options(entry: MountEntry, setting: _Setting) -> tuple[list[tuple[str, str]], int | None]:
    """The file system's options, and where only mount(2) takes them the flags that it has for the others, MS_*."""
    options, fstype = entry.options, entry.fstype
    data = [pair for pair in options.data if not _is_foreign_group(fstype, pair, setting)]
    source = [] if options.remount else [("source", entry.source or fstype)]
    words = options.superblock
    by_name = [word for word in words if word not in _ONLY_CLASSIC]
    if not options.remount and fstype != "tmpfs":
        too_long = any(len(value.encode(errors="surrogateescape")) > _LONGEST_VALUE for _, value in data)
        if too_long or len(by_name) < len(words):
            return [*source, *data], sum(_SUPERBLOCK_FLAGS[word] for word in words)
    if fstype not in _WITHOUT_DEVICE:
        by_name += ["ro"] if options.read_only else []
        by_name += ["rw"] if options.remount and options.attributes.off & RDONLY else []
    return [*source, *((word, "") for word in by_name), *data], None


def _is_foreign_group(fstype: str, pair: tuple[str, str], setting: _Setting) -> bool:
    """devpts with a group that a user namespace has not: terminals belong to who opens them then."""
    key, value = pair
    if fstype != "devpts" or key != "gid" or "user" not in setting.new or not _ID.fullmatch(value):
        return False
    return not any(0 <= int(value) - gid["containerID"] < gid["size"] for gid in setting.gids)


def _tmpfs_flags(options: MountOptions) -> int:
    """It is as open as the directory that it covers, unless its options say how open it is."""
    given = {key for key, _ in options.data}
    flags = 0 if "mode" in given else ops.MOUNT_TARGET_MODE
    if options.copy_up:
        flags |= ops.MOUNT_COPY_UP
        flags |= 0 if given & {"uid", "gid"} else ops.MOUNT_TARGET_OWNER
    return flags
