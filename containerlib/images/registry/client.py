"""One registry: the pull half of the distribution specification.

    with Registry("docker.io", auth=None) as registry:
        data, media_type = registry.manifest(reference)
        registry.blob(repository, descriptor, ingest)

Spec: distribution-spec spec.md#pull.
"""

from __future__ import annotations

from types import TracebackType
from typing import Protocol

import httpx

from containerlib.errors import RegistryError
from containerlib.images.registry.answers import bounded, request_line
from containerlib.images.registry.credentials import credentials_of
from containerlib.images.registry.operations import Operations
from containerlib.images.registry.retry import Retry
from containerlib.images.registry.session import Scope, Session
from containerlib.spec.auth import Auth, Credentials
from containerlib.spec.digest import Digest
from containerlib.spec.document import MAX_DOCUMENT
from containerlib.spec.image import Descriptor, MediaType
from containerlib.spec.reference import Reference

__all__ = ["Registry", "Sink"]

_ACCEPT = ", ".join((*MediaType.INDEXES, *MediaType.MANIFESTS))
_PROGRESS = 1024 * 1024
"""A download that broke off after less than this has failed once more; after more, for the first time."""


class Sink(Protocol):
    """Where a blob's bytes go, in order."""

    @property
    def written(self) -> int: ...
    def write(self, chunk: bytes) -> None: ...


class Registry(Operations):
    """Requests to one registry, with one identity. Safe for several threads at once.

    `auth` are credentials, or where to look for them; without it, what a login left on this machine.
    """

    def __init__(
        self,
        name: str,
        *,
        auth: Auth | Credentials | None = None,
        transport: httpx.BaseTransport | None = None,
        retry: Retry | None = None,
    ) -> None:
        self.name = name
        self._session = Session(name, credentials_of(auth), transport=transport, retry=retry)

    def manifest(self, reference: Reference) -> tuple[bytes, str]:
        """The bytes of the manifest or index and its media type, verified as far as there is a digest.

        Raises: NotFound, Unauthorized, Unavailable, RegistryError.
        """
        path = f"/v2/{reference.repository}/manifests/{reference.target}"
        with self._session.send(
            "GET",
            path,
            scope=Scope(reference.repository),
            what=str(reference),
            headers={"Accept": _ACCEPT},
        ) as response:
            data = bounded(response, MAX_DOCUMENT)
            media_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
            claimed = response.headers.get("Docker-Content-Digest", "")
        digest = reference.digest or (Digest.parse(claimed) if claimed else None)
        if digest is not None and not digest.matches(data):
            raise RegistryError(
                f"the manifest of {reference} came with the digest {Digest.of(data)}: try again",
                code="DIGEST_INVALID",
                request=request_line("GET", self._session.base + path),
            )
        return data, media_type

    def blob(self, repository: str, descriptor: Descriptor, sink: Sink) -> None:
        """Downloads the blob, going on where a broken connection left off.

        Raises: NotFound, Unauthorized, Unavailable, RegistryError; StageError where it cannot be written.
        """
        path = f"/v2/{repository}/blobs/{descriptor.digest}"
        what = f"the blob {descriptor.digest} of {self.name}/{repository}"
        attempts = self._session.retry.attempts
        failures, trouble = 0, "the connection was closed early"
        while failures < attempts:
            before = sink.written
            try:
                self._read_from(path, repository, sink, what)
            except httpx.TransportError as error:
                trouble = str(error) or type(error).__name__
            if sink.written >= descriptor.size:
                return
            failures = 1 if sink.written - before >= _PROGRESS else failures + 1
            if failures < attempts:
                self._session.pause(failures - 1)
        raise RegistryError(
            f"{what} broke off after {sink.written} of {descriptor.size} bytes, {failures} times ({trouble}): "
            "try again",
            code="SIZE_INVALID",
            request=request_line("GET", self._session.base + path),
        )

    def stop(self) -> None:
        """Makes what other threads have under way fail at once. Nothing can be asked for afterwards."""
        self._session.stop()

    def _read_from(self, path: str, repository: str, sink: Sink, what: str) -> None:
        """One attempt: the rest of the blob, or all of it past what is there already."""
        start = sink.written
        headers = {"Range": f"bytes={start}-"} if start else {}
        with self._session.send("GET", path, scope=Scope(repository), what=what, headers=headers) as response:
            skip = 0 if response.status_code == 206 else start
            for chunk in response.iter_raw():
                fresh = chunk[skip:]
                skip -= len(chunk) - len(fresh)
                if fresh:
                    sink.write(fresh)

    def __enter__(self) -> Registry:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.__exit__(kind, error, trace)
