"""Files below a root that somebody else fills and may be changing: a container's.

    inside = Inside(root)                        # an open directory, borrowed
    with inside.regular("etc/passwd") as fd: ...

Every path is resolved by openat2(2) as if the root were "/": links and ".." lead nowhere else, whatever becomes of them
meanwhile. What is opened for its content is looked at first, and opened by that look: never a FIFO, which would block,
nor a device. Owners are those that the container sees.

Spec: openat2(2), user_namespaces(7)
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import struct
from collections.abc import Callable, Iterator

from containerlib._sys.native import open_in_root
from containerlib.spec.values import frozen

__all__ = ["RESOLVE_NO_SYMLINKS", "IdMap", "Inside", "Owners"]

RESOLVE_NO_SYMLINKS = 0x04
_LOOK = os.O_PATH | os.O_CLOEXEC
_MOST_LINKS = 40
_NOBODY = 65534
_UNMAPPED = 2**32 - 2
"""No range has it."""
_CAPABILITY = struct.Struct("<6I")
_ACL_ENTRY = struct.Struct("<HHI")
_ACL_USER, _ACL_GROUP = 2, 8
_EVERY_ID = 1 << 32


@frozen
class IdMap:
    """Ranges of ids: (inside, outside, count). As /proc/PID/uid_map has them."""

    ranges: tuple[tuple[int, int, int], ...] = ((0, 0, _EVERY_ID),)

    @classmethod
    def parse(cls, text: str) -> IdMap:
        """The kernel's own table."""
        rows = (tuple(map(int, line.split())) for line in text.splitlines())
        return cls(tuple((row[0], row[1], row[2]) for row in rows))

    def outward(self, number: int) -> int:
        """The host's number of the container's. Raises: OSError where the container has no such id."""
        found = self.outside(number)
        if found == _UNMAPPED:
            raise OSError(errno.EINVAL, f"the container has no id {number}")
        return found

    def outside(self, number: int) -> int:
        """The same; one that is nobody's in the container where that has no such id."""
        for inside, outside, count in self.ranges:
            if inside <= number < inside + count:
                return outside + number - inside
        return _UNMAPPED

    def inward(self, number: int) -> int:
        """The container's number of the host's; nobody's where it has none."""
        for inside, outside, count in self.ranges:
            if outside <= number < outside + count:
                return inside + number - outside
        return _NOBODY


@frozen
class Owners:
    """What ids on the host are in a user namespace."""

    users: IdMap
    groups: IdMap

    def seen(self, status: os.stat_result) -> os.stat_result:
        """`status` as the container has it."""
        uid, gid = self.users.inward(status.st_uid), self.groups.inward(status.st_gid)
        if (uid, gid) == (status.st_uid, status.st_gid):
            return status
        names = [name for name in dir(status) if name.startswith("st_")]
        numbers = tuple(status)
        return os.stat_result((*numbers[:4], uid, gid, *numbers[6:]), {n: getattr(status, n) for n in names})

    def attribute(self, name: str, value: bytes) -> bytes:
        """An extended attribute's value as it is without the namespace: of those that have ids in them.

        Spec: linux/capability.h (vfs_ns_cap_data), linux/posix_acl_xattr.h
        """
        if name == "security.capability" and len(value) == _CAPABILITY.size:
            magic, *sets, root = _CAPABILITY.unpack(value)
            if magic >> 24 == 3 and self.users.inward(root) == 0:
                return _CAPABILITY.pack(magic & 0xFFFFFF | 2 << 24, *sets, 0)[:-4]
        return _acl(name, value, self.users.inward, self.groups.inward)

    def attribute_outside(self, name: str, value: bytes) -> bytes:
        """The other way: an extended attribute's value, without the namespace, as the host has it of one in it."""
        if name == "security.capability" and len(value) in (_CAPABILITY.size - 4, _CAPABILITY.size):
            magic, *sets, root = _CAPABILITY.unpack(value.ljust(_CAPABILITY.size, b"\0"))
            if magic >> 24 in (2, 3):
                return _CAPABILITY.pack(magic & 0xFFFFFF | 3 << 24, *sets, self.users.outside(root))
        return _acl(name, value, self.users.outside, self.groups.outside)


def _acl(name: str, value: bytes, user: Callable[[int], int], group: Callable[[int], int]) -> bytes:
    """An access list's value with other ids; that of any other attribute as it is."""
    if not name.startswith("system.posix_acl_") or len(value) % _ACL_ENTRY.size != 4:
        return value
    ids = {_ACL_USER: user, _ACL_GROUP: group}
    entries = (
        (tag, rights, ids[tag](number) if tag in ids else number)
        for tag, rights, number in _ACL_ENTRY.iter_unpack(value[4:])
    )
    return value[:4] + b"".join(_ACL_ENTRY.pack(*entry) for entry in entries)


