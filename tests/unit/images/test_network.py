"""Connections to registries: where they may lead, what a peer may send, and how they end. Real sockets on loopback."""

from __future__ import annotations

import os
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import httpcore
import httpx
import pytest

from containerlib.errors import RegistryError, Unavailable
from containerlib.images.registry.hosts import is_link_local
from containerlib.images.registry.network import Network
from containerlib.images.registry.retry import Retry
from containerlib.images.registry.session import Scope, Session

ONCE = Retry(attempts=1)
Peer = Callable[[socket.socket], None]


@contextmanager
def peer(serve: Peer) -> Iterator[str]:
    """A server on loopback that reads each request's head and then does as `serve` says. Its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection, suppress(OSError):
                        while connection.recv(65536):
                            serve(connection)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(5)


def body_of(address: str, timeout: float = 5.0) -> bytes:
    with Session(address, retry=ONCE, timeout=timeout) as session:
        with session.send("GET", "/v2/", scope=Scope("app"), what="it") as response:
            return b"".join(response.iter_raw())


def test_body_comes_whole_and_the_connection_is_used_again() -> None:
    data, connections = b"x" * 300_000, set()

    def serve(connection: socket.socket) -> None:
        connections.add(connection.getpeername())
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + data)

    with peer(serve) as address, Session(address, retry=ONCE) as session:
        for _ in range(3):
            with session.send("GET", "/v2/", scope=Scope("app"), what="it") as response:
                assert b"".join(response.iter_raw()) == data
    assert len(connections) == 1


@pytest.mark.parametrize("missing", [0, 1, 12_000_000])
def test_large_body_comes_whole_or_as_an_error(missing: int) -> None:
    data = os.urandom(1 << 20) * 20

    def serve(connection: socket.socket) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(data)}\r\n\r\n".encode()
        connection.sendall(head + data[: len(data) - missing])
        connection.shutdown(socket.SHUT_WR)

    with peer(serve) as address:
        if missing:
            with pytest.raises(httpx.RemoteProtocolError, match=f"{missing} bytes early"):
                body_of(address)
        else:
            assert body_of(address) == data


class Fast(httpcore.NetworkStream):
    """A peer that has sent more than anybody asks for."""

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002 - it waits for nothing
        return bytes(max_bytes)

    def get_extra_info(self, info: str) -> None:  # noqa: ARG002 - it has no socket
        return None


def test_connection_is_read_in_pieces_of_which_many_may_be_in_memory() -> None:
    connection = Network().adopt(Fast())
    connection.answered = True
    assert [len(connection.read(65_536)) for _ in range(3)] == [65_536, 262_144, 262_144]


def test_large_body_in_chunks_comes_whole() -> None:
    data = os.urandom(1 << 20)

    def serve(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(20):
            connection.sendall(b"100000\r\n" + data + b"\r\n")
        connection.sendall(b"0\r\n\r\n")

    with peer(serve) as address:
        assert body_of(address) == data * 20


def test_large_content_in_one_piece_is_not_copied_for_each_packet() -> None:
    """As often as the socket takes a part of it, which would be hours of copying at some size."""
    sent: list[int] = []

    class Takes(_Leads):
        def write(self, buffer: memoryview, _: float | None) -> None:
            sent.append(id(buffer.obj))

    content = bytes(1 << 20)
    Network(backend=Takes("192.0.2.1")).connect_tcp("a.example", 443).write(content)  # type: ignore[arg-type]
    assert sent == [id(content)]


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nA: " + b"a" * 2_000_000,
        b"HTTP/1.1 200 OK\r\n" + b"A: a\r\n" * 400_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 100_000,
        b"HTTP/1.1 200 OK" + b" " * 2_000_000,
    ],
    ids=["one", "many", "interim", "status"],
)
def test_headers_without_an_end_are_refused(head: bytes) -> None:
    with peer(lambda connection: connection.sendall(head)) as address:
        with pytest.raises(RegistryError, match="headers") as caught:
            body_of(address)
    assert caught.value.code == "MALFORMED"


@pytest.mark.parametrize(
    "start",
    [b"", b"HTTP/1.1 200 OK\r\nA: ", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"],
    ids=["at once", "in the headers", "in the body"],
)
def test_byte_now_and_then_is_no_progress(start: bytes) -> None:
    """Each read is quick enough, and all together are not."""

    def trickle(connection: socket.socket) -> None:
        connection.sendall(start)
        for _ in range(200):
            time.sleep(0.02)
            connection.sendall(b"H")

    started = time.monotonic()
    with peer(trickle) as address, pytest.raises((Unavailable, httpx.ReadTimeout), match="fewer than"):
        body_of(address, timeout=0.3)
    assert time.monotonic() - started < 3


def test_peer_that_makes_some_progress_may_take_any_time_in_all() -> None:
    piece = bytes(20 * 1024)

    def serve(connection: socket.socket) -> None:
        connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {10 * len(piece)}\r\n\r\n".encode())
        for _ in range(10):
            time.sleep(0.1)
            connection.sendall(piece)

    with peer(serve) as address:
        assert body_of(address, timeout=0.6) == piece * 10


def test_slow_reader_is_not_the_peers_fault() -> None:
    def serve(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n" + b"abc")
        time.sleep(0.2)
        connection.sendall(b"def")

    with peer(serve) as address, Session(address, retry=ONCE, timeout=0.4) as session:
        with session.send("GET", "/v2/", scope=Scope("app"), what="it") as response:
            chunks = response.iter_raw()
            first = next(chunks)
            time.sleep(0.8)
            assert first + b"".join(chunks) == b"abcdef"


def test_stop_ends_a_request_that_waits_and_every_later_one() -> None:
    arrived, held = threading.Event(), threading.Event()

    def serve(_: socket.socket) -> None:
        arrived.set()
        held.wait(10)

    errors: list[BaseException] = []
    with peer(serve) as address, Session(address, retry=Retry(attempts=3, first_delay=10.0)) as session:

        def ask() -> None:
            try:
                with session.send("GET", "/v2/", scope=Scope("app"), what="it"):
                    raise AssertionError
            except Unavailable as error:
                errors.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        assert arrived.wait(5)
        session.stop()
        thread.join(5)
        ask()
        held.set()
    assert len(errors) == 2


def test_stop_ends_a_handshake_that_waits() -> None:
    arrived, held = threading.Event(), threading.Event()
    errors: list[BaseException] = []
    network = Network()

    def serve(_: socket.socket) -> None:
        arrived.set()
        held.wait(60)

    def ask(host: str, port: int) -> None:
        try:
            network.connect_tcp(host, port).start_tls(ssl.create_default_context(), "a.example", 60.0)
        except httpcore.ConnectError as error:
            errors.append(error)

    with peer(serve) as address:
        host, _, port = address.partition(":")
        thread = threading.Thread(target=ask, args=(host, int(port)))
        thread.start()
        assert arrived.wait(30)
        network.stop()
        thread.join(30)
        held.set()
    assert len(errors) == 1


def test_connection_that_is_dropped_runs_nothing_that_an_interrupt_could_be_lost_in() -> None:
    """An exception in what runs when an object goes, a callback of a weak reference, is printed and forgotten."""
    calls: list[str] = []
    network = Network()
    with peer(lambda _: None) as address:
        host, _, port = address.partition(":")
        connection = network.connect_tcp(host, int(port))
        held = connection.get_extra_info("socket")
        connection.close()
        del connection
        sys.setprofile(lambda frame, event, _: calls.append(f"{event} {frame.f_code.co_name}"))
        del held
        sys.setprofile(None)
    assert [call for call in calls if call.startswith("call")] == []


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("169.254.169.254", True),
        ("169.254.0.1", True),
        ("fe80::1", True),
        ("[fe80::1%25eth0]", True),
        ("::ffff:169.254.169.254", True),
        ("fd00:ec2::254", True),
        ("169.253.0.1", False),
        ("10.0.0.1", False),
        ("::1", False),
        ("fd00::1", False),
        ("example.org", False),
    ],
)
def test_link_local_addresses_are_known_in_every_spelling(address: str, expected: bool) -> None:
    assert is_link_local(address) is expected


class _Leads:
    """A stream that is connected to `address`, whatever was asked for."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.closed = False

    def get_extra_info(self, name: str) -> object:
        return (self.address, 443) if name == "server_addr" else None

    def close(self) -> None:
        self.closed = True

    def connect_tcp(self, *_: object) -> _Leads:
        return self


@pytest.mark.parametrize(
    ("name", "address", "allowed"),
    [
        ("metadata.example", "169.254.169.254", False),
        ("metadata.example", "fe80::1", False),
        ("cdn.example", "192.0.2.1", True),
        ("169.254.7.7", "169.254.7.7", True),
        ("169.254.7.8", "169.254.7.8", False),
    ],
)
def test_name_that_leads_to_a_link_local_address_is_not_asked(name: str, address: str, allowed: bool) -> None:
    leads = _Leads(address)
    network = Network({"169.254.7.7"}, backend=leads)  # type: ignore[arg-type]
    if allowed:
        network.connect_tcp(name, 443)
    else:
        with pytest.raises(RegistryError, match=f"{name} leads to {address}"):
            network.connect_tcp(name, 443)
    assert leads.closed is not allowed
