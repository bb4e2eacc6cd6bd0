"""httpx's requests over httpcore's connections, with a network of our own under them (network.py).

httpx's own transport has no place for such a network, and makes a TLS context, of which each costs 20 ms, before it is
known whether one is needed.
"""

from __future__ import annotations

import ssl
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpcore
import httpx

from containerlib.errors import InvalidArgument, RegistryError, Unsupported
from containerlib.images.registry.answers import request_line
from containerlib.images.registry.network import Connection, Network

__all__ = ["MAX_CONNECTIONS", "Transport"]

MAX_CONNECTIONS = 8
"""At once, to a registry and wherever it redirects to."""

_LARGE_BODY = 8 * 1024 * 1024
_PIECE = 256 * 1024
_IDLE_SECONDS = 15.0
_PROXIES = frozenset({"http", "https", "socks5", "socks5h"})
_TOO_LARGE = 431  # h11's hint for headers beyond its limit


class Transport(httpx.BaseTransport):
    """Connections that are kept. `context` gives the TLS context for a host, when the first is needed."""

    def __init__(
        self, network: Network, context: Callable[[str], ssl.SSLContext], *, proxies: bool = True
    ) -> None:
        self._network = network
        self._context = context
        self._proxies = urllib.request.getproxies() if proxies else {}
        self._pools: dict[tuple[ssl.SSLContext | None, str], httpcore.ConnectionPool] = {}
        self._lock = threading.Lock()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        asked = httpcore.Request(
            method=request.method,
            url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        with _as_httpx(request):
            answer = self._pool(url).handle_request(asked)
        connection = answer.extensions.get("network_stream")
        if isinstance(connection, Connection):
            connection.answered = True
        stream = _Body(request, answer)
        return httpx.Response(
            answer.status,
            headers=answer.headers,
            stream=stream,
            extensions=answer.extensions,
            request=request,
        )

    def close(self) -> None:
        for pool in self._pools.values():
            pool.close()

    def _pool(self, url: httpx.URL) -> httpcore.ConnectionPool:
        """The connections to what `url` is asked of: of one TLS context and one proxy."""
        proxy = self._proxy(url)
        with self._lock:
            context = self._context(url.host) if url.scheme == "https" else None
            key = (context, proxy)
            if key not in self._pools:
                self._pools[key] = self._make_pool(context, proxy)
            return self._pools[key]

    def _proxy(self, url: httpx.URL) -> str:
        proxy = self._proxies.get(url.scheme) or self._proxies.get("all") or ""
        return "" if not proxy or urllib.request.proxy_bypass(url.netloc.decode()) else proxy

    def _make_pool(self, context: ssl.SSLContext | None, proxy: str) -> httpcore.ConnectionPool:
        if not proxy:
            return httpcore.ConnectionPool(
                context,
                max_connections=MAX_CONNECTIONS,
                keepalive_expiry=_IDLE_SECONDS,
                network_backend=self._network,
            )
        return _proxy_pool(_proxy_address(proxy), context, self._network)


def _proxy_address(proxy: str) -> httpx.URL:
    """Raises: InvalidArgument(field="proxy"), without the password that may be in it."""
    try:
        address = httpx.URL(proxy if "://" in proxy else f"http://{proxy}")
    except (httpx.InvalidURL, ValueError):
        address = httpx.URL("")
    if address.scheme not in _PROXIES or not address.host:
        raise InvalidArgument(
            "what the environment names as the proxy is no http, https or socks5 URL: correct HTTPS_PROXY, HTTP_PROXY "
            "or ALL_PROXY, or unset it",
            field="proxy",
        )
    return address


def _proxy_pool(
    address: httpx.URL, context: ssl.SSLContext | None, network: Network
) -> httpcore.ConnectionPool:
    host = network.trust(address.host)
    url = httpcore.URL(scheme=address.raw_scheme, host=host, port=address.port, target=b"/")
    login = (address.username, address.password) if address.username else None
    if address.scheme.startswith("socks"):
        try:
            return httpcore.SOCKSProxy(
                url, login, context, max_connections=MAX_CONNECTIONS, network_backend=network
            )
        except (ImportError, RuntimeError) as error:  # httpcore's way to say that it lacks a package
            raise Unsupported("the proxy speaks SOCKS: install socksio, or use an HTTP proxy") from error
    return httpcore.HTTPProxy(
        url, login, ssl_context=context, max_connections=MAX_CONNECTIONS, network_backend=network
    )


class _Body(httpx.SyncByteStream):
    """An answer's bytes as they come, with httpx's errors."""

    def __init__(self, request: httpx.Request, answer: httpcore.Response) -> None:
        self._request = request
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        connection = self._answer.extensions.get("network_stream")
        length = 0 if self._request.method == "HEAD" else _plain_length(self._answer)
        with _as_httpx(self._request):
            if length < _LARGE_BODY or not isinstance(connection, Connection):
                yield from self._answer.iter_stream()
            else:
                yield from self._past_h11(connection, length)

    def _past_h11(self, connection: Connection, length: int) -> Iterator[bytes]:
        """A large body straight from its connection, which cannot be used again then.

        h11 copies each byte three times under the interpreter's lock: 1.2 s of 500 MB, and 0.2 s this way (measured).
        It gives all that it has in its first piece, so that what follows is on the connection.
        """
        timeout = self._request.extensions["timeout"]["read"]
        pieces = self._answer.iter_stream()  # kept: its end would be the connection's
        first = next(iter(pieces), b"")
        yield first
        left = length - len(first)
        while left > 0:
            data = connection.read(min(left, _PIECE), timeout)
            if not data:
                raise httpcore.RemoteProtocolError(f"the connection was closed {left} bytes early")
            left -= len(data)
            yield data

    def close(self) -> None:
        self._answer.close()


def _plain_length(answer: httpcore.Response) -> int:
    """The body's length where its bytes are on the connection as they are; else 0."""
    headers = {name.lower(): value for name, value in answer.headers}
    if b"transfer-encoding" in headers or answer.status in (204, 304):
        return 0
    return int(headers.get(b"content-length", b"0"))


_KINDS: tuple[tuple[type[Exception], type[httpx.TransportError]], ...] = (
    (httpcore.ConnectTimeout, httpx.ConnectTimeout),
    (httpcore.ReadTimeout, httpx.ReadTimeout),
    (httpcore.TimeoutException, httpx.WriteTimeout),
    (httpcore.ConnectError, httpx.ConnectError),
    (httpcore.ReadError, httpx.ReadError),
    (httpcore.NetworkError, httpx.WriteError),
    (httpcore.ProxyError, httpx.ProxyError),
    (httpcore.ProtocolError, httpx.RemoteProtocolError),
)


@contextmanager
def _as_httpx(request: httpx.Request) -> Iterator[None]:
    try:
        yield
    except (
        httpcore.TimeoutException,
        httpcore.NetworkError,
        httpcore.ProxyError,
        httpcore.ProtocolError,
    ) as error:
        cause = error.__cause__ or error.__context__  # httpcore links its errors by either
        if getattr(cause, "error_status_hint", 0) == _TOO_LARGE:
            raise RegistryError(
                f"{request.url.host} answered with headers of a size that is no honest one",
                code="MALFORMED",
                request=request_line(request.method, str(request.url)),
            ) from error
        kind = next(ours for theirs, ours in _KINDS if isinstance(error, theirs))
        raise kind(str(error), request=request) from error
