"""One function for each kind of op in native.cdef.h: what it is given, in its place."""

from __future__ import annotations

import functools
import os
import struct
from collections.abc import Sequence

from containerlib._sys.native import lib
from containerlib.errors import InvalidArgument
from containerlib.runtime.plan.op import Hidden, Op

TYPE_CHECKING = False
if TYPE_CHECKING:
    from containerlib.runtime.plan.roots import OverlayRoot

MOUNT_RECURSIVE: int = lib.CLIB_MOUNT_RECURSIVE
MOUNT_ATTR_RECURSIVE: int = lib.CLIB_MOUNT_ATTR_RECURSIVE
MOUNT_NO_SYMLINKS: int = lib.CLIB_MOUNT_NO_SYMLINKS
MOUNT_TREE: int = lib.CLIB_MOUNT_TREE
MOUNT_PROPAGATION_RECURSIVE: int = lib.CLIB_MOUNT_PROPAGATION_RECURSIVE
MOUNT_CLASSIC: int = lib.CLIB_MOUNT_CLASSIC
MOUNT_REMOUNT: int = lib.CLIB_MOUNT_REMOUNT
MOUNT_COPY_UP: int = lib.CLIB_MOUNT_COPY_UP
MOUNT_COPY_SYMLINK: int = lib.CLIB_MOUNT_COPY_SYMLINK
MOUNT_TARGET_MODE: int = lib.CLIB_MOUNT_TARGET_MODE
MOUNT_TARGET_OWNER: int = lib.CLIB_MOUNT_TARGET_OWNER
MOUNT_ON_PROC: int = lib.CLIB_MOUNT_ON_PROC
MOUNT_PROC_SOURCE: int = lib.CLIB_MOUNT_PROC_SOURCE
MOUNT_AHEAD: int = lib.CLIB_MOUNT_AHEAD
MOUNT_MADE: int = lib.CLIB_MOUNT_MADE

PID_MARK = "\x01"
"""Stands for the pid in the state that a hook is told; JSON has no such character."""

_CACHED = 512
_LAST_ID = 2**32 - 2


def cgroup_join(path: str) -> Op:
    return Op(lib.CLIB_OP_CGROUP_JOIN, path, texts=(path, None))


def unshare(flags: int, origin: str) -> Op:
    return Op(lib.CLIB_OP_UNSHARE, origin, (flags, 0, 0))


def setns(path: str, flag: int, origin: str) -> Op:
    return Op(lib.CLIB_OP_SETNS, origin, (flag, 0, 0), (path, None))


def setns_of(name: str, directory: str, flag: int, origin: str) -> Op:
    """The namespace `name` (as in /proc/PID/ns) of the container that runs in that host directory."""
    return Op(lib.CLIB_OP_SETNS, origin, (flag, 0, 0), (name, directory))


def rebirth() -> Op:
    return Op(lib.CLIB_OP_REBIRTH, "the new pid namespace")


def join(flags: int) -> Op:
    return Op(lib.CLIB_OP_JOIN, "the container's namespaces", (flags, 0, 0))


def handover(*ops: Op) -> tuple[Op, ...]:
    """`ops` as the shim's, which runs them on the host while the container's first process waits."""
    return (Op(lib.CLIB_OP_HANDOVER, "the shim's part", (len(ops), 0, 0)), *ops) if ops else ()


def id_map(file: str, text: str) -> Op:
    return Op(lib.CLIB_OP_ID_MAP, f"linux.{file.removesuffix('_map')}Mappings", texts=(file, text))


def command(argv: Sequence[str], origin: str, *, timeout: float = 0.0) -> Op:
    """`argv` without the pid of the first process, which comes behind the program."""
    numbers = (int(timeout * 1000), 0, 0)
    return Op(lib.CLIB_OP_COMMAND, origin, numbers, (argv[0], None), tuple(argv[1:]))


