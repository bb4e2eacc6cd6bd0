"""The files of some layers as overlayfs would show them, without mounting anything.

    with MergedTree(layers) as tree:                # the top one first
        for entry in tree.walk():                   # parents first, by name within a directory
            print(entry.path, entry.status.st_size)
        tree.status("etc/passwd")                   # None: there is nothing

    with MergedTree([upper], hide_whiteouts=False) as tree: ...     # what one layer says, deletions among it

Every step opens one name relative to an open directory and follows no symbolic link, so that no image can lead out of
its layers. An entry's descriptor is good until the next entry is asked for.

Spec: kernel Documentation/filesystems/overlayfs.rst (whiteouts and opaque directories)
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType

from attrs import define, frozen

from containerlib._sys.inside import Owners
from containerlib._sys.opening import open_layer
from containerlib.errors import StageError
from containerlib.spec.layer import Layer

__all__ = ["Entry", "MergedTree", "is_opaque", "is_whiteout"]

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPAQUE = ("trusted.overlay.opaque", "user.overlay.opaque")
_FUSE_OPAQUE = frozenset({".wh..wh..opq", ".wh..opq"})
"""Files that fuse-overlayfs makes in a directory for the same, and shows to nobody."""
_MAX_LINKS = 40
_HIDES = frozenset({errno.ENOTDIR, errno.ELOOP})
"""A whiteout, or a file: what is below is hidden."""
_HELD = 32
_NONE = frozenset({errno.ENODATA, errno.EOPNOTSUPP, errno.EPERM})


@frozen
class Entry:
    """One name: `path` relative to the root, without a leading slash, and where it can be opened."""

    path: str
    status: os.stat_result
    parent: int
    """A descriptor of the directory that has it, in the layer that shows it."""
    opaque: bool = False
    """A directory that hides all that is below it in lower layers; said only where whiteouts are shown."""
    owners: Owners | None = None
    """Whose ids its extended attributes are in, where that is not the image; `status` has the image's."""

    @property
    def name(self) -> str:
        """Its last part; `"."` for the root."""
        return self.path.rpartition("/")[2] or "."

    def open(self, flags: int = os.O_RDONLY) -> int:
        """A new descriptor of it, never of what a link or a FIFO leads to."""
        return os.open(self.name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self.parent)

    def open_file(self) -> int:
        """A new descriptor of a regular file, for reading. Raises: FileNotFoundError where it is none any more.

        Not opened before it is known what it is: a container may have put a device there, which does something then.
        """
        place = self.open(os.O_PATH)
        try:
            if not stat.S_ISREG(os.fstat(place).st_mode):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.path)
            return os.open(f"/proc/self/fd/{place}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        finally:
            os.close(place)

    def link(self) -> str:
        """The target of a symbolic link."""
        return os.readlink(self.name, dir_fd=self.parent)


@define
class _Level:
    """A directory that a walk is in: the names that are left, and the directories that merge there, if open."""

    path: str
    names: Iterator[str]
    directories: list[int] | None

    def close(self) -> None:
        if self.directories is not None:
            _close(self.directories)
            self.directories = None


class MergedTree:
    """The merged view of layers. Holds descriptors: close it, or use it in a `with`. One walk at a time.

    `owners`: what the ids of the top layer's files mean, where they are those of a user namespace.

    Raises: StageError(stage="image") where a layer cannot be opened.
    """

    def __init__(
        self, layers: Sequence[str | Layer], *, hide_whiteouts: bool = True, owners: Owners | None = None
    ) -> None:
        self._hide = hide_whiteouts
        self._owners = owners
        self._by_fuse = any(isinstance(layer, Layer) and layer.kind == "fuse-overlayfs" for layer in layers)
        self._of_top: set[int] = set()
        self._roots: list[int] = []
        try:
            for layer in layers:
                self._roots.append(open_layer(layer))
            self._of_top.update(self._roots[:1])
        except OSError as error:
            self.close()
            raise StageError(
                "image", error.errno or 0, str(error.filename), advice="pull the image again"
            ) from error

    def walk(self) -> Iterator[Entry]:
        """Every entry, the root first, each directory before what is in it, in the order of names' bytes.

        Raises: StageError(stage="image") where one cannot be read.
        """
        yield self._entry("", os.fstat(self._roots[0]), self._roots[0])
        levels = [_Level("", iter(self._names(self._roots)), self._roots)]
        try:
            while levels:
                entry = self._next(levels)
                if entry is not None:
                    yield entry
                    if stat.S_ISDIR(entry.status.st_mode):
                        self._descend(entry, levels)
        except OSError as error:
            raise StageError("image", error.errno or 0, f"/{levels[-1].path}") from error
        finally:
            for level in levels[1:]:
                level.close()

    def _next(self, levels: list[_Level]) -> Entry | None:
        """The next entry of the innermost level; None where there is none, and then that level may be over."""
        level = levels[-1]
        name = next(level.names, None)
        if name is None:
            levels.pop()
            if levels:
                level.close()
            return None
        if level.directories is None:
            self._open_again(levels)
        path = f"{level.path}/{name}" if level.path else name
        return self._look_up(
            path, name, level.directories or ()
        )  # None: deleted, or gone since it was listed

    def _descend(self, entry: Entry, levels: list[_Level]) -> None:
        """Into the directory. A few levels are held open, as a tree may be deeper than a process has descriptors."""
        directories = levels[-1].directories or ()
        levels.append(_Level(entry.path, iter(()), self._below(entry.name, directories)))
        levels[-1].names = iter(self._names(levels[-1].directories or ()))
        if len(levels) > _HELD + 1:
            levels[-_HELD - 1].close()

    def _open_again(self, levels: list[_Level]) -> None:
        """The innermost levels, from the root on: as many as are held, so that this is not done for each of them."""
        for number in range(1, len(levels)):
            level, outer = levels[number], levels[number - 1]
            level.directories = self._below(level.path.rpartition("/")[2], outer.directories or ())
            if 1 < number <= len(levels) - _HELD:
                outer.close()

    def status(self, path: str) -> os.stat_result | None:
        """What is at `path`, symbolic links in it not followed; None where nothing is."""
        parent, _, name = path.rpartition("/")
        with self._directories(parent) as directories:
            if not name:
                return os.fstat(directories[0]) if directories else None
            entry = self._look_up(path, name, directories)
            return entry.status if entry else None

    def names(self, path: str) -> list[str]:
        """What is in the directory `path`, deletions left out; nothing where it is none."""
        with self._directories(path) as directories:
            found = self._names(directories)
            return [name for name in found if self._look_up(name, name, directories) is not None]

    def resolve(self, path: str) -> str | None:
        """`path` with the symbolic links in it followed, none of which leads out; None where nothing is."""
        done: list[str] = []
        todo, links = _parts(path), 0
        while todo:
            name = todo.pop(0)
            if name == "..":
                done = done[:-1]
                continue
            with self._directories("/".join(done)) as directories:
                entry = self._look_up(name, name, directories)
                if entry is None:
                    return None
                target = entry.link() if stat.S_ISLNK(entry.status.st_mode) else None
            if target is None:
                done.append(name)
                continue
            links += 1
            if links > _MAX_LINKS:
                return None
            done = [] if target.startswith("/") else done
            todo = _parts(target) + todo
        return "/".join(done)

    @contextmanager
    def below(self, path: str) -> Iterator[MergedTree | None]:
        """The directory `path`, no links followed, as a tree of its own; None where there is none."""
        with self._directories(path) as directories:
            tree = MergedTree((), hide_whiteouts=self._hide)
            tree._by_fuse = self._by_fuse
            tree._roots = list(directories)
            yield tree if directories else None

    @contextmanager
    def _directories(self, path: str) -> Iterator[list[int]]:
        """The directories that merge at `path`, none where there is none."""
        directories = self._reach(path) if path else self._roots
        try:
            yield directories
        finally:
            if path:
                _close(directories)

    def _reach(self, path: str) -> list[int]:
        """The directories that merge at `path`, which is not the root, for the caller to close."""
        directories = self._roots
        for part in path.split("/"):
            try:
                is_there = self._look_up(part, part, directories) is not None
                found = self._below(part, directories) if is_there else []
            finally:
                if directories is not self._roots:
                    _close(directories)
            directories = found
        return directories

    def _names(self, directories: Sequence[int]) -> list[str]:
        names: set[str] = set()
        for directory in directories:
            with suppress(FileNotFoundError):  # a running container removed it
                names.update(os.listdir(directory))
        return sorted(names - _FUSE_OPAQUE if self._by_fuse else names, key=os.fsencode)

    def _look_up(self, path: str, name: str, directories: Sequence[int]) -> Entry | None:
        for directory in directories:
            try:
                status = os.stat(name, dir_fd=directory, follow_symlinks=False)
            except (FileNotFoundError, NotADirectoryError):
                continue
            if is_whiteout(status) and self._hide:
                return None
            opaque = not self._hide and stat.S_ISDIR(status.st_mode) and self._opaque_at(name, directory)
            return self._entry(path, status, directory, opaque=opaque)
        return None

    def _entry(self, path: str, status: os.stat_result, parent: int, *, opaque: bool = False) -> Entry:
        if self._owners is None or parent not in self._of_top:
            return Entry(path, status, parent, opaque)
        return Entry(path, self._owners.seen(status), parent, opaque, self._owners)

    def _below(self, name: str, directories: Sequence[int]) -> list[int]:
        """The directories that merge under `name`, the top one first."""
        found: list[int] = []
        try:
            for directory in directories:
                try:
                    descriptor = os.open(name, _DIRECTORY, dir_fd=directory)
                except FileNotFoundError:
                    continue
                except OSError as error:
                    if error.errno in _HIDES:
                        break
                    raise
                found.append(descriptor)
                (self._of_top.add if directory in self._of_top else self._of_top.discard)(descriptor)
                if self._is_opaque(descriptor):
                    break
        except BaseException:
            _close(found)
            raise
        return found

    def _is_opaque(self, directory: int) -> bool:
        return is_opaque(directory) or (self._by_fuse and not _FUSE_OPAQUE.isdisjoint(os.listdir(directory)))

    def _opaque_at(self, name: str, directory: int) -> bool:
        with suppress(FileNotFoundError, NotADirectoryError):
            descriptor = os.open(name, _DIRECTORY, dir_fd=directory)
            try:
                return self._is_opaque(descriptor)
            finally:
                os.close(descriptor)
        return False

    def close(self) -> None:
        """Closes the layers."""
        _close(self._roots)

    def __enter__(self) -> MergedTree:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _close(descriptors: list[int]) -> None:
    while descriptors:
        os.close(descriptors.pop())


def is_whiteout(status: os.stat_result) -> bool:
    """Whether it says that lower layers' file of this name is deleted."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def is_opaque(directory: int) -> bool:
    """Whether the open directory hides those below it."""
    for name in _OPAQUE:
        try:
            if os.getxattr(directory, name) == b"y":
                return True
        except OSError as error:
            if error.errno not in _NONE:
                raise
    return False
