"""One blob from one place, in order, over as many connections as it takes.

    connection 1   [segment 0]  fast? the rest in one request, as another connection would bring nothing
                                not? [1]      [4]   ...
    connection 2                     [2]    [5]     ...      what comes before its turn waits in the sink
    connection 3                     [3]      [6]   ...
    sink           0 ........... 1 .. 2 .. 3 .. 4 ..

The reader of the sink follows it from the start, so segments are asked for in the order in which they are needed. A
connection that breaks is followed by another that goes on at the byte where it was: none is downloaded twice.

Spec: distribution-spec spec.md#pulling-blobs; RFC 9110 section 14.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from typing import Protocol

import httpx
from attrs import frozen

from containerlib.errors import RegistryError
from containerlib.images.registry.answers import request_line
from containerlib.images.registry.session import Scope, Session

__all__ = ["Blob", "Sink", "download"]

CONNECTIONS = 3
"""For one blob, where one connection is slow."""

SEGMENT = 4 * 1024 * 1024
PARALLEL_FROM = 32 * 1024 * 1024
FAST = 50_000_000
"""Bytes a second that one connection gives when it is asked, from which on others bring little: several blobs come at
once, and a registry sends a range at twice the cost of a whole blob (measured)."""

_PROGRESS = 1024 * 1024
"""A download that broke off after less than this has failed once more; after more, for the first time."""

_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.ASCII)


class Sink(Protocol):
    """Where a blob's bytes go, from several threads one at a time."""

    @property
    def written(self) -> int: ...
    def write(self, chunk: bytes) -> None:
        """What comes next."""

    def write_ahead(self, position: int, chunk: bytes) -> None:
        """What will come at `position`, which is beyond what is written."""

    def take(self, end: int) -> None:
        """What was written ahead comes next, up to `end`."""

    def check(self) -> object:
        """Raises: RegistryError where what was written is not the blob."""

    def restart(self) -> None:
        """Forgets what was written: it was not the blob."""


@frozen
class Blob:
    """`size` bytes that `session` has at `path`, or at a URL; `what` names them in errors."""

    session: Session
    path: str
    scope: Scope
    size: int
    what: str

    def read(self, start: int, end: int, *, part: bool = False) -> Generator[bytes, None, None]:
        """The bytes from `start` to `end`, or to the blob's end where the registry does not know ranges.

        `part`: the registry does know them, and more is not wanted.

        Raises: RegistryError where it breaks off time and again, or is not what was promised; what `send` raises.
        """
        position, failures, trouble = start, 0, "the connection was closed early"
        while position < end:
            before = position
            try:
                with self._answer(position, end, part) as (limit, chunks):
                    end = limit if limit == self.size else end
                    for chunk in chunks:
                        position += len(chunk)
                        yield chunk
            except httpx.TransportError as error:
                trouble = str(error) or type(error).__name__
            if position < end:
                failures = 1 if position - before >= _PROGRESS else failures + 1
                if failures >= self.session.retry.attempts:
                    raise self._refused(
                        f"broke off at {position} of {self.size} bytes, {failures} times ({trouble})"
                    )
                self.session.pause(failures - 1)

    @contextmanager
    def _answer(self, start: int, end: int, part: bool) -> Iterator[tuple[int, Iterator[bytes]]]:
        """One request: where its bytes, from `start` on, will end, and the bytes."""
        headers = {}
        if start or end < self.size:
            headers["Range"] = f"bytes={start}-{end - 1 if end < self.size else ''}"
        with self.session.send(
            "GET", self.path, scope=self.scope, what=self.what, headers=headers
        ) as response:
            if response.status_code == 206:
                first, end = start, self._range_end(response, start, end)
            elif part:
                raise self._refused("comes in ranges, and now it does not", code="MALFORMED")
            else:
                first, end = 0, self.size
            length = response.headers.get("Content-Length", "")
            if length and int(length) != end - first:
                raise self._refused(f"should have {end - first} bytes, and the answer says {int(length)}")
            yield end, self._bounded(response, start - first, end - start)

    def _range_end(self, response: httpx.Response, start: int, end: int) -> int:
        """Where a 206 ends, which may be earlier than what was asked for."""
        value = response.headers.get("Content-Range", "")
        match = _CONTENT_RANGE.fullmatch(value)
        first, last, total = match.groups() if match else ("-1", "-1", "")
        if int(first) != start or not start <= int(last) < end or total not in ("*", str(self.size)):
            raise self._refused(
                f"has {self.size} bytes, {start} to {end - 1} were asked for, and the answer is {value[:80]!r}",
                code="MALFORMED",
            )
        return int(last) + 1

    def _bounded(self, response: httpx.Response, skip: int, length: int) -> Iterator[bytes]:
        """`length` bytes of the body after `skip`. Raises: RegistryError where there are more."""
        for chunk in response.iter_raw():
            fresh = chunk[skip:] if skip else chunk
            skip -= len(chunk) - len(fresh)
            length -= len(fresh)
            if length < 0:
                raise self._refused(f"has {self.size} bytes, and more came")
            if fresh:
                yield fresh

    def _refused(self, why: str, code: str = "SIZE_INVALID") -> RegistryError:
        url = self.session.base + self.path if self.path.startswith("/") else self.path
        return RegistryError(f"{self.what} {why}: try again", code=code, request=request_line("GET", url))


