"""HTTP as registries need it: patient with what passes, careful with who gets credentials.

    with Http(transport, retry=Retry(), plain=PlainHttp()) as http:
        with http.send("GET", url, {"Authorization": ...}) as response:
            for chunk in response.iter_raw(): ...

What it is asked for and how an answer is understood is the session's (session.py).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urljoin, urlsplit

import httpx

from containerlib.errors import InvalidArgument, RegistryError, Unavailable
from containerlib.images.registry.answers import request_line
from containerlib.images.registry.hosts import PlainHttp, is_link_local, origin, split_url
from containerlib.images.registry.network import Network
from containerlib.images.registry.retry import PASSING, Retry, retry_after
from containerlib.images.registry.tls import tls_trouble

__all__ = ["Body", "Http"]

Body = bytes | Callable[[], Iterable[bytes]]
"""What a request sends: bytes, or what gives them from the start each time that it is called."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SAME_METHOD = frozenset({307, 308})
_MAX_REDIRECTS = 5
_SAFE = frozenset({"GET", "HEAD"})
_IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE"})
_CONNECT_SECONDS = 10.0
_WORK = 10
"""As many times as long may a registry be silent that was sent something: it hashes it, or has it moved elsewhere."""

_HEADERS = {"User-Agent": "containerlib", "Accept": "*/*", "Accept-Encoding": "identity"}


class Http:
    """Requests one by one, without cookies or memory of any kind; safe for several threads at once.

    `plain`: where it may go without TLS. `timeout`: the seconds within which a server has to make some progress
    (network.py).
    """

    def __init__(
        self,
        transport: httpx.BaseTransport,
        *,
        retry: Retry,
        plain: PlainHttp,
        network: Network | None = None,
        timeout: float = 30.0,
    ) -> None:
        self.retry = retry
        self.plain = plain
        self._transport = transport
        self._network = network
        self._stopped = threading.Event()
        connect = min(timeout, _CONNECT_SECONDS)
        self._timeout = httpx.Timeout(timeout, connect=connect, pool=None).as_dict()
        self._patient = {**self._timeout, "read": timeout * _WORK}

    def pause(self, seconds: float) -> None:
        """Sleeps; not once it is stopped."""
        self._stopped.wait(seconds)

    def stop(self) -> None:
        """Makes every request that is under way in another thread fail at once, and every later one too."""
        self._stopped.set()
        if self._network is not None:
            self._network.stop()

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
            request = httpx.Request(
                method,
                url,
                headers={**_HEADERS, **headers},
                content=content() if callable(content) else content,
                extensions={"timeout": self._timeout if method in _SAFE else self._patient},
            )
            response = self._transport.handle_request(request)
            response.request = request
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
            url = self.location(response)
        raise RegistryError("too many redirects", code="MALFORMED", request=request_line(method, url))

    def location(self, response: httpx.Response) -> str:
        """Where an answer's Location leads.

        Raises: RegistryError where there is none, or it would be a step down from TLS, name a user, or lead to a
        link-local address.
        """
        method, url = response.request.method, str(response.request.url)
        try:
            target: str = urljoin(url, response.headers.get("Location", ""))
            parts = split_url(target)
        except (ValueError, InvalidArgument) as error:  # urljoin refuses some of it itself
            raise RegistryError(
                "a redirect was not followed: where it leads is no URL",
                status=response.status_code,
                code="MALFORMED",
                request=request_line(method, url),
            ) from error
        host = parts.hostname or ""
        plain = parts.scheme == "http" and url.startswith("http:") and self.plain.allows(host)
        why = ""
        if "Location" not in response.headers:
            why = "there is no Location"
        elif parts.scheme != "https" and not plain:
            why = "it is not https"
        elif parts.username is not None:
            why = "it has a user name in it"
        elif is_link_local(host) and host != urlsplit(url).hostname:
            why = "it is a link-local address"
        if why:
            raise RegistryError(
                f"a redirect to {request_line(method, target).partition(' ')[2]!r} was not followed: {why}",
                status=response.status_code,
                code="MALFORMED",
                request=request_line(method, url),
            )
        return target

    def close(self) -> None:
        self._transport.close()


def _unreachable(url: str, error: httpx.TransportError) -> Unavailable:
    host = urlsplit(url).netloc
    why = str(error) or type(error).__name__
    return Unavailable(
        f"{host} cannot be reached ({why}): check its name, the network and proxy settings, and try again"
    )
