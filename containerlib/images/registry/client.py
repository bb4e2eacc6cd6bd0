"""One registry: the pull half of the distribution specification.

    with Registry("docker.io", auth=None) as registry:
        data, media_type = registry.manifest(reference)
        registry.blob(repository, descriptor, ingest)

Spec: distribution-spec spec.md#pull.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

import httpx

from containerlib.errors import InvalidArgument, NotFound, RegistryError, Unauthorized, Unavailable, printable
from containerlib.images.content.ingest import Ingest
from containerlib.images.registry import challenges
from containerlib.images.registry.hosts import base_url, origin
from containerlib.images.registry.http import Http, Retry, request_line
from containerlib.spec.auth import BasicAuth
from containerlib.spec.digest import Digest
from containerlib.spec.document import MAX_DOCUMENT, Document
from containerlib.spec.image import Descriptor, MediaType
from containerlib.spec.reference import Reference

__all__ = ["Registry"]

_ACCEPT = ", ".join((*MediaType.INDEXES, *MediaType.MANIFESTS))
_MAX_ERROR = 64 * 1024
_PROGRESS = 1024 * 1024
"""A download that broke off after less than this has failed once more; after more, for the first time."""


class Registry:
    """Requests to one registry, with one identity. Safe for several threads at once."""

    def __init__(
        self,
        name: str,
        *,
        auth: BasicAuth | None = None,
        transport: httpx.BaseTransport | None = None,
        retry: Retry | None = None,
    ) -> None:
        self.name = name
        self._base = base_url(name)
        self._auth = auth
        self._http = Http(transport=transport, retry=retry or Retry(), local=self._base.startswith("http:"))
        self._headers: dict[str, str] = {}
        self._lock = threading.Lock()

    def manifest(self, reference: Reference) -> tuple[bytes, str]:
        """The bytes of the manifest or index and its media type, verified as far as there is a digest.

        Raises: NotFound, Unauthorized, Unavailable, RegistryError.
        """
        url = f"{self._base}/v2/{reference.repository}/manifests/{reference.target}"
        with self._get(url, reference.repository, {"Accept": _ACCEPT}, what=str(reference)) as response:
            data = _bounded(response, MAX_DOCUMENT)
            media_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
            claimed = response.headers.get("Docker-Content-Digest", "")
        digest = reference.digest or (Digest.parse(claimed) if claimed else None)
        if digest is not None and not digest.matches(data):
            raise RegistryError(
                f"the manifest of {reference} came with the digest {Digest.of(data)}: try again",
                code="DIGEST_INVALID",
                request=request_line(url),
            )
        return data, media_type

    def blob(self, repository: str, descriptor: Descriptor, ingest: Ingest) -> None:
        """Downloads the blob, going on where a broken connection left off.

        Raises: NotFound, Unauthorized, Unavailable, RegistryError; StageError where it cannot be written.
        """
        url = f"{self._base}/v2/{repository}/blobs/{descriptor.digest}"
        what = f"the blob {descriptor.digest} of {self.name}/{repository}"
        failures, trouble = 0, "the connection was closed early"
        while failures < self._http.retry.attempts:
            before = ingest.written
            try:
                self._read_from(url, repository, ingest, what)
            except httpx.TransportError as error:
                trouble = str(error) or type(error).__name__
            if ingest.written >= descriptor.size:
                return
            failures = 1 if ingest.written - before >= _PROGRESS else failures + 1
            if failures < self._http.retry.attempts:
                self._http.pause(failures - 1)
        raise RegistryError(
            f"{what} broke off after {ingest.written} of {descriptor.size} bytes, {failures} times ({trouble}): "
            "try again",
            code="SIZE_INVALID",
            request=request_line(url),
        )

    def stop(self) -> None:
        """Makes what other threads have under way fail at once. Nothing can be asked for afterwards."""
        self._http.stop()

    def _read_from(self, url: str, repository: str, ingest: Ingest, what: str) -> None:
        """One attempt: the rest of the blob, or all of it past what is there already."""
        start = ingest.written
        headers = {"Range": f"bytes={start}-"} if start else {}
        with self._get(url, repository, headers, what=what) as response:
            skip = 0 if response.status_code == 206 else start
            for chunk in response.iter_raw():
                fresh = chunk[skip:]
                skip -= len(chunk) - len(fresh)
                if fresh:
                    ingest.write(fresh)

    @contextmanager
    def _get(
        self, url: str, repository: str, headers: dict[str, str], *, what: str
    ) -> Iterator[httpx.Response]:
        """A 2xx answer, after showing credentials if they are asked for."""
        for shown in (False, True):
            sent = self._headers.get(repository)
            with self._http.get(url, {**headers, **({"Authorization": sent} if sent else {})}) as response:
                if response.is_success:
                    yield response
                    return
                # Where a redirect led may not ask for the registry's credentials, nor name a token server.
                elsewhere = origin(str(response.url)) != origin(self._base)
                if response.status_code != 401 or shown or elsewhere:
                    raise self._error(response, url, what)
                asked = challenges.parse_challenges(response.headers.get_list("WWW-Authenticate"))
            self._authorize(repository, asked, sent, what)

    def _authorize(
        self, repository: str, asked: tuple[challenges.Challenge, ...], sent: str | None, what: str
    ) -> None:
        """Answers a 401: afterwards there is a header for the repository. One thread does it for all."""
        with self._lock:
            if self._headers.get(repository) != sent:
                return  # another thread has, while this one was refused
            challenge = challenges.best(asked)
            if challenge is not None and challenge.scheme == "bearer":
                self._headers[repository] = f"Bearer {self._token(challenge, repository, what)}"
            elif challenge is not None and self._auth is not None:
                self._headers[repository] = challenges.basic(self._auth)
            else:
                raise self._refused(what, "")

    def _token(self, challenge: challenges.Challenge, repository: str, what: str) -> str:
        plain_http = self._base.startswith("http:")
        try:
            request = challenges.token_request(challenge, repository, self._auth, plain_http=plain_http)
            headers = {"Authorization": request.authorization} if request.authorization else {}
            with self._http.get(request.url, headers) as response:
                if not response.is_success:
                    raise self._error(response, request.url, what)
                return challenges.parse_token(_bounded(response, MAX_DOCUMENT))
        except InvalidArgument as error:
            raise RegistryError(str(error), code="MALFORMED", request=request_line(self._base)) from error

    def _error(self, response: httpx.Response, url: str, what: str) -> Exception:
        """The error that an answer other than 2xx means."""
        code, message = _read_error(response)
        status = response.status_code
        if status in (401, 403):
            return self._refused(what, message)
        if status == 404:
            return NotFound(
                f"{what} is not in the registry{message}: check the name and the tag"
                + ("" if self._auth else "; a private repository needs auth=BasicAuth(...)")
            )
        advice = "wait a while, or log in with auth=BasicAuth(...)" if status == 429 else "try again later"
        return RegistryError(
            f"{self.name} did not serve {what}{message}: {advice}",
            status=status,
            code=code or ("TOOMANYREQUESTS" if status == 429 else "UNKNOWN"),
            request=request_line(url),
        )

    def _refused(self, what: str, message: str) -> Unauthorized:
        if self._auth is None:
            advice = "it needs auth=BasicAuth(username, password), or there is no such repository"
        else:
            advice = f"check the credentials of {self._auth.username!r}, and that they may pull this"
        return Unauthorized(f"{self.name} refuses {what}{message}: {advice}")

    def __enter__(self) -> Registry:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.__exit__(kind, error, trace)


def _bounded(response: httpx.Response, limit: int) -> bytes:
    """The body. Raises: RegistryError for one of more than `limit` bytes; Unavailable where it breaks off."""
    data = bytearray()
    try:
        for chunk in response.iter_raw():
            data += chunk
            if len(data) > limit:
                raise RegistryError(
                    f"more than {limit} bytes came, which is no honest document",
                    status=response.status_code,
                    code="SIZE_INVALID",
                    request=request_line(str(response.url)),
                )
    except httpx.TransportError as error:
        raise Unavailable(f"{response.url.host} broke off its answer ({error}): try again") from error
    return bytes(data)


def _read_error(response: httpx.Response) -> tuple[str, str]:
    """The registry's own code, and `": its message"`, as far as the body is what the specification says."""
    try:
        data = next(response.iter_raw(_MAX_ERROR), b"")
        first = Document.parse(data, "errors").documents("errors")[0]
        code, message = first.text("code", default=""), first.text("message", default="")
    except (InvalidArgument, IndexError, httpx.TransportError):
        return "", ""
    return printable(code[:100]), f" ({printable(message[:300])})" if message else ""
