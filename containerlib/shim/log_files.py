"""The files of a log, and a place in them that moves on.

    log.2   log.1   log        the newest is the one without a number; one that is full is renamed

A file is known by its inode while it is open here: what is renamed or removed meanwhile is read to its end none the
less.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator

__all__ = ["LogCursor", "log_size"]

_CHUNK = 1 << 18
_LOOK_BACK = 1 << 16
_NO_LINE = 1 << 22
"""A piece without a newline that is longer than any record: it is not read as one."""


class LogCursor:
    """A place in the log of `directory`, at first before its oldest byte. Holds descriptors until `close`."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._fds: list[int] = []
        self.is_inside = False
        """Whether it may be in the middle of a record."""
        self._look()

    def read(self, *, newer: bool = True) -> Iterator[bytes]:
        """The bytes from here to the end; with `newer` also of files that came since the last look."""
        while self._fds or newer:
            if self._fds:
                yield from _available(self._fds[0])
            if len(self._fds) < 2 and not (newer and self._look()):
                return
            if len(self._fds) > 1:
                # The last bytes may have come between the end that was seen and the rotation.
                yield from _available(self._fds[0])
                os.close(self._fds.pop(0))

    def skip_to_last_bytes(self, size: int) -> None:
        """Goes so many bytes back from the end."""
        self._go_back(len(self._fds), 0, size)

    def skip_to_last(self, count: int, counts: Callable[[bytes], bool], *, more: int) -> None:
        """Goes back to where `count` lines follow that `counts` is true of, and `more` bytes before that."""
        found = 0
        for index in reversed(range(len(self._fds))):
            for offset, line in _lines_backwards(self._fds[index]):
                found += counts(line)
                if found > count:
                    self._go_back(index, offset, more)
                    return

    def close(self) -> None:
        """Closes the files."""
        while self._fds:
            os.close(self._fds.pop())

    def _go_back(self, index: int, offset: int, size: int) -> None:
        while size > offset and index:
            index -= 1
            size -= offset
            offset = os.fstat(self._fds[index]).st_size
        if not self._fds:
            return
        offset = max(0, offset - size)
        os.lseek(self._fds[index], offset, os.SEEK_SET)
        for fd in self._fds[:index]:
            os.close(fd)
        del self._fds[:index]
        self.is_inside = offset > 0

    def _look(self) -> bool:
        """Opens the files that are newer than the newest one here; whether there are any."""
        newest = os.fstat(self._fds[-1]).st_ino if self._fds else None
        with contextlib.suppress(FileNotFoundError):
            if os.stat(f"{self._directory}/log").st_ino == newest:  # noqa: PTH116 - hot path
                return False
        while (fds := _open_newer(self._directory, newest)) is None:
            continue
        self._fds += fds
        return bool(fds)


def _open_newer(directory: str, newest: int | None) -> list[int] | None:
    """The files after the one of that inode, the oldest first; all of them where that one is gone. None: they were
    renamed meanwhile.
    """
    files = _files(directory)
    inodes = [inode for _, inode in files]
    at = inodes.index(newest) + 1 if newest in inodes else 0
    with contextlib.ExitStack() as undo:
        fds = []
        for name, inode in files[at:]:
            try:
                fd = os.open(f"{directory}/{name}", os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return None
            undo.callback(os.close, fd)
            if os.fstat(fd).st_ino != inode:
                return None
            fds.append(fd)
        undo.pop_all()
        return fds


def log_size(directory: str) -> int:
    """The bytes of the log, older files of it included; the newest counts once where it is renamed meanwhile."""
    size, seen = 0, set[int]()
    for name, inode in _files(directory):
        with contextlib.suppress(FileNotFoundError):
            if inode not in seen:
                seen.add(inode)
                size += os.stat(f"{directory}/{name}").st_blocks * 512  # noqa: PTH116 - a str
    return size


def _files(directory: str) -> list[tuple[str, int]]:
    """Names and inodes, the oldest first: one look at a small directory, which a rename changes as a whole."""
    found: list[tuple[int, str, int]] = []
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                base, _, number = entry.name.partition(".")
                if base == "log" and (not number or number.isdecimal()) and entry.name != "log.":
                    found.append((int(number or 0), entry.name, entry.inode()))
    except FileNotFoundError:
        return []
    return [(name, inode) for _, name, inode in sorted(found, reverse=True)]


def _available(fd: int) -> Iterator[bytes]:
    while chunk := os.read(fd, _CHUNK):
        yield chunk


def _lines_backwards(fd: int) -> Iterator[tuple[int, bytes]]:
    """(offset of its end, line) from the last one to the first."""
    start, rest = os.fstat(fd).st_size, b""
    while start > 0:
        before = max(0, start - _LOOK_BACK)
        block = os.pread(fd, start - before, before) + rest
        rest, *lines = block.split(b"\n")
        end = before + len(block)
        for line in reversed(lines):
            yield end, line
            end -= len(line) + 1
        start = before
        if len(rest) > _NO_LINE:
            rest = b""
    yield len(rest), rest