def tree(
    source: str,
    flags: int,
    origin: str,
    *,
    mapped: bool = True,
    uid_map: str | None = None,
    gid_map: str | None = None,
    propagation: int = 0,
    part: str | None = None,
) -> Op:
    """Opens the source of the bind that follows; id-mapped by the maps, or as the container's user namespace.

    `part`: what of the directory `source`, where no link leads out of that.
    `propagation`: MS_*, for the mounts below too; 0: they stay the peers of the host's. Not `mapped`: a shim without
    the right to open it leaves that to the bind.
    """
    data = b"" if uid_map is None else f"{uid_map}\0{gid_map}\0".encode()
    kind = lib.CLIB_TREE_AS_IT_IS
    if mapped:
        kind = lib.CLIB_TREE_OF_NAMESPACE if uid_map is None else lib.CLIB_TREE_OF_MAPS
    return Op(lib.CLIB_OP_TREE, origin, (flags, kind, propagation), (source, part), data=data)


def memory(
    part: str, count: int, origin: str, *, size: int, owner: tuple[int, int] = (0, 0), swap: bool = False
) -> Op:
    """A tmpfs with the `count` secrets that follow, of which `part` is for the next bind."""
    ids = (("uid", str(owner[0])), ("gid", str(owner[1])))
    options = (
        ("source", "tmpfs"),
        ("mode", "0755"),
        ("size", str(size)),
        *ids,
        *(() if swap else (("noswap", ""),)),
    )
    pairs = tuple(word for option in options for word in option)
    numbers = (count, 0, owner[0] << 32 | owner[1])
    return Op(lib.CLIB_OP_MEMORY, origin, numbers, (None, part), pairs, size=len(options))


def namespace(name: str, directory: str, origin: str) -> Op:
    """A mount of what `setns_of` joins, for the next bind."""
    return Op(lib.CLIB_OP_NAMESPACE, origin, texts=(name, directory))


def lend(path: str) -> Op:
    """What is mounted in the container at `path` is there for others."""
    return Op(lib.CLIB_OP_LEND, f"lend {path}", texts=(None, path))


def borrow(directory: str, origin: str) -> Op:
    """What the container of that host directory lends, for the next bind."""
    return Op(lib.CLIB_OP_BORROW, origin, texts=(directory, None))


def link(name: str, new_name: str) -> Op:
    return Op(lib.CLIB_OP_LINK, f"linux.netDevices {name}", texts=(name, new_name))


def links(origins: Sequence[str]) -> Op:
    """What the file `links` says, whose ops are of these origins."""
    return Op(lib.CLIB_OP_LINKS, "\n".join(origins))


def netlink(
    protocol: int, messages: bytes, origin: str, *, answers: int, pid_at: int = 0, tolerated: int = 0
) -> Op:
    """`messages` as they are; the pid of the first process goes to `pid_at`, where that is not 0."""
    numbers = (protocol | tolerated << 32, pid_at, answers)
    return Op(lib.CLIB_OP_NETLINK, origin, numbers, data=messages)


def resolver(
    directory: str, view: str, protocol: int, messages: bytes, *, answers: int, tolerated: int = 0
) -> Op:
    """Who answers for names in the container, by the file `view` of that directory; the messages lead to it there."""
    numbers = (protocol | tolerated << 32, 0, answers)
    return Op(
        lib.CLIB_OP_RESOLVER, "the container's resolver", numbers, texts=(directory, view), data=messages
    )


def listener(path: str, state: str) -> Op:
    return Op(
        lib.CLIB_OP_LISTENER, f"linux.seccomp.listenerPath {path}", texts=(path, None), strings=(state,)
    )


def hook(
    path: str,
    args: Sequence[str],
    env: Sequence[str],
    state: str,
    origin: str,
    *,
    timeout: float = 0.0,
    directory: str | None = None,
) -> Op:
    """`state`: the JSON for its stdin, with PID_MARK where the pid belongs. `directory`: the host's, where it works."""
    numbers = (len(args), len(env), int(timeout * 1000))
    return Op(lib.CLIB_OP_HOOK, origin, numbers, (path, directory), (*args, *env, state))


def time_offsets(text: str) -> Op:
    return Op(lib.CLIB_OP_TIME_OFFSETS, "linux.timeOffsets", texts=(text, None))


def personality(value: int, origin: str) -> Op:
    return Op(lib.CLIB_OP_PERSONALITY, origin, (value, 0, 0))


def scheduler(attributes: bytes) -> Op:
    return Op(lib.CLIB_OP_SCHEDULER, "process.scheduler", data=attributes)


def io_priority(value: int) -> Op:
    return Op(lib.CLIB_OP_IO_PRIORITY, "process.ioPriority", (value, 0, 0))