class Inside:
    """The files below the open directory `root`. Every call raises OSError."""

    def __init__(self, root: int, users: IdMap | None = None, groups: IdMap | None = None) -> None:
        self.root = root
        self.users = users or IdMap()
        self.groups = groups or IdMap()

    @contextlib.contextmanager
    def opened(self, path: str, flags: int = _LOOK) -> Iterator[int]:
        """A descriptor while the block runs; links are followed, and stay inside."""
        descriptor = open_in_root(self.root, path or "/", flags)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def parent(self, path: str) -> Iterator[tuple[int, str]]:
        """The directory that `path` is in, and its last part, which is a name."""
        directory, _, name = path.rstrip("/").rpartition("/")
        if name in ("", ".", ".."):
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), path)
        with self.opened(directory, _LOOK | os.O_DIRECTORY) as descriptor:
            yield descriptor, name

    def status(self, path: str, *, follow: bool = True) -> os.stat_result:
        """What is at `path`, with the owner that the container sees."""
        with self.opened(path, _LOOK if follow else _LOOK | os.O_NOFOLLOW) as descriptor:
            return self.seen(os.fstat(descriptor))

    def seen(self, status: os.stat_result) -> os.stat_result:
        """`status` as the container has it."""
        return Owners(self.users, self.groups).seen(status)

    def names(self, path: str) -> list[str]:
        """What is in the directory, by name."""
        with self.opened(path, os.O_RDONLY | os.O_DIRECTORY) as descriptor:
            return sorted(os.listdir(descriptor))  # noqa: PTH208 - a descriptor

    def target(self, path: str) -> str:
        """What the symbolic link says."""
        with self.parent(path) as (directory, name):
            return os.readlink(name, dir_fd=directory)

    def settled(self, path: str) -> str:
        """`path`, or where it leads while its last part is a link; nothing need be at the end."""
        for _ in range(_MOST_LINKS):
            try:
                link = self.target(path)
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.ENOENT, errno.EBUSY):
                    raise
                return path
            path = link if link.startswith("/") else f"{path.rstrip('/').rpartition('/')[0]}/{link}"
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)

    @contextlib.contextmanager
    def regular(self, path: str) -> Iterator[int]:
        """The file's content, to read, while the block runs."""
        descriptor = self.open(path, os.O_RDONLY)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def open(self, path: str, flags: int, mode: int = 0o644) -> int:
        """A descriptor of the regular file, the caller's; with O_CREAT one that is not there is made, root's.

        Raises: OSError (EINVAL for what is neither file nor directory).
        """
        try:
            with self.opened(path) as seen:
                if flags & os.O_EXCL:
                    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
                return reopened(seen, flags & ~os.O_CREAT)
        except FileNotFoundError:
            if not flags & os.O_CREAT:
                raise
        with self.parent(self.settled(path)) as (directory, name):
            access = flags & ~os.O_TRUNC | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(name, access, mode, dir_fd=directory)
        try:
            os.fchown(descriptor, self.users.outward(0), self.groups.outward(0))
            os.fchmod(descriptor, mode)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def make_directory(self, path: str, mode: int) -> None:
        """An empty directory of the container's root."""
        with self.parent(path) as (directory, name):
            os.mkdir(name, 0o700, dir_fd=directory)
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            made = os.open(name, flags, dir_fd=directory)
        try:
            os.fchown(made, self.users.outward(0), self.groups.outward(0))
            os.fchmod(made, mode)
        finally:
            os.close(made)

    def remove(self, path: str, *, directory: bool) -> None:
        """unlink(2) or rmdir(2)."""
        with self.parent(path) as (parent, name):
            (os.rmdir if directory else os.unlink)(name, dir_fd=parent)

    def rename(self, path: str, target: str) -> None:
        """rename(2)."""
        with self.parent(path) as (before, name), self.parent(target) as (after, new):
            os.rename(name, new, src_dir_fd=before, dst_dir_fd=after)


def reopened(seen: int, flags: int) -> int:
    """A descriptor of the very file that the O_PATH descriptor `seen` is of.

    Raises: OSError: EISDIR; EINVAL for a FIFO, a socket or a device.
    """
    mode = os.fstat(seen).st_mode
    if not stat.S_ISREG(mode):
        number = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
        raise OSError(number, os.strerror(number))
    return os.open(f"/proc/self/fd/{seen}", flags | os.O_NONBLOCK | os.O_CLOEXEC)
