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
from datetime import UTC, datetime
from typing import Literal

from containerlib._sys.native import watch_growth
from containerlib.runtime import Supervisor, connect
from containerlib.spec.status import LogRecord

__all__ = ["read_log", "read_log_bytes"]

Stream = Literal["stdout", "stderr"]
_STREAMS: dict[bytes, Stream] = {b"stdout": "stdout", b"stderr": "stderr"}
_CHUNK = 1 << 16


def read_log(directory: str, *, follow: bool = False, since: datetime | None = None) -> Iterator[LogRecord]:
    """The lines that the container wrote, in order; with `follow` until it ends, as they come.

    A last line without a newline is a record too. Text that is not UTF-8 has U+FFFD in its place.
    """
    parts: dict[Stream, tuple[datetime, list[bytes]]] = {}
    for time, stream, whole, content in _records(directory, follow):
        began, pieces = parts.pop(stream, (time, []))
        pieces.append(content)
        if not whole:
            parts[stream] = (began, pieces)
        elif since is None or time >= since:
            yield LogRecord(began, stream, b"".join(pieces).decode(errors="replace"))
    for stream, (began, pieces) in parts.items():
        if since is None or began >= since:
            yield LogRecord(began, stream, b"".join(pieces).decode(errors="replace"))


def read_log_bytes(directory: str) -> tuple[bytes, bytes]:
    """All of stdout and of stderr, byte for byte as they were written."""
    written: dict[Stream, list[bytes]] = {"stdout": [], "stderr": []}
    for _, stream, whole, content in _records(directory, follow=False):
        written[stream] += [content, b"\n"] if whole else [content]
    return b"".join(written["stdout"]), b"".join(written["stderr"])


def _records(directory: str, follow: bool) -> Iterator[tuple[datetime, Stream, bool, bytes]]:
    """(time, stream, whole, content); a line that is no record (a disk was full) is passed over."""
    for line in _lines(directory, follow):
        fields = line.split(b" ", 3)
        if len(fields) == 4 and fields[1] in _STREAMS and fields[2] in (b"F", b"P"):
            yield _parse_time(fields[0]), _STREAMS[fields[1]], fields[2] == b"F", fields[3]


def _parse_time(text: bytes) -> datetime:
    """RFC 3339 with nanoseconds, of which datetime holds the microseconds."""
    return datetime.strptime(text[:26].decode(), "%Y-%m-%dT%H:%M:%S.%f").replace(tzinfo=UTC)


def _lines(directory: str, follow: bool) -> Iterator[bytes]:
    """The log's complete lines, without their newline."""
    rest = b""
    for chunk in _chunks(directory, follow):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines


def _chunks(directory: str, follow: bool) -> Iterator[bytes]:
    """The log's bytes as far as they are there; with `follow` until the container has ended."""
    path = f"{directory}/log"
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, fd)
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