def cpu_affinity(mask: bytes, origin: str) -> Op:
    return Op(lib.CLIB_OP_CPU_AFFINITY, origin, data=mask)


def memory_policy(mode: int, bits: int, mask: bytes) -> Op:
    return Op(lib.CLIB_OP_MEMORY_POLICY, "linux.memoryPolicy", (mode, bits, 0), data=mask)


def label(file: str, text: str, origin: str) -> Op:
    return Op(lib.CLIB_OP_LABEL, origin, texts=(file, text))


def oom_score_adj(value: int) -> Op:
    return Op(lib.CLIB_OP_OOM_SCORE_ADJ, f"process.oomScoreAdj {value}", (value & 0xFFFFFFFF, 0, 0))


def loopback_up() -> Op:
    return Op(lib.CLIB_OP_LOOPBACK_UP, "network interface lo")


def propagation(flags: int) -> Op:
    return Op(lib.CLIB_OP_PROPAGATION, "linux.rootfsPropagation", (flags, 0, 0))


def root_bind(path: str, *, recursive: bool = True, tree: bool = False, attributes: int = 0) -> Op:
    """`tree`: the root is what the shim has made, and goes to `path`. `attributes`: MOUNT_ATTR_*."""
    flags = (lib.CLIB_BIND_RECURSIVE if recursive else 0) | (lib.CLIB_BIND_TREE if tree else 0)
    return Op(lib.CLIB_OP_ROOT_BIND, f"root {path}", (attributes, flags, 0), (path, None))


def root_directory(path: str) -> Op:
    """Where the mount namespace is the host's: nothing is mounted."""
    return Op(lib.CLIB_OP_ROOT_BIND, f"root {path}", (0, lib.CLIB_BIND_UNMOUNTED, 0), (path, None))


def root_overlay(
    target: str, root: OverlayRoot, *, owner: tuple[int, int] = (0, 0), attributes: int = 0
) -> Op:
    """`owner`: uid and gid of a private upper layer, where the host's root makes it."""
    flags = lib.CLIB_ROOT_PRIVATE if root.upper is None else 0
    flags |= lib.CLIB_ROOT_CLASSIC if root.classic else 0
    flags |= lib.CLIB_ROOT_USERXATTR if root.userxattr else 0
    flags |= lib.CLIB_ROOT_MAPPED if root.mapped else 0
    flags |= lib.CLIB_ROOT_VOLATILE if root.volatile else 0
    flags |= lib.CLIB_ROOT_SHARED if root.mounts else 0
    numbers = (flags, owner[0] << 32 | owner[1], attributes)
    return Op(
        lib.CLIB_OP_ROOT_OVERLAY,
        f"root {target}",
        numbers,
        (root.upper, root.work),
        (target, *root.pairs),
        size=len(root.lowers),
    )


def root_fuse(program: str, target: str, options: str) -> Op:
    """`program` is fuse-overlayfs: it finds the mount's requests on its standard input."""
    words = (os.path.basename(program), "-f", "-o", options, "/dev/fd/0")  # noqa: PTH119 - a str
    return Op(lib.CLIB_OP_ROOT_FUSE, f"root {target}", (len(words), 0, 0), (program, target), words)


def mount(
    fstype: str,
    target: str,
    origin: str,
    *,
    options: Sequence[tuple[str, str]] = (),
    attributes: int = 0,
    cleared: int = 0,
    flags: int = 0,
    propagation: int = 0,
) -> Op:
    """A new file system. `options` are its own ("" for a flag), `attributes` MOUNT_ATTR_*.

    `cleared`: attributes that a remount takes away. `propagation`: MS_*, with those for the superblock where CLASSIC.
    """
    pairs = tuple(part for option in options for part in option)
    numbers = (attributes | cleared << 32, flags, propagation)
    return Op(lib.CLIB_OP_MOUNT, origin, numbers, (fstype, target), pairs, size=len(options))


def bind(
    source: str,
    target: str,
    origin: str,
    *,
    attributes: int = 0,
    cleared: int = 0,
    below: int = 0,
    below_cleared: int = 0,
    flags: int = 0,
    propagation: int = 0,
) -> Op:
    """`attributes` that are set and those that are `cleared` before, MOUNT_ATTR_*; `below`: of the mounts that come
    with it."""
    numbers = (attributes | cleared << 32, flags | below << 32, propagation | below_cleared << 32)
    return Op(lib.CLIB_OP_BIND, origin, numbers, (source, target))


