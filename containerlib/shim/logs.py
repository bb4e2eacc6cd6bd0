"""The log of a container, in CRI's format, one record a line:

    2006-01-02T15:04:05.000000000Z stdout F text of a whole line
    2006-01-02T15:04:05.000000000Z stderr P a part, to which the stream's next record belongs

F stands for the newline, P for none, so the bytes that were written can be had back exactly.
"""

from __future__ import annotations

import contextlib
import os
import select
from collections.abc import Iterator
from datetime import datetime
from typing import Literal

from containerlib._sys.native import watch_growth
from containerlib.runtime import Supervisor, connect
from containerlib.spec.status import LogRecord

__all__ = ["LogReader", "read_log", "read_log_bytes"]

Stream = Literal["stdout", "stderr"]
_STREAMS: dict[bytes, Stream] = {b"stdout": "stdout", b"stderr": "stderr"}
_CHUNK = 1 << 16


def read_log(directory: str, *, follow: bool = False, since: datetime | None = None) -> Iterator[LogRecord]:
    """The lines that the container wrote, in order; with `follow` until it ends, as they come.

    A line has the time at which its first part was written, and with `since` it is there if that is not before. A
    last line without a newline is a record too. Text that is not UTF-8 has U+FFFD in its place.
    """
    joiner = _Joiner()
    for chunk in _chunks(directory, follow):
        for record in joiner.feed(chunk):
            if since is None or record.time >= since:
                yield record
    for record in joiner.unfinished():
        if since is None or record.time >= since:
            yield record


def read_log_bytes(directory: str, *, last: int | None = None) -> tuple[bytes, bytes]:
    """All of stdout and of stderr, byte for byte as they were written; with `last`, of the log's last bytes alone."""
    written: dict[Stream, list[bytes]] = {"stdout": [], "stderr": []}
    splitter = _Splitter()
    for chunk in _chunks(directory, follow=False, last=last):
        for line in splitter.feed(chunk):
            if (part := _part(line)) is not None:
                _, stream, whole, content = part
                written[stream] += [content, b"\n"] if whole else [content]
    return b"".join(written["stdout"]), b"".join(written["stderr"])


class LogReader:
    """The log of a container, read on from where the last call stopped. Holds a descriptor until `close`."""

    def __init__(self, directory: str) -> None:
        self._path = f"{directory}/log"
        self._fd = -1
        self._joiner = _Joiner()

    def read(self) -> Iterator[LogRecord]:
        """The lines that came since the last call, and last what is there of one that has no newline yet."""
        if self._fd < 0:
            with contextlib.suppress(FileNotFoundError):
                self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        if self._fd >= 0:
            for chunk in _available(self._fd):
                yield from self._joiner.feed(chunk)
        yield from self._joiner.unfinished()

    def close(self) -> None:
        """Closes the log."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class _Splitter:
    """Chunks of bytes to complete lines."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that are complete with `chunk`, without their newline."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        return lines


class _Joiner:
    """Chunks of the log to records: the parts of a line put together."""

    def __init__(self) -> None:
        self._splitter = _Splitter()
        self._parts: dict[Stream, tuple[datetime, list[bytes]]] = {}

    def feed(self, chunk: bytes) -> Iterator[LogRecord]:
        """The records that are whole with `chunk`."""
        for line in self._splitter.feed(chunk):
            if (part := _part(line)) is None:
                continue
            time, stream, whole, content = part
            began, pieces = self._parts.pop(stream, (time, []))
            pieces.append(content)
            if whole:
                yield _record(began, stream, pieces)
            else:
                self._parts[stream] = (began, pieces)

    def unfinished(self) -> Iterator[LogRecord]:
        """What is there of lines without a newline."""
        for stream, (began, pieces) in self._parts.items():
            yield _record(began, stream, pieces)


def _record(began: datetime, stream: Stream, pieces: list[bytes]) -> LogRecord:
    return LogRecord(began, stream, b"".join(pieces).decode(errors="replace"))


def _part(line: bytes) -> tuple[datetime, Stream, bool, bytes] | None:
    """(time, stream, whole, content) of a line of the log; None where it is no record: a disk was full."""
    fields = line.split(b" ", 3)
    if len(fields) < 4 or fields[1] not in _STREAMS or fields[2] not in (b"F", b"P"):
        return None
    try:
        time = _parse_time(fields[0])
    except ValueError:
        return None
    return time, _STREAMS[fields[1]], fields[2] == b"F", fields[3]


def _parse_time(text: bytes) -> datetime:
    """RFC 3339 with nanoseconds, of which datetime holds the microseconds. strptime takes 20 times as long."""
    return datetime.fromisoformat(text[:26].decode() + "+00:00")


def _chunks(directory: str, follow: bool, *, last: int | None = None) -> Iterator[bytes]:
    """The log's bytes as far as they are there; with `follow` until the container has ended.

    With `last`, no more than so many from its end: the first line may not be whole then, and is no record.
    """
    path = f"{directory}/log"
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, fd)
        if last is not None:
            os.lseek(fd, max(0, os.fstat(fd).st_size - last), os.SEEK_SET)
        if follow and (supervisor := connect(directory)) is not None:
            stack.enter_context(supervisor)
            yield from _growing(path, fd, supervisor)
        yield from _available(fd)


def _available(fd: int) -> Iterator[bytes]:
    while chunk := os.read(fd, _CHUNK):
        yield chunk


def _growing(path: str, fd: int, supervisor: Supervisor) -> Iterator[bytes]:
    """What is written until the container ends; the last bytes may still be there then."""
    growth = watch_growth(path)
    try:
        poll = select.poll()
        poll.register(growth, select.POLLIN)
        poll.register(supervisor.fileno(), select.POLLIN)
        while supervisor.poll() is None:
            yield from _available(fd)
            poll.poll()
            with contextlib.suppress(BlockingIOError):
                os.read(growth, _CHUNK)
    finally:
        os.close(growth)
