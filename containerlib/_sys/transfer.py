"""A copy between two trees of which one is a container's, at work or not: `docker cp`.

    Transfer(owner=lambda uid, gid: (0, 0)).copy(below, "site", above, "www")

Either side may be changed meanwhile by somebody who wants the copy to go astray. So no symbolic link is ever followed,
in the source or in the target: each step takes one name in an open directory, directories are found again by
openat2(RESOLVE_NO_SYMLINKS), and a file is opened by the look that was taken at it. What was there in the target is
replaced, but for a directory, which is filled and else left as it is, and with `spare_nodes`, as on the host, for a
device, a FIFO or a socket, which is refused. A device in the source is refused, a socket left out.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator

from containerlib._sys.copies import copy_content
from containerlib._sys.inside import RESOLVE_NO_SYMLINKS, reopened
from containerlib._sys.native import open_in_root
from containerlib._sys.writing import write_whole

__all__ = ["Device", "Mismatch", "Occupied", "Transfer"]

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_MAKE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OURS = "user."
_RIGHTS_OF_OTHERS = ("security.capability", "system.posix_acl_access", "system.posix_acl_default")
_OVERLAY = "user.overlay."
_NO_XATTR = frozenset({errno.EOPNOTSUPP, errno.ENODATA, errno.EPERM})
_UNSIZED = 1 << 20
_RIGHTS = stat.S_ISUID | stat.S_ISGID


class Device(Exception):
    """`path` is a device: a node of it elsewhere would be a way around what its reader may do."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class Mismatch(Exception):
    """At `path` a directory would take the place of something else, or something else that of a directory."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class Occupied(Exception):
    """At `path` of the target is a device, a FIFO or a socket, and `spare_nodes` holds."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class Transfer:
    """One copy. `owner`: whose the copy of somebody's file is, None for the copier's.

    `rights`: set-user-ID, set-group-ID, capabilities and access lists come along; on the host they would be given by a
    container.
    """

    def __init__(
        self,
        *,
        owner: Callable[[int, int], tuple[int, int]] | None = None,
        rights: bool = False,
        spare_nodes: bool = False,
    ) -> None:
        self._owner = owner
        self._rights = rights
        self._spare_nodes = spare_nodes
        self._links: dict[tuple[int, int], str] = {}
        self._top = -1

    def copy(self, below: int, name: str, above: int, target: str) -> None:
        """`name` of the open directory `below` becomes `target` of the open directory `above`.

        Raises: OSError; Device; Mismatch. What was copied until then stays.
        """
        with _opened(os.open(name, _LOOK, dir_fd=below)) as seen:
            if not stat.S_ISDIR(os.fstat(seen).st_mode):
                self._begin(above)
                self._entry(seen, above, target, target)
                return
            is_new = _made(target, above, target)
            source = _opened(os.open(f"/proc/self/fd/{seen}", _DIRECTORY & ~os.O_NOFOLLOW))
            with source as inner, _opened(os.open(target, _DIRECTORY, dir_fd=above)) as place:
                self.tree(inner, place, is_new=is_new)

    def tree(self, source: int, target: int, *, is_new: bool = False) -> None:
        """What is in the open directory `source` goes into the open directory `target`. Raises: as `copy`."""
        self._begin(target)
        waiting = [(".", is_new)]
        while waiting:
            path, new = waiting.pop()
            with _again(path, source) as below, _again(path, target) as above:
                for name in sorted(set(os.listdir(below))):  # noqa: PTH208 - a descriptor
                    inner = name if path == "." else f"{path}/{name}"
                    with contextlib.suppress(FileNotFoundError):  # gone since it was listed
                        found = self._name(below, name, above, inner)
                        waiting += [] if found is None else [(inner, found)]
                if new:
                    self._finish(below, above, os.fstat(below))

    def file(self, seen: int, target: int, *, only_content: bool = False) -> None:
        """The regular file `seen`, a descriptor of O_PATH, goes into the open file `target`. Raises: OSError."""
        with _opened(reopened(seen, os.O_RDONLY)) as content:
            if only_content:
                _append(content, target)
                return
            _content(content, target)
            self._finish(content, target, os.fstat(seen))

    def _begin(self, top: int) -> None:
        self._top = top
        self._links.clear()

    def _name(self, below: int, name: str, above: int, path: str) -> bool | None:
        """Copies one name. Of a directory only itself: whether it is new."""
        with _opened(os.open(name, _LOOK, dir_fd=below)) as seen:
            if stat.S_ISDIR(os.fstat(seen).st_mode):
                return _made(name, above, path)
            self._entry(seen, above, name, path)
            return None

    def _entry(self, seen: int, above: int, name: str, path: str) -> None:
        """What is no directory, and was seen, becomes `name` of the open directory `above`, which is at `path`."""
        status = os.fstat(seen)
        if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
            raise Device(path)
        if stat.S_ISSOCK(status.st_mode):
            return
        if self._spare_nodes:
            _check_free_of_nodes(name, above, path)
        _clear(name, above, path)
        if status.st_nlink > 1 and self._linked(status, above, name, path):
            return
        if stat.S_ISREG(status.st_mode):
            with _opened(os.open(name, _MAKE, 0o600, dir_fd=above)) as file:
                self.file(seen, file)
            return
        if stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink("", dir_fd=seen), name, dir_fd=above)
        else:
            os.mkfifo(name, 0o600, dir_fd=above)
        with _opened(os.open(name, _LOOK, dir_fd=above)) as made:
            self._finish_unopened(made, status)

    def _linked(self, status: os.stat_result, above: int, target: str, path: str) -> bool:
        """Another name of a file that was copied. Of one whose first name was taken away, a copy."""
        first = self._links.setdefault((status.st_dev, status.st_ino), path)
        if first == path:
            return False
        directory, _, name = first.rpartition("/")
        try:
            with _again(directory or ".", self._top) as place:
                os.link(name, target, src_dir_fd=place, dst_dir_fd=above, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def _finish(self, source: int, target: int, status: os.stat_result) -> None:
        """Owner first: chown(2) takes rights away."""
        if self._owner is not None:
            os.fchown(target, *self._owner(status.st_uid, status.st_gid))
        mode = stat.S_IMODE(status.st_mode)
        is_file = stat.S_ISREG(status.st_mode)
        os.fchmod(target, mode & ~_RIGHTS if is_file and not self._rights else mode)
        for name in _xattrs(source):
            if self._wanted(name):
                _copy_xattr(source, target, name)
        os.utime(target, ns=(status.st_mtime_ns, status.st_mtime_ns))

    def _finish_unopened(self, made: int, status: os.stat_result) -> None:
        """Of a link or a FIFO. The kernel's name of the descriptor is that of the link itself."""
        place = f"/proc/self/fd/{made}"
        if self._owner is not None:
            os.chown(place, *self._owner(status.st_uid, status.st_gid))
        if not stat.S_ISLNK(status.st_mode):
            os.chmod(place, stat.S_IMODE(status.st_mode))  # noqa: PTH101
        os.utime(place, ns=(status.st_mtime_ns, status.st_mtime_ns))

    def _wanted(self, name: str) -> bool:
        if name in _RIGHTS_OF_OTHERS:
            return self._rights
        return name.startswith(_OURS) and not name.startswith(_OVERLAY)


def _content(source: int, target: int) -> None:
    """What is in the file now. One of /proc says that it is empty; nobody else's can be without end."""
    if not os.fstat(source).st_size:
        os.write(target, os.read(source, _UNSIZED))
        return
    copy_content(source, target)


def _append(source: int, target: int) -> None:
    """By write(2) alone, which is all that a device or a FIFO knows."""
    while piece := os.read(source, _UNSIZED):
        write_whole(target, piece)


def _made(name: str, parent: int, path: str) -> bool:
    """A directory is at `name`: whether it was made."""
    try:
        os.mkdir(name, 0o700, dir_fd=parent)
    except FileExistsError:
        if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            raise Mismatch(path) from None
        return False
    return True


def _check_free_of_nodes(name: str, parent: int, path: str) -> None:
    """Raises: Occupied."""
    with contextlib.suppress(FileNotFoundError):
        mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode) or stat.S_ISDIR(mode)):
            raise Occupied(path)


def _clear(name: str, parent: int, path: str) -> None:
    """Nothing is at `name`."""
    try:
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        return
    except IsADirectoryError:
        raise Mismatch(path) from None


@contextlib.contextmanager
def _opened(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _again(path: str, top: int) -> contextlib.AbstractContextManager[int]:
    """The directory that was at `path` below `top`; where a link is in the way now, ELOOP."""
    return _opened(open_in_root(top, path, _DIRECTORY, resolve=RESOLVE_NO_SYMLINKS))


def _copy_xattr(source: int, target: int, name: str) -> None:
    """Not to a file system that has none, nor one that went."""
    try:
        os.setxattr(target, name, os.getxattr(source, name))
    except OSError as error:
        if error.errno not in _NO_XATTR:
            raise


def _xattrs(descriptor: int) -> list[str]:
    try:
        return os.listxattr(descriptor)
    except OSError as error:
        if error.errno not in _NO_XATTR:
            raise
        return []
