"""Blobs in ranges: what is asked for, what is refused, and that no byte comes twice. The transport is passed in."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from containerlib.errors import NotFound, RegistryError
from containerlib.images.registry import blobs
from containerlib.images.registry.blobs import Blob, download
from containerlib.images.registry.retry import Retry
from containerlib.images.registry.session import Scope, Session
from rig.memory import Memory
from rig.mock_server import MockServer

DATA = os.urandom(5 * blobs.SEGMENT + 12345)
LARGE = DATA * 2
QUICK = Retry(attempts=3, first_delay=0.0)


def span(request: httpx.Request, size: int) -> tuple[int, int]:
    """What the request asks for, the end excluded."""
    first, _, last = request.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
    return int(first), int(last) + 1 if last else size


def honest(data: bytes, pace: Callable[[httpx.Request], None] = lambda _: None) -> MockServer:
    def serve(request: httpx.Request) -> httpx.Response:
        pace(request)
        first, end = span(request, len(data))
        if "Range" not in request.headers:
            return httpx.Response(200, content=data)
        content_range = f"bytes {first}-{end - 1}/{len(data)}"
        return httpx.Response(206, headers={"Content-Range": content_range}, content=data[first:end])

    return MockServer(serve)


def fetch(server: MockServer, size: int, sink: Memory | None = None) -> bytes:
    sink = sink or Memory()
    with Session("registry.example", transport=server.transport, retry=QUICK) as session:
        download(Blob(session, "/v2/app/blobs/x", Scope("app"), size, "the blob x"), sink)
    return bytes(sink.data)


def spans(server: MockServer, size: int) -> list[tuple[int, int]]:
    return [span(request, size) for request in server.requests]


def assert_once(server: MockServer, size: int) -> None:
    """Every byte was asked for, and none twice."""
    ends = [0]
    for first, end in sorted(spans(server, size)):
        assert first == ends[-1]
        ends.append(end)
    assert ends[-1] == size


def test_small_blob_is_one_request_without_a_range() -> None:
    server = honest(DATA)
    assert fetch(server, len(DATA)) == DATA
    assert ["Range" in request.headers for request in server.requests] == [False]


def test_empty_blob_is_no_request() -> None:
    server = honest(b"")
    assert fetch(server, 0) == b""
    assert not server.requests


def test_what_is_there_is_not_asked_for() -> None:
    server = honest(DATA)
    assert fetch(server, len(DATA), Memory(DATA[:1000])) == DATA
    assert [request.headers["Range"] for request in server.requests] == ["bytes=1000-"]


def test_large_blob_over_a_fast_connection_is_one_segment_and_the_rest() -> None:
    server = honest(LARGE)
    assert fetch(server, len(LARGE)) == LARGE
    assert spans(server, len(LARGE)) == [(0, blobs.SEGMENT), (blobs.SEGMENT, len(LARGE))]


def test_large_blob_for_a_slow_sink_comes_in_two_requests() -> None:
    """Other connections would only have more wait for it."""

    class Slow(Memory):
        def write(self, chunk: bytes) -> None:
            if self.written < blobs.SEGMENT:
                time.sleep(2 * len(chunk) / blobs.FAST)
            super().write(chunk)

    server = honest(LARGE)
    assert fetch(server, len(LARGE), Slow()) == LARGE
    assert spans(server, len(LARGE)) == [(0, blobs.SEGMENT), (blobs.SEGMENT, len(LARGE))]


def slow(_: httpx.Request) -> None:
    time.sleep(1.5 * blobs.SEGMENT / blobs.FAST)


def test_large_blob_over_a_slow_connection_comes_in_segments_at_once() -> None:
    running, most, lock = [0], [0], threading.Lock()

    def pace(request: httpx.Request) -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        slow(request)
        with lock:
            running[0] -= 1

    server = honest(LARGE, pace)
    assert fetch(server, len(LARGE)) == LARGE
    assert_once(server, len(LARGE))
    assert most[0] == blobs.CONNECTIONS
    assert len(server.requests) == -(-len(LARGE) // blobs.SEGMENT)


def test_segments_are_asked_for_no_further_ahead_than_there_are_connections() -> None:
    """The first of them is late, and the sink holds what comes before its turn."""
    late, asked = threading.Event(), []

    def pace(request: httpx.Request) -> None:
        first, _ = span(request, len(LARGE))
        asked.append(first // blobs.SEGMENT)
        slow(request)
        if first == blobs.SEGMENT:
            time.sleep(0.3)
            asked.append("late")
            late.set()

    server = honest(LARGE, pace)
    assert fetch(server, len(LARGE)) == LARGE
    assert late.is_set()
    before = asked[: asked.index("late")]
    assert max(number for number in before if isinstance(number, int)) <= blobs.CONNECTIONS


def test_segments_before_their_turn_wait_in_the_sink() -> None:
    others = threading.Semaphore(0)

    def pace(request: httpx.Request) -> None:
        first, _ = span(request, len(LARGE))
        if first == 0:
            time.sleep(1.1 * blobs.SEGMENT / blobs.FAST)
        elif first == blobs.SEGMENT:  # whose turn it is
            for _ in range(blobs.CONNECTIONS - 1):
                assert others.acquire(timeout=10)

    class Watched(Memory):
        ahead = 0

        def write_ahead(self, position: int, chunk: bytes) -> None:
            super().write_ahead(position, chunk)
            self.ahead += len(chunk)
            if self.ahead % blobs.SEGMENT == 0:
                others.release()

    sink = Watched()
    assert fetch(honest(LARGE, pace), len(LARGE), sink) == LARGE
    assert sink.ahead >= (blobs.CONNECTIONS - 1) * blobs.SEGMENT


def test_segment_that_breaks_off_goes_on_where_it_was() -> None:
    broken = []

    def serve(request: httpx.Request) -> httpx.Response:
        slow(request)
        first, end = span(request, len(LARGE))
        headers = {
            "Content-Range": f"bytes {first}-{end - 1}/{len(LARGE)}",
            "Content-Length": str(end - first),
        }
        if first == 2 * blobs.SEGMENT and not broken:
            broken.append(first)
            return httpx.Response(206, headers=headers, content=Breaks(LARGE[first : first + 777]))
        return httpx.Response(206, headers=headers, content=LARGE[first:end])

    server = MockServer(serve)
    assert fetch(server, len(LARGE)) == LARGE
    assert broken
    assert (2 * blobs.SEGMENT + 777, 3 * blobs.SEGMENT) in spans(server, len(LARGE))


class Breaks(httpx.SyncByteStream):
    """A body that breaks off."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __iter__(self) -> Iterator[bytes]:
        yield self._data
        raise httpx.ReadError("connection reset")


