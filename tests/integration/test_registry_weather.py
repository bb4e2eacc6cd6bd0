"""Registry with docker-registry behind a proxy that drops, stalls, lies and refuses, and a token server."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import containerlib as cl
from containerlib.images.registry import blobs
from rig.fault_proxy import FaultProxy, times
from rig.memory import Memory
from rig.registry import Registry
from rig.scripted_server import Answer, Cut, Fault, Request
from rig.token_server import TokenServer

NOISE = os.urandom(3_000_000)
LARGE = os.urandom(40 << 20)


@pytest.fixture
def weather(registry: Registry) -> Iterator[FaultProxy]:
    """What is between us and the registry."""
    with FaultProxy(registry.address) as proxy:
        yield proxy


def of_blobs(request: Request) -> bool:
    return request.is_blob and request.method == "GET"


def changed(**changes: object) -> Fault:
    """An honest answer, but for this."""
    return lambda honest: replace(honest, **changes)  # type: ignore[arg-type]


def flipped(honest: Answer) -> Answer:
    return replace(honest, body=bytes([honest.body[0] ^ 1]) + honest.body[1:])


def shorter(honest: Answer) -> Answer:
    """Truncated by somebody who made the length fit."""
    body = honest.body[:-1]
    return replace(honest, body=body, headers={**honest.headers, "Content-Length": str(len(body))})


PASSING: dict[str, Fault] = {
    "drop": changed(sent=1_000_000),
    "drop at once": changed(sent=0),
    "429": Answer(429, headers={"Retry-After": "0"}),
    "500": Answer(500),
    "502": Answer(502),
    "503": Answer(503),
    "504": Answer(504),
    "408": Answer(408),
    "no answer": Cut(after=0),
}


@pytest.mark.parametrize("name", PASSING)
def test_blob_gets_through_weather_that_passes_and_no_byte_comes_twice(
    name: str, weather: FaultProxy, connect: Callable[..., cl.Registry]
) -> None:
    with connect(weather.address) as client:
        blob = client.push_blob("app", NOISE)
        weather.sent = 0
        weather.fault = times(3, PASSING[name], of_blobs)
        sink = Memory()
        client.fetch("app", blob, sink)
    assert bytes(sink.data) == NOISE
    assert weather.sent == len(NOISE)


def test_blob_from_a_server_that_stalls_goes_on_over_another_connection(
    weather: FaultProxy, connect: Callable[..., cl.Registry]
) -> None:
    held = threading.Event()
    with connect(weather.address, timeout=0.3) as client:
        blob = client.push_blob("app", NOISE)
        weather.fault = times(2, changed(sent=1_000_000, stall=held), of_blobs)
        sink = Memory()
        client.fetch("app", blob, sink)
        held.set()
    assert bytes(sink.data) == NOISE
    ranges = [r.headers.get("Range") for r in weather.requests if of_blobs(r)]
    assert ranges == [None, "bytes=1000000-", "bytes=2000000-"]


def test_registry_that_asks_for_a_pause_gets_it(
    weather: FaultProxy, connect: Callable[..., cl.Registry]
) -> None:
    with connect(weather.address) as client:
        blob = client.push_blob("app", b"data")
        weather.fault = times(1, Answer(429, headers={"Retry-After": "1"}))
        started = time.monotonic()
        assert b"".join(client.blob("app", blob)) == b"data"
    assert time.monotonic() - started >= 1.0


LASTING: dict[str, tuple[Fault, str]] = {
    "wrong range": (changed(status=206, headers={"Content-Range": "bytes 5-6/7"}), "were asked for"),
    "wrong length": (shorter, "should have 3000000 bytes"),
    "too long": (lambda a: replace(a, body=a.body + b"x", headers={}), "should have 3000000 bytes"),
    "wrong digest": (flipped, "other content"),
    "encoded": (changed(headers={"Content-Encoding": "gzip"}), "the encoding 'gzip'"),
    "metadata": (Answer(307, headers={"Location": "https://169.254.169.254/"}), "link-local"),
    "file": (Answer(307, headers={"Location": "file:///etc/passwd"}), "not https"),
    "user": (Answer(307, headers={"Location": "https://a:b@c.example/"}), "user name"),
    "loop": (Answer(307, headers={"Location": "/v2/app/blobs/again"}), "too many redirects"),
    "headers": (Answer(200, b"", {"A": "a" * 300_000}), "headers of a size"),
}


@pytest.mark.parametrize("name", LASTING)
def test_blob_is_refused_by_name_where_the_weather_is_malice(
    name: str, weather: FaultProxy, connect: Callable[..., cl.Registry], tmp_path: Path
) -> None:
    fault, words = LASTING[name]
    with connect(weather.address) as client:
        blob = client.push_blob("app", NOISE)
        weather.fault = lambda request: fault if of_blobs(request) else None
        with pytest.raises(cl.RegistryError, match=words):
            client.save("app", blob, tmp_path / "blob")
    assert not (tmp_path / "blob").exists()
    assert len([r for r in weather.requests if of_blobs(r)]) <= 6


def test_large_blob_over_slow_connections_comes_in_segments(
    weather: FaultProxy, connect: Callable[..., cl.Registry]
) -> None:
    with connect(weather.address) as client:
        blob = client.push_blob("app", LARGE)
        weather.fault = lambda request: changed(pace=20e6) if of_blobs(request) else None
        weather.sent, sink = 0, Memory()
        client.fetch("app", blob, sink)
    assert hashlib.sha256(sink.data).hexdigest() == blob.digest.hex
    assert weather.sent == len(LARGE)
    assert len([r for r in weather.requests if of_blobs(r)]) == len(LARGE) // blobs.SEGMENT


def test_large_blob_over_slow_connections_that_drop_comes_once(
    weather: FaultProxy, connect: Callable[..., cl.Registry]
) -> None:
    with connect(weather.address) as client:
        blob = client.push_blob("app", LARGE)
        dropped = times(6, changed(sent=1_500_000, pace=20e6), of_blobs)
        weather.fault = lambda request: (
            dropped(request) or (changed(pace=40e6) if of_blobs(request) else None)
        )
        weather.sent, sink = 0, Memory()
        client.fetch("app", blob, sink)
    assert hashlib.sha256(sink.data).hexdigest() == blob.digest.hex
    assert weather.sent == len(LARGE)


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_push_gets_through_connections_that_drop(
    method: str, weather: FaultProxy, connect: Callable[..., cl.Registry]
) -> None:
    weather.fault = times(1, Cut(after=1_000_000), lambda r: r.method == method and "uploads" in r.path)
    with connect(weather.address) as client:
        blob = client.push_blob("app", NOISE)
        assert b"".join(client.blob("app", blob)) == NOISE


def test_token_that_is_used_up_in_the_middle_is_renewed(
    registry: Registry, connect: Callable[..., cl.Registry]
) -> None:
    """Each token is good for two requests, and three threads use it up for each other."""
    with connect(registry.address) as client:
        blob = client.push_blob("app", LARGE)
    with TokenServer(uses=2) as tokens, FaultProxy(registry.address, tokens.guard) as proxy:
        proxy.fault = lambda _: lambda honest: replace(honest, pace=40e6)
        with connect(proxy.address) as client:
            sink = Memory()
            client.fetch("app", blob, sink)
    assert bytes(sink.data) == LARGE
    assert len(tokens.asked) >= 5