def download(blob: Blob, sink: Sink) -> None:
    """Writes the blob into `sink` from where that is, and has it checked; other bytes do not stay there.

    Where these began at another place, that one may have to answer for them, so this one is asked for all of them.

    Raises: NotFound, Unauthorized, Unavailable, RegistryError; what the sink raises.
    """
    start = sink.written
    _download(blob, sink)
    try:
        sink.check()
    except RegistryError:
        sink.restart()
        if not start:
            raise
        download(blob, sink)


def _download(blob: Blob, sink: Sink) -> None:
    if blob.size - sink.written >= PARALLEL_FROM:
        slow = _copy(blob, sink, sink.written + SEGMENT) > SEGMENT / FAST
        if slow and sink.written < blob.size:
            _InOrder(blob, sink).run()
    _copy(blob, sink, blob.size)


def _copy(blob: Blob, sink: Sink, end: int) -> float:
    """Returns the seconds in which the network was waited for, and not the sink or the processor."""
    waited, asked = 0.0, time.monotonic()
    with closing(blob.read(sink.written, end)) as chunks:
        for chunk in chunks:
            waited += time.monotonic() - asked
            sink.write(chunk)
            asked = time.monotonic()
    return waited


class _InOrder:
    """What is left of a blob in segments, by several threads, each written when it is its turn."""

    def __init__(self, blob: Blob, sink: Sink) -> None:
        self._blob = blob
        self._sink = sink
        self._starts = range(sink.written, blob.size, SEGMENT)
        self._changed = threading.Condition()
        self._taken = 0
        self._turn = 0
        self._ends = list(self._starts)
        """Up to where each segment has come."""
        self._error: BaseException | None = None

    def run(self) -> None:
        """Blocks until all is written. What one thread meets ends all of them, at their next bytes."""
        for i in range(CONNECTIONS - 1):
            threading.Thread(target=self._work, name=f"containerlib-range-{i}", daemon=True).start()
        self._work()
        with self._changed:
            self._changed.wait_for(lambda: self._error or self._turn == len(self._starts))
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        try:
            while (number := self._take()) is not None:
                with closing(self._blob.read(self._starts[number], self._end(number), part=True)) as chunks:
                    for chunk in chunks:
                        self._put(number, chunk)
        except BaseException as error:  # raised again where they are waited for
            with self._changed:
                self._error = self._error or error
                self._changed.notify_all()

    def _take(self) -> int | None:
        """The next segment that nobody is at, once it is not too far ahead; None when there is no other."""
        with self._changed:
            self._changed.wait_for(lambda: self._error or self._taken < self._turn + CONNECTIONS)
            if self._error is not None or self._taken == len(self._starts):
                return None
            self._taken += 1
            return self._taken - 1

    def _put(self, number: int, chunk: bytes) -> None:
        with self._changed:
            if self._error is not None:
                raise self._error
            if number == self._turn:
                self._sink.write(chunk)
            else:
                self._sink.write_ahead(self._ends[number], chunk)
            self._ends[number] += len(chunk)
            while self._turn < len(self._starts) and self._ends[self._turn] == self._end(self._turn):
                self._turn += 1
                if self._turn < len(self._starts):
                    self._sink.take(self._ends[self._turn])
                self._changed.notify_all()

    def _end(self, number: int) -> int:
        return min(self._starts[number] + SEGMENT, self._blob.size)
