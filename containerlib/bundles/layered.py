"""Reads a file of an image without mounting it, by the look-up that overlayfs would make in its layers.

    with LayeredTree(layers) as tree:          # directories and files, top first
        data = tree.read("etc/passwd")         # None: there is no such regular file

Every step opens one name relative to an open directory and follows no symbolic link; links are resolved
here, inside the image. A hostile image can therefore name no file of the host, and neither a FIFO nor a
huge file holds us up.

Spec: kernel Documentation/filesystems/overlayfs.rst (whiteouts and opaque directories)
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from types import TracebackType

from attrs import frozen

from containerlib._sys.opening import open_layer
from containerlib.errors import StageError
from containerlib.spec.layer import Layer

__all__ = ["LayeredTree"]

_MAX_LINKS = 40
_MAX_EXCHANGES = 8
_EXCHANGED = frozenset({errno.EINVAL, errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
_MAX_BYTES = 8 << 20
_OPAQUE = ("trusted.overlay.opaque", "user.overlay.opaque")
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@frozen
class _Found:
    """What a name is: directories (top first, merged), a link, or a file in `parent`."""

    directories: tuple[int, ...] = ()
    parent: int = -1
    link: str | None = None


class LayeredTree:
    """The merged view of some layers. Holds descriptors: close it, or use it in a `with`."""

    def __init__(self, layers: Sequence[str | Layer]) -> None:
        self._open: list[int] = []
        self._found: dict[tuple[tuple[int, ...], str], _Found | None] = {}
        try:
            self._roots = tuple(self._keep(open_layer(layer)) for layer in layers)
        except OSError as error:
            self.close()
            raise StageError(
                "image", error.errno or 0, str(error.filename), advice="pull the image again"
            ) from error

    def __enter__(self) -> LayeredTree:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        while self._open:
            os.close(self._open.pop())

    def read(self, path: str) -> bytes | None:
        """The content of a regular file, its first 8 MiB at most; None where there is none."""
        stack: list[tuple[int, ...]] = []
        current, todo, links = self._roots, _parts(path), 0
        while todo:
            name = todo.pop(0)
            if name == "..":
                current = stack.pop() if stack else self._roots
                continue
            key = (current, name)
            if key not in self._found:
                self._found[key] = self._look_up(current, name)
            found = self._found[key]
            if found is None:
                return None
            if found.link is not None:
                links += 1
                if links > _MAX_LINKS:
                    return None
                if found.link.startswith("/"):
                    stack, current = [], self._roots
                todo = _parts(found.link) + todo
            elif found.directories:
                stack.append(current)
                current = found.directories
            else:
                return _read_regular(found.parent, name) if not todo else None
        return None

    def _look_up(self, directories: tuple[int, ...], name: str) -> _Found | None:
        """A running container may exchange what is there between two calls: then it is looked up again."""
        for _ in range(_MAX_EXCHANGES):
            try:
                return self._look_once(directories, name)
            except OSError as error:
                if error.errno not in _EXCHANGED:
                    raise
        return None

    def _look_once(self, directories: tuple[int, ...], name: str) -> _Found | None:
        merged: list[int] = []
        for directory in directories:
            try:
                status = os.stat(name, dir_fd=directory, follow_symlinks=False)
            except FileNotFoundError:
                continue
            if stat.S_ISDIR(status.st_mode):
                descriptor = self._keep(os.open(name, _DIRECTORY, dir_fd=directory))
                merged.append(descriptor)
                if directory != directories[-1] and _is_opaque(descriptor):
                    break
            elif merged or (stat.S_ISCHR(status.st_mode) and status.st_rdev == 0):
                break  # whited out, or a file below a directory, which hides it
            elif stat.S_ISLNK(status.st_mode):
                return _Found(link=os.readlink(name, dir_fd=directory))
            else:
                return _Found(parent=directory)
        return _Found(directories=tuple(merged)) if merged else None

    def _keep(self, descriptor: int) -> int:
        self._open.append(descriptor)
        return descriptor


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _is_opaque(directory: int) -> bool:
    place = f"/proc/self/fd/{directory}"  # an O_PATH descriptor takes no fgetxattr
    for name in _OPAQUE:
        try:
            if os.getxattr(place, name) == b"y":
                return True
        except OSError as error:
            if error.errno not in (errno.ENODATA, errno.EOPNOTSUPP, errno.EPERM):
                raise
    return False


def _read_regular(parent: int, name: str) -> bytes | None:
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
    except OSError:
        return None
    try:
        status = os.fstat(descriptor)
        return os.read(descriptor, min(status.st_size, _MAX_BYTES)) if stat.S_ISREG(status.st_mode) else None
    finally:
        os.close(descriptor)
