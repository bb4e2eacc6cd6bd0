"""The log's bytes to records.

F stands for the newline, P for none, so the bytes that were written can be had back exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Literal

from containerlib.spec.status import LogRecord

__all__ = ["LONGEST_TEXT", "Joiner", "Splitter", "Stream", "parse_part"]

Stream = Literal["stdout", "stderr"]
_STREAMS: dict[bytes, Stream] = {b"stdout": "stdout", b"stderr": "stderr"}
LONGEST_TEXT = 1 << 20
"""Bytes of a line in one record: a longer one is several, all but the last of them `partial`."""
_LONGEST_PART = 1 << 22
"""More than the shim ever writes without a newline: what is longer is no record."""


class Splitter:
    """Chunks of bytes to complete lines. `inside`: the first one has begun before."""

    def __init__(self, *, inside: bool = False) -> None:
        self._rest = b""
        self._is_skipping = inside

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that are complete with `chunk`, without their newline."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if lines and self._is_skipping:
            self._is_skipping = False
            del lines[0]
        if len(self._rest) > _LONGEST_PART:
            self._rest, self._is_skipping = b"", True
        return lines


class Joiner:
    """Chunks of the log to records: the parts of a line put together, as far as one record has them."""

    def __init__(self, *, inside: bool = False) -> None:
        self._splitter = Splitter(inside=inside)
        self._lines: dict[Stream, _Line] = {}

    def feed(self, chunk: bytes) -> Iterator[LogRecord]:
        """The records that are whole with `chunk`."""
        for physical in self._splitter.feed(chunk):
            if (part := parse_part(physical)) is None:
                continue
            time, stream, whole, content = part
            line = self._lines.pop(stream, None) or _Line(time)
            line.add(content)
            while line.size > LONGEST_TEXT:
                yield LogRecord(line.began, stream, _text(line.take()), partial=True)
            if whole:
                yield LogRecord(line.began, stream, _text(line.content))
            else:
                self._lines[stream] = line

    def unfinished(self) -> Iterator[LogRecord]:
        """What is there of lines without a newline."""
        for stream, line in self._lines.items():
            yield LogRecord(line.began, stream, _text(line.content), partial=True)


class _Line:
    """What has come of a line and is in no record yet."""

    def __init__(self, began: datetime) -> None:
        self.began = began
        self.size = 0
        self._pieces: list[bytes] = []

    @property
    def content(self) -> bytes:
        return b"".join(self._pieces)

    def add(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self.size += len(piece)

    def take(self) -> bytes:
        """As much as a record has, but no part of a character."""
        content, end = self.content, LONGEST_TEXT
        while end > LONGEST_TEXT - 4 and content[end] & 0xC0 == 0x80:
            end -= 1
        self._pieces = [content[end:]]
        self.size -= end
        return content[:end]


def _text(content: bytes) -> str:
    return content.decode(errors="replace")


def parse_part(line: bytes) -> tuple[datetime, Stream, bool, bytes] | None:
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
