"""Sockets to registries: who is reached, how long nothing may come, and an end to all of them at once.

A peer is hostile until its certificate and the digests say otherwise, so what each read may cost is settled here, below
HTTP: a server that sends a byte now and then, or headers without an end, is cut off.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
import weakref
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from typing import Any

import httpcore

from containerlib.errors import RegistryError, Unavailable
from containerlib.images.registry.hosts import is_link_local

__all__ = ["Connection", "Network"]

PROGRESS = 16 * 1024
"""Bytes that must come within each read timeout, as the sum of the time that was spent waiting."""

_MAX_HEAD = 512 * 1024
"""Of what comes between a request and the end of its answer's headers, interim answers included."""

_SMALL_READ = 64 * 1024
_LARGE_READ = 256 * 1024
"""h11 costs as much for each read as for its bytes, and has three copies of these for a moment: with 1 MiB for each of
eight connections a pull grew by 40 MiB more, most of it what malloc kept of them (measured)."""


class Network(httpcore.NetworkBackend):
    """Connections by TCP. `named`: the hosts that the caller chose, which alone may be link-local addresses."""

    def __init__(self, named: Iterable[str] = (), backend: httpcore.NetworkBackend | None = None) -> None:
        self._named = frozenset(named)
        self._backend = backend or httpcore.SyncBackend()
        # No WeakSet: an interrupt that comes in its callback, when a socket is dropped, is reported and lost.
        self._open: list[weakref.ref[socket.socket]] = []
        self._lock = threading.Lock()
        self._stopped = False

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> Connection:
        """Raises: RegistryError where a name leads to a link-local address; Unavailable once it is stopped."""
        stream = self._backend.connect_tcp(host, port, timeout, local_address, socket_options)
        try:
            address = str(stream.get_extra_info("server_addr")[0])
            if is_link_local(address) and host not in self._named:
                raise RegistryError(
                    f"{host} leads to {address}, a link-local address, where no registry is but this machine's own "
                    "services are: it was not asked",
                    code="MALFORMED",
                )
            return self.adopt(stream)
        except BaseException:
            stream.close()
            raise

    def trust(self, host: str) -> str:
        """`host`, which the caller's environment names as its proxy."""
        self._named |= {host}
        return host

    def adopt(self, stream: httpcore.NetworkStream) -> Connection:
        """`stream` with its limits, to be ended by `stop`."""
        self.watch(stream.get_extra_info("socket"))
        return Connection(stream, self)

    def watch(self, connection: socket.socket | None) -> None:
        """`stop` ends this one too. Raises: Unavailable once it is stopped."""
        with self._lock:
            if self._stopped:
                raise Unavailable("the requests to this registry were stopped")
            if connection is not None:
                alive = [each for each in self._open if each() is not None]
                self._open = [*alive, weakref.ref(connection)]

    def stop(self) -> None:
        """Ends every connection, whatever another thread does with it, and makes no other."""
        with self._lock:
            self._stopped = True
            for each in self._open:
                if (connection := each()) is not None:
                    with suppress(OSError):  # it is closed already
                        socket.socket.shutdown(connection, socket.SHUT_RDWR)


class Connection(httpcore.NetworkStream):
    """One connection. `answered` is set once an answer's headers have come: from then on any number of bytes may."""

    def __init__(self, stream: httpcore.NetworkStream, network: Network) -> None:
        self._stream = stream
        self._network = network
        self._waited = 0.0
        self._came = 0
        self._head = 0
        self._size = _SMALL_READ
        self.answered = False

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Some bytes, more than `max_bytes` where more have been coming than that.

        Raises: httpcore.ReadTimeout where too few come; RegistryError for headers without an end.
        """
        if not self.answered and self._head > _MAX_HEAD:
            raise RegistryError(f"more than {_MAX_HEAD} bytes of headers came", code="MALFORMED")
        started = time.monotonic()
        left = None if timeout is None else max(timeout - self._waited, 0.001)
        try:
            data = self._stream.read(max(max_bytes, self._size), left)
        except httpcore.ReadTimeout as error:
            raise httpcore.ReadTimeout(f"fewer than {PROGRESS} bytes came in {timeout} seconds") from error
        self._waited += time.monotonic() - started
        self._came += len(data)
        self._head += len(data)
        if self._came >= PROGRESS:
            self._waited = self._came = 0
        self._size = _LARGE_READ if len(data) >= _SMALL_READ else _SMALL_READ
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._waited = self._came = self._head = 0
        self.answered = False
        # A view, because httpcore cuts off what has been sent each time: of bytes that would be a copy.
        self._stream.write(memoryview(buffer), timeout)  # type: ignore[arg-type]

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> Connection:
        connection = self.get_extra_info("socket")
        with ExitStack() as stack:
            if connection is not None and not isinstance(connection, ssl.SSLSocket):
                # the handshake takes the descriptor away from that socket: who stops it needs another
                self._network.watch(stack.enter_context(connection.dup()))
            return self._network.adopt(self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
