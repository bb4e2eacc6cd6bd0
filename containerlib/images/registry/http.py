"""HTTP as registries need it: patient with what passes, careful with who gets credentials.

    with Http(transport=None, retry=Retry(), local=False) as http:
        with http.send("GET", url, {"Authorization": ...}) as response:
            for chunk in response.iter_raw(): ...

What it is asked for and how an answer is understood is the session's (session.py).
"""

from __future__ import annotations

import socket
import ssl
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx

from containerlib.errors import RegistryError, Unavailable
from containerlib.images.registry.answers import request_line
from containerlib.images.registry.hosts import is_loopback, origin
from containerlib.images.registry.retry import PASSING, Retry, retry_after
from containerlib.images.registry.tls import tls_trouble

__all__ = ["Body", "Http", "checked_location"]

Body = bytes | Callable[[], Iterable[bytes]]
"""What a request sends: bytes, or what gives them from the start each time that it is called."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SAME_METHOD = frozenset({307, 308})
_MAX_REDIRECTS = 5
_SAFE = frozenset({"GET", "HEAD"})
_IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE"})
_TIMEOUT = httpx.Timeout(30.0, connect=10.0)


class Http:
    """One client and its connections; safe for several threads at once."""

    def __init__(self, *, transport: httpx.BaseTransport | None = None, retry: Retry, local: bool) -> None:
        self.retry = retry
        self._stopped = threading.Event()
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._client = httpx.Client(
            transport=transport,
            # The system's certificates, as every other tool here, and those of SSL_CERT_FILE. For a loopback registry
            # too: the token server that it names, and where it redirects to, may be elsewhere.
            verify=ssl.create_default_context(),
            trust_env=not local,  # a loopback registry is not behind a proxy
            timeout=_TIMEOUT,
            headers={"User-Agent": "containerlib", "Accept-Encoding": "identity"},
        )

    def pause(self, seconds: float) -> None:
        """Sleeps; not once it is stopped."""
        self._stopped.wait(seconds)

    def stop(self) -> None:
        """Makes every request that is under way in another thread fail at once, and every later one too."""
        self._stopped.set()
        for connection in list(self._sockets):
            with suppress(OSError):  # it is closed already
                socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def _trace(self, event: str, info: Mapping[str, Any]) -> None:
        """httpcore's hook: remembers each connection's socket, for `stop`."""
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self._sockets.add(info["return_value"].get_extra_info("socket"))

    @contextmanager
    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: Body | None = None,
        *,
        repeat: bool | None = None,
        follow: bool = True,
    ) -> Iterator[httpx.Response]:
        """The answer, its body still to be read: whatever it is, once passing trouble has not passed.

        Redirects are followed, unless `follow` says not to, without credentials once the host is another. What is
        idempotent is tried again, or what `repeat` says can be.

        Raises: Unavailable where no answer can be had; RegistryError for a redirect that is not followed.
        """
        again = method in _IDEMPOTENT if repeat is None else repeat
        redirects = _MAX_REDIRECTS if follow else 0
        response = self._answer(method, url, headers, content, again=again, redirects=redirects)
        try:
            yield response
        finally:
            response.close()

    def _answer(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: Body | None,
        *,
        again: bool,
        redirects: int,
    ) -> httpx.Response:
        attempt = 0
        while True:
            if self._stopped.is_set():
                raise Unavailable(f"the request to {urlsplit(url).netloc} was stopped")
            try:
                response = self._follow(method, url, headers, content, redirects)
            except httpx.TransportError as error:
                if trouble := tls_trouble(url, error):
                    raise trouble from error
                delay = self.retry.delay(attempt) if again else None
                if delay is None:
                    raise _unreachable(url, error) from error
            else:
                # Too many requests: this one was turned away unread, and so it can be sent again, whatever it was.
                passing = response.status_code in PASSING if again else response.status_code == 429
                wanted = retry_after(
                    response.headers.get("Retry-After", ""), date=response.headers.get("Date", "")
                )
                delay = self.retry.delay(attempt, wanted) if passing else None
                if delay is None:
                    return response
                response.close()
            self.pause(delay)
            attempt += 1

    def _follow(
        self, method: str, url: str, headers: Mapping[str, str], content: Body | None, redirects: int
    ) -> httpx.Response:
        start = origin(url)
        for _ in range(redirects + 1):
            if origin(url) != start:
                headers = {name: value for name, value in headers.items() if name != "Authorization"}
            request = self._client.build_request(
                method,
                url,
                headers=headers,
                content=content() if callable(content) else content,
                extensions={"trace": self._trace},
            )
            response = self._client.send(request, stream=True)
            if response.status_code not in _REDIRECTS or "Location" not in response.headers:
                return response
            response.close()
            if method not in _SAFE and response.status_code not in _SAME_METHOD:
                raise RegistryError(
                    f"a redirect that makes another request of a {method} was not followed",
                    status=response.status_code,
                    code="MALFORMED",
                    request=request_line(method, url),
                )
            url = checked_location(method, url, response.headers["Location"])
        raise RegistryError("too many redirects", code="MALFORMED", request=request_line(method, url))

    def __enter__(self) -> Http:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()


def checked_location(method: str, url: str, location: str) -> str:
    """Where `location`, in the answer to a request for `url`, leads.

    Raises: RegistryError where that would be a step down from TLS, or names a user.
    """
    target = urljoin(url, location)
    parts = urlsplit(target)
    plain_allowed = url.startswith("http:") and is_loopback(parts.hostname or "")
    why = ""
    if parts.scheme != "https" and not (parts.scheme == "http" and plain_allowed):
        why = "it is not https"
    elif parts.username is not None:
        why = "it has a user name in it"
    if why:
        raise RegistryError(
            f"a redirect to {request_line(method, target).partition(' ')[2]!r} was not followed: {why}",
            code="MALFORMED",
            request=request_line(method, url),
        )
    return target


def _unreachable(url: str, error: httpx.TransportError) -> Unavailable:
    host = urlsplit(url).netloc
    why = str(error) or type(error).__name__
    return Unavailable(
        f"{host} cannot be reached ({why}): check its name, the network and proxy settings, and try again"
    )
