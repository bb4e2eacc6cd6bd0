"""What `load` reads: a layout's directory, or a tar archive of one, or of `docker save`'s older form.

Both are `Files`: names to bytes, and nothing is ever extracted. An archive is read once from end to end for
the places of its members; after that each member is a range of the archive.
"""

from __future__ import annotations

import os
import posixpath
import stat
import tarfile
from collections.abc import Callable, Hashable, Iterator
from typing import Protocol

from containerlib._sys.paths import open_in_root
from containerlib._sys.writing import write_whole
from containerlib.errors import InvalidArgument, NotFound, StageError
from containerlib.images.archives.members import members
from containerlib.images.archives.streams import Source, name_of, pieces
from containerlib.images.transfer.decoding import decoded
from containerlib.images.transfer.unpacking import Count, bounded

__all__ = ["ArchiveFiles", "DirectoryFiles", "Files", "open_files"]

_PIECE = 256 * 1024
_MAX_MEMBERS = 100_000
_MAX_LINKS = 8
_COMPRESSED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd")


class Files(Protocol):
    """Files by name, relative and with `/`. Safe for several threads at once."""

    def size(self, name: str) -> int | None:
        """The file's bytes; None where there is no such file."""

    def identity(self, name: str) -> Hashable:
        """What is equal for two names of one file; None where there is no such file."""

    def chunks(self, name: str) -> Iterator[bytes]:
        """Raises: NotFound."""

    def close(self) -> None: ...


class DirectoryFiles:
    """A directory. Names, and links in it, lead nowhere else: what is loaded may be a stranger's."""

    def __init__(self, path: str) -> None:
        self._path = path
        try:
            self._directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise StageError("load", error.errno or 0, path) from error

    def size(self, name: str) -> int | None:
        status = self._status(name)
        return status.st_size if status else None

    def identity(self, name: str) -> Hashable:
        status = self._status(name)
        return (status.st_dev, status.st_ino) if status else None

    def _status(self, name: str) -> os.stat_result | None:
        try:
            descriptor = open_in_root(self._directory, name, os.O_PATH)
        except (OSError, ValueError):
            return None
        try:
            status = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        return status if stat.S_ISREG(status.st_mode) else None

    def chunks(self, name: str) -> Iterator[bytes]:
        if self.size(name) is None:
            raise NotFound(
                f"{self._path} has no file {name!r}, or a link that leads out of it: it is not a whole image layout"
            )
        try:
            # not blocking: what is a file now may have been exchanged for a pipe
            with open(
                open_in_root(self._directory, name, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0
            ) as file:
                while chunk := file.read(_PIECE):
                    yield chunk
        except OSError as error:
            raise StageError("load", error.errno or 0, f"{self._path}/{name}") from error

    def close(self) -> None:
        os.close(self._directory)


class ArchiveFiles:
    """An uncompressed tar archive, which messages call `name`. Takes over `fd`."""

    def __init__(self, fd: int, name: str) -> None:
        self._fd = fd
        self._name = name
        self._members: dict[str, tuple[int, int]] = {}
        self._links: dict[str, str] = {}
        try:
            self._scan()
        except (tarfile.TarError, ValueError) as error:
            os.close(fd)
            raise InvalidArgument(f"{name} is not a whole tar archive: {error}", field="source") from error
        except BaseException:
            os.close(fd)
            raise

    def _scan(self) -> None:
        count = 0
        for count, member in enumerate(members(self._fd), 1):
            if count > _MAX_MEMBERS:
                raise ValueError(f"more than {_MAX_MEMBERS} members")
            name = posixpath.normpath(member.name)
            if member.is_file:
                self._members[name] = (member.offset, member.size)
            elif member.kind == tarfile.SYMTYPE:
                target = posixpath.join(posixpath.dirname(name), member.link)
                self._links[name] = posixpath.normpath(target)
            elif member.kind == tarfile.LNKTYPE:
                self._links[name] = posixpath.normpath(member.link)
        if not count:
            raise ValueError("there is nothing in it")

    def size(self, name: str) -> int | None:
        place = self._place(name)
        return place[1] if place else None

    def identity(self, name: str) -> Hashable:
        return self._place(name)

    def chunks(self, name: str) -> Iterator[bytes]:
        place = self._place(name)
        if place is None:
            raise NotFound(f"{self._name} has no member {name!r}: it is not a whole image archive")
        offset, left = place
        while left:
            chunk = os.pread(self._fd, min(left, _PIECE), offset)
            if not chunk:
                raise InvalidArgument(f"{self._name} ends inside {name!r}", field="source")
            yield chunk
            offset, left = offset + len(chunk), left - len(chunk)

    def _place(self, name: str) -> tuple[int, int] | None:
        """Where the member is; links are names of other members, and lead nowhere else."""
        name = posixpath.normpath(name)
        for _ in range(_MAX_LINKS):
            if name in self._members:
                return self._members[name]
            if name not in self._links:
                return None
            name = self._links[name]
        return None

    def close(self) -> None:
        os.close(self._fd)


def open_files(source: Source, scratch: str, report: Callable[[int], None] = lambda _: None) -> Files:
    """The files of the directory or archive at a path, or of the archive that a stream has from here to its end.

    A stream, and what is compressed, goes into a nameless file beside `scratch` first; `report` is told how many bytes
    of it have been read.

    Raises: NotFound, InvalidArgument; StageError(stage="load") where it cannot be read, or not be written there.
    """
    name = name_of(source)
    if not isinstance(source, str | os.PathLike):
        return ArchiveFiles(_spool(pieces(source, stage="load", report=report), None, scratch), name)
    path = os.fspath(source)
    if os.path.isdir(path):
        return DirectoryFiles(path)
    fd = _open(path)
    try:
        is_compressed = os.pread(fd, 4, 0).startswith(_COMPRESSED)
    except OSError as error:
        os.close(fd)
        raise StageError("load", error.errno or 0, path) from error
    if not is_compressed:
        return ArchiveFiles(fd, name)
    with open(fd, "rb", buffering=0) as file:
        size = os.fstat(fd).st_size
        return ArchiveFiles(_spool(pieces(file, stage="load", report=report), size, scratch), name)


def _open(path: str) -> int:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe may have no other end
    except ValueError as error:
        raise InvalidArgument(f"{path!r} is no path", field="source") from error
    except FileNotFoundError as error:
        raise NotFound(f"there is no file or directory {path!r} to load an image from") from error
    except OSError as error:
        raise StageError("load", error.errno or 0, path) from error
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise InvalidArgument(f"{path!r} is no file: open it, and give the open file", field="source")


def _spool(chunks: Iterator[bytes], size: int | None, scratch: str) -> int:
    """The descriptor of a nameless file that has `chunks`, `size` bytes if it is known, decompressed."""
    received = Count()
    fd = _nameless(scratch)
    try:
        for piece, _ in bounded(decoded(received.of(chunks)), size, received):
            _write(fd, piece, scratch)
    except InvalidArgument as error:
        os.close(fd)
        raise InvalidArgument(str(error).removeprefix(f"{error.field}: "), field="source") from error
    except BaseException:
        os.close(fd)
        raise
    return fd


def _nameless(scratch: str) -> int:
    """An empty file: its descriptor keeps it, and whatever happens nothing is left."""
    try:
        fd = os.open(scratch, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        os.unlink(scratch)
    except OSError as error:
        raise StageError("load", error.errno or 0, scratch) from error
    return fd


def _write(fd: int, piece: bytes, scratch: str) -> None:
    try:
        write_whole(fd, piece)
    except OSError as error:
        raise StageError("load", error.errno or 0, scratch, advice="free some space there") from error
