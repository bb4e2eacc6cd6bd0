"""One registry, one identity: every request of the distribution specification goes through here.

    with Session("ghcr.io", credentials) as session:
        pull = Scope("acme/app", "pull")
        with session.send("GET", "/v2/acme/app/manifests/1.0", scope=pull, what="acme/app:1.0",
                          headers={"Accept": ...}) as response:
            data = bounded(response, MAX_DOCUMENT)                    # 2xx; all else was raised as its kind

        push = Scope("acme/app", "pull,push", mount_from="acme/base")
        with session.send("HEAD", f"/v2/acme/app/blobs/{digest}", scope=push, what="the blob",
                          accept=SUCCESS | {404}) as response:        # a 404 is an answer here, not an error
            there = response.is_success

        with session.send("POST", "/v2/acme/app/blobs/uploads/", scope=push, what="an upload") as response:
            upload = session.location(response)                       # checked; may be of another host

        def body() -> Iterator[bytes]: ...                            # gives the bytes from the start at every call
        with session.send("PUT", f"{upload}&digest={digest}", scope=push, what="the blob", content=body,
                          headers={"Content-Length": str(size)}, repeat=False) as response: ...

What it does for every request:

* **Credentials** are shown when the registry asks (401), and only to its own origin. Tokens are kept by scope, renewed
  shortly before they expire, and renewed on a 401 in the middle of things, once for all threads. `content` is asked for
  again then, which is why it is bytes or a callable and never an iterator that can be read once.
* **Retries**: broken connections, 408, 429 and 5xx, with pauses that grow and as long as Retry-After says, for methods
  that are idempotent (GET, HEAD, PUT, DELETE), or as `repeat` says; a 429 always. A body that breaks off while the
  caller reads it is the caller's to go on with (blobs.py).
* **Errors**: an answer that is not in `accept` is raised: 401 and 403 as Unauthorized, 404 as NotFound, 405 as
  Unsupported, others as RegistryError with status and code; where there is no answer it is Unavailable.

Safe for several threads at once. `stop` ends what other threads have under way.

Spec: distribution-spec spec.md; RFC 9110.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType

import httpx

from containerlib.errors import RegistryError, Unavailable
from containerlib.images.registry import challenges
from containerlib.images.registry.answers import failure, request_line
from containerlib.images.registry.challenges import Scope
from containerlib.images.registry.hosts import PlainHttp, host_of, is_loopback, origin, served_by
from containerlib.images.registry.http import Body, Http
from containerlib.images.registry.network import Network
from containerlib.images.registry.retry import Retry
from containerlib.images.registry.tls import Contexts, TlsFiles
from containerlib.images.registry.tokens import Tokens
from containerlib.images.registry.transport import Transport
from containerlib.spec.auth import Auth, Credentials

__all__ = ["SUCCESS", "Given", "Scope", "Session"]

SUCCESS = frozenset(range(200, 300))
_NO_FILES = TlsFiles()

_MAX_LOGINS = 3
"""Of one request: a token may be used up by other threads before it is shown."""


class Given:
    """The same credentials for everything, or none: what `auth=` is."""

    def __init__(self, auth: Auth | None) -> None:
        self._auth = auth

    def get(self, registry: str, repository: str) -> Auth | None:  # noqa: ARG002 - the protocol's
        return self._auth


class Session:
    """`name` is the registry's host[:port], or docker.io.

    Without `credentials` nothing is answered that asks for a login. `tls` has the files of a private CA and of a
    client's certificate. Plain HTTP is for loopback, where `tls` has nothing. `insecure` takes any certificate, and
    plain HTTP where there is no TLS; False wants TLS on loopback too. `token_server` may see the credentials too (see
    realms.py). `timeout`: seconds within which a server has to make some progress. `chosen`: the caller named the
    host, which may then be a link-local address.
    """

    def __init__(
        self,
        name: str,
        credentials: Credentials | None = None,
        *,
        tls: TlsFiles = _NO_FILES,
        insecure: bool | None = None,
        token_server: str = "",
        timeout: float = 30.0,
        transport: httpx.BaseTransport | None = None,
        retry: Retry | None = None,
        chosen: bool = True,
    ) -> None:
        self.name = name
        self.retry = retry or Retry()
        host = host_of(served_by(name))
        local = is_loopback(host) and not tls and insecure is None
        self.base = f"{'http' if local else 'https'}://{served_by(name)}"
        self._probes = insecure is True
        self._lock = threading.Lock()
        network = Network({host} if chosen else ())
        contexts = Contexts(host, tls, insecure=insecure is True)
        self._http = Http(
            # A registry on loopback is not behind a proxy.
            transport or Transport(network, contexts, proxies=not is_loopback(host)),
            retry=self.retry,
            plain=PlainHttp(loopback=local, host=host if insecure else ""),
            network=network,
            timeout=timeout,
        )
        self._anonymous = credentials is None
        self._tokens = Tokens(name, credentials or Given(None), self._http, token_server=token_server)

    @contextmanager
    def send(
        self,
        method: str,
        url_or_path: str,
        *,
        scope: Scope,
        what: str,
        headers: Mapping[str, str] | None = None,
        content: Body | None = None,
        accept: frozenset[int] = SUCCESS,
        repeat: bool | None = None,
    ) -> Iterator[httpx.Response]:
        """The answer, its body still to be read (`iter_raw`); closed at the end of `with`.

        `url_or_path` is a path of this registry ("/v2/..."), or a URL that it gave (`location`), which gets
        credentials only where it is of the registry's own origin. `what` names the subject in errors.

        Raises: NotFound, Unauthorized, Unsupported, Unavailable, RegistryError.
        """
        if self._probes:
            self._probe()
        url = self.base + url_or_path if url_or_path.startswith("/") else url_or_path
        header, logins = self._tokens.current(scope, what) if self._is_ours(url) else "", 0
        while True:
            shown = {**(headers or {}), **({"Authorization": header} if header else {})}
            with self._http.send(method, url, shown, content, repeat=repeat) as response:
                if response.status_code in accept:
                    self._check_encoding(response)
                    yield response
                    return
                refusal = self._failure(what, scope, response)
                asked = self._challenges(response)
            final = logins and (header.startswith("Basic") or challenges.is_insufficient(asked))
            if not asked or final or logins == _MAX_LOGINS:
                raise refusal
            logins += 1
            other = self._tokens.answer(asked, scope, refused=header, what=what)
            if other in ("", header):
                raise refusal
            header = other

    def location(self, response: httpx.Response) -> str:
        """The URL that an answer's Location leads to. Raises: RegistryError where there is none to trust."""
        return self._http.location(response)

    def pause(self, attempt: int) -> None:
        """Waits before a caller's own attempt after `attempt` (from 0)."""
        self.wait(self.retry.delay(attempt) or 0.0)

    def wait(self, seconds: float) -> None:
        """Sleeps; not once it is stopped."""
        self._http.pause(seconds)

    def stop(self) -> None:
        """Makes what other threads have under way fail at once. Nothing can be asked for afterwards."""
        self._http.stop()

    def _is_ours(self, url: str) -> bool:
        return origin(url) == origin(self.base)

    def _challenges(self, response: httpx.Response) -> tuple[challenges.Challenge, ...]:
        """What a 401 asks for. Where a redirect led may not ask for our credentials, nor name a token server."""
        if response.status_code != 401 or self._anonymous or not self._is_ours(str(response.url)):
            return ()
        return challenges.parse_challenges(response.headers.get_list("WWW-Authenticate"))

    def _probe(self) -> None:
        """Finds out whether an insecure registry speaks TLS; if not, it is plain HTTP."""
        with self._lock:
            if self._probes:
                try:
                    with self._http.send("GET", f"{self.base}/v2/", {}, repeat=False):
                        pass
                except Unavailable:
                    self.base = self.base.replace("https:", "http:", 1)
                self._probes = False

    def _failure(self, what: str, scope: Scope, response: httpx.Response) -> Exception:
        return failure(self.name, what, self._tokens.auth(scope), response)

    def _check_encoding(self, response: httpx.Response) -> None:
        """Digests and sizes are those of the bytes as they are, so an encoding was not asked for."""
        encoding = response.headers.get("Content-Encoding", "identity")
        if encoding.lower() != "identity":
            raise RegistryError(
                f"{self.name} sent its answer with the encoding {encoding[:40]!r}, which was not asked for",
                status=response.status_code,
                code="MALFORMED",
                request=request_line(response.request.method, str(response.request.url)),
            )

    def close(self) -> None:
        """Closes its connections."""
        self._http.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
