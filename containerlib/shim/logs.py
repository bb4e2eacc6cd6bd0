"""The log of a container, in CRI's format, one record a line, over the files that it is kept in:

    2006-01-02T15:04:05.000000000Z stdout F text of a whole line
    2006-01-02T15:04:05.000000000Z stderr P a part, to which the stream's next record belongs

Times are the wall clock's, and records in the order in which they were written: a clock that is set back shows, and
`since` and `until` look at each record, wherever it is.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from attrs import frozen

from containerlib._sys.native import watch_growth
from containerlib._sys.steps import Ask, Flow, Ready, waited
from containerlib.runtime import Supervisor, connecting
from containerlib.runtime.connections import patience_of
from containerlib.shim.log_files import LogCursor
from containerlib.shim.log_records import LONGEST_TEXT, Joiner, Splitter, Stream, parse_part
from containerlib.spec.status import LogRecord

__all__ = ["LogReader", "flow_of_log", "read_log", "read_log_bytes"]

_EVENTS = 1 << 16
_STREAM = slice(31, 37)
_TAG = slice(38, 39)
_MICROSECONDS = slice(0, 26)
_LONGEST_WAIT = 1.0


def flow_of_log(
    directory: str,
    *,
    follow: bool = False,
    since: datetime | None = None,
    until: datetime | None = None,
    tail: int | None = None,
    stream: Stream | None = None,
) -> Flow[LogRecord]:
    """The lines that the container wrote, in order; with `follow` until it ends or `until` is over, as they come.

    A line has the time at which its first part was written, and is there if that is from `since` to `until`, both
    included. `tail`: the last so many of those that are there, found from the end. A last line without a newline is a
    record too, and a line of more than a MiB is several: all of these are `partial`. Text that is not UTF-8 has U+FFFD
    in its place.
    """
    wanted = _Wanted(since, until, stream)
    with contextlib.ExitStack() as stack:
        cursor = stack.enter_context(contextlib.closing(LogCursor(directory)))
        left = None if until is None else (until - datetime.now(UTC)).total_seconds()
        supervisor = (yield from connecting(directory, patience=patience_of(left))) if follow else None
        if supervisor is not None:
            stack.enter_context(supervisor)
        if tail is not None:
            cursor.skip_to_last(tail, wanted.counter(), more=LONGEST_TEXT)
        joiner = Joiner(inside=cursor.is_inside)
        there = _records(joiner, cursor.read(newer=False), last=supervisor is None)
        yield from deque(filter(wanted, there), tail) if tail is not None else filter(wanted, there)
        if supervisor is not None:
            for came in _growing(directory, cursor, supervisor, until):
                if isinstance(came, Ask):
                    yield came
                else:
                    yield from filter(wanted, joiner.feed(came))
            yield from filter(wanted, joiner.unfinished())


def _records(joiner: Joiner, chunks: Iterator[bytes], *, last: bool) -> Iterator[LogRecord]:
    for chunk in chunks:
        yield from joiner.feed(chunk)
    if last:
        yield from joiner.unfinished()


read_log = waited(flow_of_log)
"""The records of `flow_of_log`, waited for here."""


def read_log_bytes(directory: str, *, last: int | None = None) -> tuple[bytes, bytes]:
    """All of stdout and of stderr, byte for byte as they were written; with `last`, of the log's last bytes alone."""
    written: dict[Stream, list[bytes]] = {"stdout": [], "stderr": []}
    with contextlib.closing(LogCursor(directory)) as cursor:
        if last is not None:
            cursor.skip_to_last_bytes(last)
        splitter = Splitter(inside=cursor.is_inside)
        for chunk in cursor.read(newer=False):
            for line in splitter.feed(chunk):
                if (part := parse_part(line)) is not None:
                    _, stream, whole, content = part
                    written[stream] += [content, b"\n"] if whole else [content]
    return b"".join(written["stdout"]), b"".join(written["stderr"])


class LogReader:
    """The log of a container, read on from where the last call stopped. Holds descriptors until `close`."""

    def __init__(self, directory: str) -> None:
        self._cursor = LogCursor(directory)
        self._joiner = Joiner()

    def read(self) -> Iterator[LogRecord]:
        """The lines that came since the last call, and last what is there of one that has no newline yet."""
        for chunk in self._cursor.read():
            yield from self._joiner.feed(chunk)
        yield from self._joiner.unfinished()

    def close(self) -> None:
        """Closes the log."""
        self._cursor.close()


@frozen
class _Wanted:
    """Which records are asked for; called with one, whether it is."""

    since: datetime | None
    until: datetime | None
    stream: Stream | None

    def __call__(self, record: LogRecord) -> bool:
        return (
            (self.since is None or record.time >= self.since)
            and (self.until is None or record.time <= self.until)
            and (self.stream is None or record.stream == self.stream)
        )

    def counter(self) -> Callable[[bytes], bool]:
        """Whether a line of the file ends such a record: told without making one of it."""
        first = None if self.since is None else _in_utc(self.since)
        last = None if self.until is None else _in_utc(self.until)
        stream = self.stream and self.stream.encode()

        def counts(line: bytes) -> bool:
            return (
                line[_TAG] == b"F"
                and (stream is None or line[_STREAM] == stream)
                and (first is None or line[_MICROSECONDS] >= first)
                and (last is None or line[_MICROSECONDS] <= last)
            )

        return counts


def _in_utc(moment: datetime) -> bytes:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f").encode()


def _is_over(until: datetime | None) -> bool:
    return until is not None and datetime.now(UTC) > until


def _growing(
    directory: str, cursor: LogCursor, supervisor: Supervisor, until: datetime | None
) -> Flow[bytes]:
    """What is written until the container ends; the last bytes may still be there then."""
    growth = watch_growth(directory)
    try:
        while supervisor.poll() is None:
            for chunk in cursor.read():  # without an end, where the program writes faster than this reads
                yield chunk
                if _is_over(until):
                    return
            if _is_over(until):
                return
            # The clock may be set meanwhile.
            yield Ready((growth, supervisor.fileno()), timeout=None if until is None else _LONGEST_WAIT)
            with contextlib.suppress(BlockingIOError):
                os.read(growth, _EVENTS)
        yield from cursor.read()
    finally:
        os.close(growth)