@functools.lru_cache(_CACHED)
def mknod(
    path: str, mode: int, major: int, minor: int, *, uid: int = 0, gid: int = 0, origin: str = ""
) -> Op:
    """Spec: the kernel's new_encode_dev: twelve bits of major between the minor's low eight and high twelve."""
    device = (minor & 0xFF) | (major << 8) | ((minor & ~0xFF) << 12)
    return Op(lib.CLIB_OP_MKNOD, origin or f"device {path}", (mode, device, uid << 32 | gid), (None, path))


def secret(path: str, content: bytes, *, mode: int, uid: int, gid: int, is_helper: bool = False) -> Op:
    """A file of the memory before it. `is_helper`: with the helper's own program in place of `content`."""
    return Op(
        lib.CLIB_OP_SECRET,
        f"secret {path}",
        (mode, int(is_helper), uid << 32 | gid),
        (None, path),
        data=Hidden(content),
    )


@functools.lru_cache(_CACHED)
def symlink(text: str, path: str) -> Op:
    return Op(lib.CLIB_OP_SYMLINK, f"symlink {path}", texts=(text, path))


def console(*, bind: bool, uid: int, gid: int) -> Op:
    return Op(lib.CLIB_OP_CONSOLE, "process.terminal", (int(bind), 0, uid << 32 | gid))


@functools.lru_cache(_CACHED)
def mask(path: str, origin: str) -> Op:
    return Op(lib.CLIB_OP_MASK, origin, texts=(None, path))


@functools.lru_cache(_CACHED)
def readonly(path: str, origin: str) -> Op:
    return Op(lib.CLIB_OP_READONLY, origin, texts=(None, path))


@functools.lru_cache(_CACHED)
def sysctl(key: str, value: str) -> Op:
    return Op(lib.CLIB_OP_SYSCTL, f"linux.sysctl {key}", texts=(key.replace(".", "/"), value))


def hostname(name: str) -> Op:
    return Op(lib.CLIB_OP_HOSTNAME, f"hostname {name}", texts=(name, None))


def domainname(name: str) -> Op:
    return Op(lib.CLIB_OP_DOMAINNAME, f"domainname {name}", texts=(name, None))


def pivot(*, read_only: bool, propagation: int = 0, moved: bool = False) -> Op:
    """`propagation`: MS_* that "/" has in the end. `moved`: without pivot_root(2)."""
    kind = lib.CLIB_PIVOT_MOVED if moved else lib.CLIB_PIVOT_EXCHANGED
    return Op(lib.CLIB_OP_PIVOT, "root", (int(read_only), propagation, kind))


def change_root() -> Op:
    """By chroot(2) alone, where the mount namespace is the host's."""
    return Op(lib.CLIB_OP_PIVOT, "root", (0, 0, lib.CLIB_PIVOT_UNMOUNTED))


def session_keyring(name: str, permissions: int) -> Op:
    """`permissions`: KEY_*, of a new one and of one that is found."""
    return Op(lib.CLIB_OP_SESSION_KEYRING, "session keyring", (permissions, 0, 0), (name, None))


def rlimit(name: str, resource: int, soft: int, hard: int) -> Op:
    return Op(lib.CLIB_OP_RLIMIT, f"process.rlimits {name}", (resource, soft, hard))


@functools.lru_cache(_CACHED)
def umask(mask: int | None) -> Op:
    """None: as the caller's is."""
    return Op(lib.CLIB_OP_UMASK, "process.user.umask", (mask or 0, int(mask is None), 0))


def no_new_privs() -> Op:
    return Op(lib.CLIB_OP_NO_NEW_PRIVS, "process.noNewPrivileges")


def seccomp(program: bytes, flags: int = 0) -> Op:
    return Op(lib.CLIB_OP_SECCOMP, "linux.seccomp", (flags, 0, 0), data=program)


@functools.lru_cache(_CACHED)
def cap_bounding(kept: int) -> Op:
    return Op(lib.CLIB_OP_CAP_BOUNDING, "process.capabilities.bounding", (kept, 0, 0))