def test_server_that_ignores_ranges_is_asked_once() -> None:
    server = MockServer(lambda _: httpx.Response(200, content=LARGE))
    assert fetch(server, len(LARGE)) == LARGE
    assert len(server.requests) == 1


def test_server_that_ignores_ranges_later_is_refused() -> None:
    def serve(request: httpx.Request) -> httpx.Response:
        slow(request)
        first, end = span(request, len(LARGE))
        if first:
            return httpx.Response(200, content=LARGE)
        content_range = f"bytes 0-{end - 1}/{len(LARGE)}"
        return httpx.Response(206, headers={"Content-Range": content_range}, content=LARGE[:end])

    with pytest.raises(RegistryError, match="comes in ranges, and now it does not"):
        fetch(MockServer(serve), len(LARGE))


def test_shorter_range_than_asked_for_is_gone_on_from() -> None:
    def serve(request: httpx.Request) -> httpx.Response:
        first, end = span(request, len(DATA))
        end = min(end, first + 3_000_000)
        content_range = f"bytes {first}-{end - 1}/*"
        return httpx.Response(206, headers={"Content-Range": content_range}, content=DATA[first:end])

    server = MockServer(serve)
    assert fetch(server, len(DATA), Memory(DATA[:1])) == DATA
    assert len(server.requests) == 7


