"""HTTP as registries need it: patient with what passes, careful with who gets credentials.

    with Http(transport=None, retry=Retry()) as http:
        with http.get(url, headers={"Authorization": ...}) as response:
            for chunk in response.iter_raw(): ...

Only this module imports httpx, and only what talks to a registry imports this module.
"""

from __future__ import annotations

import random
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx
from attrs import frozen

from containerlib.errors import RegistryError, Unavailable
from containerlib.images.registry.hosts import is_loopback, origin

__all__ = ["Http", "Retry", "request_line"]

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 5
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
_TIMEOUT = httpx.Timeout(30.0, connect=10.0)
_NOT_TLS = frozenset({"HTTP_REQUEST", "RECORD_LAYER_FAILURE", "WRONG_VERSION_NUMBER"})
_CHECK_DATES = "check this machine's clock, or have the certificate renewed"
_CHECK_NAME = "use a name that the certificate is made for, or have one made for this name"
_TRUST_CA = "install its CA's certificate on this system, or set SSL_CERT_FILE to a PEM file that has it"
_CERTIFICATE_ADVICE = {9: _CHECK_DATES, 10: _CHECK_DATES, 62: _CHECK_NAME, 64: _CHECK_NAME}
"""By OpenSSL's X509_V_ERR: not yet valid, expired, another host's, another address's."""


@frozen
class Retry:
    """`attempts` in all, with pauses that double from `first_delay` up to `max_delay` seconds."""

    attempts: int = 5
    first_delay: float = 0.2
    max_delay: float = 10.0

    def delay(self, attempt: int, retry_after: str = "") -> float:
        """The pause after `attempt` (from 0); as long as the server asks, within `max_delay`."""
        delay = self.first_delay * (1 << attempt) * random.uniform(0.5, 1.0)  # noqa: S311 - spreads clients
        if retry_after.isdecimal():
            delay = max(delay, float(retry_after))
        return min(delay, self.max_delay)


class Http:
    """One client and its connections; safe for several threads at once."""

    def __init__(self, *, transport: httpx.BaseTransport | None = None, retry: Retry, local: bool) -> None:
        self.retry = retry
        self._stopped = threading.Event()
        self._sockets: list[socket.socket] = []
        self._client = httpx.Client(
            transport=transport,
            # The system's certificates, as every other tool here, and those of SSL_CERT_FILE. For a loopback registry
            # too: the token server that it names, and where it redirects to, may be elsewhere.
            verify=ssl.create_default_context(),
            trust_env=not local,  # a loopback registry is not behind a proxy
            timeout=_TIMEOUT,
            headers={"User-Agent": "containerlib", "Accept-Encoding": "identity"},
        )

    def pause(self, attempt: int, retry_after: str = "") -> None:
        """Sleeps before the next attempt; not once it is stopped."""
        self._stopped.wait(self.retry.delay(attempt, retry_after))

    def stop(self) -> None:
        """Makes every request that is under way in another thread fail at once, and every later one too."""
        self._stopped.set()
        for connection in self._sockets:
            with suppress(OSError):  # it is closed already
                socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def _trace(self, event: str, info: Mapping[str, Any]) -> None:
        """httpcore's hook: remembers each connection's socket, for `stop`."""
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self._sockets.append(info["return_value"].get_extra_info("socket"))

    @contextmanager
    def get(self, url: str, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
        """The answer to a GET, its body still to be read: 2xx, or a 4xx for the caller to judge.

        Redirects are followed, without credentials once the host is another. Passing trouble is tried again.

        Raises: Unavailable where no answer can be had; RegistryError for trouble that does not pass.
        """
        response = self._answer(url, headers)
        try:
            yield response
        finally:
            response.close()

    def _answer(self, url: str, headers: Mapping[str, str]) -> httpx.Response:
        for attempt in range(self.retry.attempts):
            if self._stopped.is_set():
                raise Unavailable(f"the request to {urlsplit(url).netloc} was stopped")
            last = attempt == self.retry.attempts - 1
            try:
                response = self._follow(url, headers)
            except httpx.TransportError as error:
                if trouble := _tls_trouble(url, error):
                    raise trouble from error
                if last:
                    raise _unreachable(url, error) from error
                self.pause(attempt)
                continue
            if response.status_code not in _PASSING or last:
                return response
            response.close()
            self.pause(attempt, response.headers.get("Retry-After", ""))
        raise AssertionError("unreachable")

    def _follow(self, url: str, headers: Mapping[str, str]) -> httpx.Response:
        start = origin(url)
        for _ in range(_MAX_REDIRECTS + 1):
            if origin(url) != start:
                headers = {name: value for name, value in headers.items() if name != "Authorization"}
            request = self._client.build_request(
                "GET", url, headers=headers, extensions={"trace": self._trace}
            )
            response = self._client.send(request, stream=True)
            if response.status_code not in _REDIRECTS or "Location" not in response.headers:
                return response
            response.close()
            url = _checked_redirect(url, response.headers["Location"])
        raise RegistryError("too many redirects", code="MALFORMED", request=request_line(url))

    def __enter__(self) -> Http:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()


def request_line(url: str) -> str:
    """The request for an error's text: without the query, where signed URLs have their secrets."""
    parts = urlsplit(url)
    return f"GET {parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _checked_redirect(url: str, location: str) -> str:
    """Where `location` leads. Raises: RegistryError where that would be a step down from TLS."""
    target = urljoin(url, location)
    parts = urlsplit(target)
    plain_allowed = url.startswith("http:") and is_loopback(parts.hostname or "")
    if parts.scheme != "https" and not (parts.scheme == "http" and plain_allowed):
        raise RegistryError(
            f"a redirect to {request_line(target)[4:]!r} was not followed: it is not https",
            code="MALFORMED",
            request=request_line(url),
        )
    return target


def _tls_trouble(url: str, error: httpx.TransportError) -> Unavailable | None:
    """The error for what TLS refuses, which trying again does not change; None for other trouble."""
    cause: BaseException | None = error if isinstance(error, httpx.ConnectError) else None
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__cause__ or cause.__context__  # httpcore links its errors by either
    host = urlsplit(url).netloc
    if isinstance(cause, ssl.SSLCertVerificationError):
        why = cause.verify_message.rstrip(".")
        advice = _CERTIFICATE_ADVICE.get(cause.verify_code, _TRUST_CA)
        return Unavailable(f"the certificate of {host} is not accepted ({why}): {advice}")
    if isinstance(cause, ssl.SSLError) and cause.reason in _NOT_TLS:
        return Unavailable(
            f"{host} does not answer with TLS ({cause.reason}): have it serve https, "
            "as plain HTTP is for a registry on this machine's loopback"
        )
    return None


def _unreachable(url: str, error: httpx.TransportError) -> Unavailable:
    host = urlsplit(url).netloc
    why = str(error) or type(error).__name__
    return Unavailable(
        f"{host} cannot be reached ({why}): check its name, the network and proxy settings, and try again"
    )