def user(
    uid: int, gid: int, groups: Sequence[int], *, keep_groups: bool = False, owns_pipes: bool = False
) -> Op:
    """`keep_groups`: where setgroups(2) is denied, as it is to those who map themselves. `owns_pipes`: of its stdio."""
    for number in (uid, gid, *groups):
        if not 0 <= number <= _LAST_ID:  # the kernel takes -1 for "as it is", and the rest of a longer number
            raise InvalidArgument(f"{number} is no id: the highest is {_LAST_ID}", field="process.user")
    data = struct.pack(f"<{len(groups)}I", *groups)
    flags = lib.CLIB_USER_GROUPS_STAY * keep_groups | lib.CLIB_USER_OWNS_PIPES * owns_pipes
    return Op(lib.CLIB_OP_USER, f"process.user {uid}:{gid}", (uid, gid, flags), data=data)


@functools.lru_cache(_CACHED)
def capabilities(effective: int, permitted: int, inheritable: int, ambient: int) -> Op:
    data = struct.pack("<Q", ambient)
    return Op(
        lib.CLIB_OP_CAPABILITIES, "process.capabilities", (effective, permitted, inheritable), data=data
    )


def chdir(path: str, *, make: bool) -> Op:
    return Op(lib.CLIB_OP_CHDIR, f"process.cwd {path}", (int(make), 0, 0), (path, None))


@functools.lru_cache(_CACHED)
def parent_death(signal: int) -> Op:
    return Op(lib.CLIB_OP_PARENT_DEATH, "parent death signal", (signal, 0, 0))


def hold(program: str, path: str, *, bare: bool = False) -> Op:
    return Op(lib.CLIB_OP_HOLD, program, numbers=(int(bare), 0, 0), texts=(program, path))


@functools.lru_cache(_CACHED)
def descriptors() -> Op:
    return Op(lib.CLIB_OP_DESCRIPTORS, "the descriptors from 3 on")


@functools.lru_cache(_CACHED)
def init() -> Op:
    return Op(lib.CLIB_OP_INIT, "the container's init")


def exec_(args: Sequence[str], env: Sequence[str], path: str) -> Op:
    """`path`: the directories that a name without a slash is sought in."""
    return Op(lib.CLIB_OP_EXEC, args[0], (len(args), len(env), 0), (args[0], path), (*args, *env))


def target(path: str, source: str | None, origin: str) -> Op:
    """What CRIU mounts something on: a directory, or as the host path `source` is."""
    return Op(lib.CLIB_OP_TARGET, origin, texts=(source, path))


def request(work: str, message: bytes) -> Op:
    """What CRIU is asked for, and the directory that it works in."""
    return Op(lib.CLIB_OP_REQUEST, "the request to CRIU", texts=(work, None), data=message)


def pages(program: str, images: str, work: str, env: Sequence[str]) -> Op:
    """CRIU brings memory from the images, to processes that another one restores in the same directory."""
    where = ("--images-dir", images, "--work-dir", work, "--log-file", "pages.log")
    argv = ("criu", "lazy-pages", *where, "-v2", "--status-fd", "1")
    return Op(lib.CLIB_OP_PAGES, images, (len(argv), len(env), 0), (program, None), (*argv, *env))


def restore(program: str, images: str, env: Sequence[str]) -> Op:
    """The process becomes CRIU, which finds its socket at descriptor 3."""
    argv = ("criu", "swrk", str(lib.CLIB_RESTORE_SOCKET))
    numbers = (len(argv), len(env), 0)
    return Op(lib.CLIB_OP_RESTORE, images, numbers, (program, images), (*argv, *env))


def oom_record(path: str) -> Op:
    return Op(lib.CLIB_OP_OOM_RECORD, path, texts=(path, None))


def cgroup_kill(path: str) -> Op:
    return Op(lib.CLIB_OP_CGROUP_KILL, path, texts=(path, None))


def cgroup_remove(path: str) -> Op:
    return Op(lib.CLIB_OP_CGROUP_REMOVE, path, texts=(path, None))


def log(size_bytes: int, files: int, *, block: bool) -> Op:
    return Op(lib.CLIB_OP_LOG, "the log", (size_bytes, files, int(block)))