@pytest.mark.parametrize(
    "content_range",
    [
        "",
        "bytes 0-9/{size}",
        "bytes 1001-{last}/{size}",
        "bytes 999-{last}/{size}",
        "bytes 1000-{size}/{size}",
        "bytes 1000-{last}/7",
        "bytes 1000-999/{size}",
        "bytes */{size}",
        "items 1000-{last}/{size}",
        "bytes 1000-{last}/{size}, bytes 0-1/2",
        "bytes " + "9" * 5000 + "-1/1",
    ],
)
def test_wrong_content_range_is_refused(content_range: str) -> None:
    headers = {"Content-Range": content_range.format(size=len(DATA), last=len(DATA) - 1)}
    server = MockServer(lambda _: httpx.Response(206, headers=headers, content=DATA[1000:]))
    sink = Memory(DATA[:1000])
    with pytest.raises(RegistryError, match="were asked for") as caught:
        fetch(server, len(DATA), sink)
    assert caught.value.code == "MALFORMED"
    assert sink.written == 1000
    assert len(server.requests) == 1


@pytest.mark.parametrize("size", [len(DATA) - 1, len(DATA) + 1])
def test_wrong_content_length_is_refused_before_a_byte_is_read(size: int) -> None:
    server, sink = MockServer(lambda _: httpx.Response(200, content=DATA)), Memory()
    with pytest.raises(RegistryError, match=f"should have {size} bytes") as caught:
        fetch(server, size, sink)
    assert caught.value.code == "SIZE_INVALID"
    assert sink.written == 0


class Endless(httpx.SyncByteStream):
    """A body without a length and without an end."""

    def __init__(self) -> None:
        self.given = 0

    def __iter__(self) -> Iterator[bytes]:
        while True:
            self.given += 65536
            yield bytes(65536)


def test_body_without_an_end_is_refused_where_it_should_end() -> None:
    body = Endless()
    server = MockServer(lambda _: httpx.Response(200, content=body))
    sink = Memory()
    with pytest.raises(RegistryError, match="and more came"):
        fetch(server, 1_000_000, sink)
    assert body.given < 1_200_000
    assert sink.written <= 1_000_000


def test_error_of_the_sink_ends_every_connection() -> None:
    class Full(Memory):
        def write(self, chunk: bytes) -> None:
            if self.written > 2 * blobs.SEGMENT:
                raise InterruptedError("no longer wanted")
            super().write(chunk)

    server = honest(LARGE, slow)
    with pytest.raises(InterruptedError):
        fetch(server, len(LARGE), Full())
    for thread in threading.enumerate():
        if thread.name.startswith("containerlib-range"):
            thread.join(30)
            assert not thread.is_alive()
    assert len(server.requests) < 2 + 2 * blobs.CONNECTIONS


def test_error_of_one_connection_ends_the_others_at_their_next_bytes() -> None:
    """The third segment would go on for as long as it is read."""
    read, failed = [0], threading.Event()

    def endless(size: int) -> Iterator[bytes]:
        while read[0] < size:
            failed.wait(10)
            read[0] += 1
            yield b"x"

    def serve(request: httpx.Request) -> httpx.Response:
        slow(request)
        first, end = span(request, len(LARGE))
        headers = {"Content-Range": f"bytes {first}-{end - 1}/{len(LARGE)}"}
        if first == blobs.SEGMENT:
            failed.set()
            return httpx.Response(404)
        content = endless(end - first) if first == 2 * blobs.SEGMENT else LARGE[first:end]
        return httpx.Response(206, headers=headers, content=content)

    with pytest.raises(NotFound):
        fetch(MockServer(serve), len(LARGE))
    for thread in threading.enumerate():
        if thread.name.startswith("containerlib-range"):
            thread.join(30)
            assert not thread.is_alive()
    assert read[0] < 1000


def test_blob_that_breaks_off_time_and_again_is_given_up() -> None:
    def serve(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"Content-Length": "100"}, content=Breaks(b""))

    server = MockServer(serve)
    with pytest.raises(RegistryError, match=r"broke off at 0 of 100 bytes, 3 times \(connection reset\)"):
        fetch(server, 100)
    assert len(server.requests) == 3
