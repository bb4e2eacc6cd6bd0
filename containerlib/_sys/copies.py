"""A copy of a directory tree that strangers filled, true to owners, modes, times, attributes, hard links and holes.

    copy_tree(source, target)                # target is a new directory; files share blocks where the disk can
    copy_tree(source, target, link=True)     # files are hard links: for a copy that nobody writes to

Nobody else may change either meanwhile. No symbolic link is followed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator

from containerlib._sys.inside import Owners

__all__ = ["copy_content", "copy_tree", "opened", "replace_status"]

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FICLONE = 0x40049409
_PIECE = 1 << 30
_NO_LINK = frozenset({errno.EMLINK, errno.EXDEV, errno.EPERM})
_OVERLAY = ("trusted.overlay.", "user.overlay.")
_NO_XATTR = frozenset({errno.EOPNOTSUPP, errno.ENODATA})


def copy_tree(source: str, target: str, *, link: bool = False, owners: Owners | None = None) -> int:
    """Makes the directory `target` and all that is in it as in `source`; returns the bytes of the files that are new.

    `owners`: the ids of `source` are those of a user namespace, and those of `target` the host's. Raises: OSError.
    """
    copier = _Copier(link=link, owners=owners)
    os.mkdir(target, 0o700)  # noqa: PTH102 - a str
    with opened(source) as below, opened(target) as above:
        copier.tree(below, above)
    return copier.size


def replace_status(source: int, target: int, status: os.stat_result, owners: Owners | None = None) -> None:
    """Gives the open file or directory `target` the owner, mode and times of `status`, and the attributes of `source`.

    What it has of its own of these goes. What overlayfs keeps for itself does not come along. `owners`: as for
    `copy_tree`. Raises: OSError.
    """
    for name in set(_xattrs(target)) - set(_xattrs(source)):
        os.removexattr(target, name)
    os.fchown(target, *_outward(status, owners))
    os.fchmod(target, stat.S_IMODE(status.st_mode))
    _copy_xattrs(source, target, owners)
    os.utime(target, ns=(status.st_mtime_ns, status.st_mtime_ns))


class _Copier:
    """One copy; remembers which files it has seen under another name."""

    def __init__(self, *, link: bool, owners: Owners | None) -> None:
        self._link = link
        self._owners = owners
        self._seen: dict[tuple[int, int], str] = {}
        self._top = -1
        self.size = 0

    def tree(self, source: int, target: int) -> None:
        """What is below the two open directories, and the facts of these themselves."""
        self._top = target
        waiting = ["."]
        while waiting:
            path = waiting.pop()
            with opened(path, source) as below, opened(path, target) as above:
                for name in os.listdir(below):  # noqa: PTH208 - a descriptor
                    inner = f"{path}/{name}"
                    if self._entry(name, inner, below, above):
                        waiting.append(inner)
                replace_status(below, above, os.fstat(below), self._owners)

    def _entry(self, name: str, path: str, below: int, above: int) -> bool:
        """Makes one name; whether it is a directory, which is still empty then."""
        status = os.stat(name, dir_fd=below, follow_symlinks=False)
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFDIR:
            os.mkdir(name, 0o700, dir_fd=above)
            return True
        if self._link and self._linked(name, below, above):
            return False
        if status.st_nlink > 1:
            first = self._seen.setdefault((status.st_dev, status.st_ino), path)
            if first != path:
                os.link(first, name, src_dir_fd=self._top, dst_dir_fd=above, follow_symlinks=False)
                return False
        if kind == stat.S_IFREG:
            self._file(name, below, above)
            return False
        if kind == stat.S_IFLNK:
            os.symlink(os.readlink(name, dir_fd=below), name, dir_fd=above)
        else:  # a device, a FIFO or a socket, which leads nowhere
            os.mknod(name, status.st_mode, status.st_rdev, dir_fd=above)
        os.chown(name, *_outward(status, self._owners), dir_fd=above, follow_symlinks=False)
        if kind != stat.S_IFLNK:
            os.chmod(name, stat.S_IMODE(status.st_mode), dir_fd=above)
        _copy_named_xattrs(name, below, above, self._owners)
        times = (status.st_mtime_ns, status.st_mtime_ns)
        os.utime(name, ns=times, dir_fd=above, follow_symlinks=False)
        return False

    def _linked(self, name: str, below: int, above: int) -> bool:
        try:
            os.link(name, name, src_dir_fd=below, dst_dir_fd=above, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
            return False
        return True

    def _file(self, name: str, below: int, above: int) -> None:
        source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=below)
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            target = os.open(name, flags, 0o600, dir_fd=above)
            try:
                self.size += copy_content(source, target)
                replace_status(source, target, os.fstat(source), self._owners)
            finally:
                os.close(target)
        finally:
            os.close(source)


@contextlib.contextmanager
def opened(path: str, top: int | None = None) -> Iterator[int]:
    """The directory at `path`, below the open directory `top`, while the block runs.

    No part of `path` is a link: the source has been read, and the target been made, part by part.
    """
    descriptor = os.open(path, _DIRECTORY, dir_fd=top)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def copy_content(source: int, target: int) -> int:
    """Shares the blocks where the file system can; else holes stay holes."""
    size = os.fstat(source).st_size
    with contextlib.suppress(OSError):
        fcntl.ioctl(target, _FICLONE, source)
        return size
    end = 0
    while end < size:
        try:
            start = os.lseek(source, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # the rest is a hole
                break
            raise
        end = os.lseek(source, start, os.SEEK_HOLE)
        os.lseek(source, start, os.SEEK_SET)
        os.lseek(target, start, os.SEEK_SET)
        left = end - start
        while left and (sent := os.sendfile(target, source, None, min(left, _PIECE))):
            left -= sent
    os.ftruncate(target, size)
    return size


def _xattrs(place: int | str) -> list[str]:
    """Those that are the file's own."""
    try:
        names = os.listxattr(place, follow_symlinks=not isinstance(place, str))
    except OSError as error:
        if error.errno not in _NO_XATTR:
            raise
        return []
    return [name for name in names if not name.startswith(_OVERLAY)]


def _outward(status: os.stat_result, owners: Owners | None) -> tuple[int, int]:
    if owners is None:
        return status.st_uid, status.st_gid
    return owners.users.outside(status.st_uid), owners.groups.outside(status.st_gid)


def _copy_xattrs(source: int | str, target: int | str, owners: Owners | None = None) -> None:
    follow = not isinstance(source, str)
    for name in _xattrs(source):
        try:
            value = os.getxattr(source, name, follow_symlinks=follow)
            os.setxattr(
                target,
                name,
                value if owners is None else owners.attribute_outside(name, value),
                follow_symlinks=follow,
            )
        except OSError as error:
            if error.errno not in _NO_XATTR:  # a file system that does not take it
                raise


def _copy_named_xattrs(name: str, below: int, above: int, owners: Owners | None) -> None:
    """Of what cannot be opened: a link, a device. Only the kernel's own way has a name for it."""
    _copy_xattrs(f"/proc/self/fd/{below}/{name}", f"/proc/self/fd/{above}/{name}", owners)
