"""What can be read from a registry: what a tag names, manifests, and blobs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from typing import NamedTuple, TypeVar

import httpx

from containerlib.errors import (
    InvalidArgument,
    NotFound,
    RegistryError,
    Unauthorized,
    Unavailable,
    Unsupported,
)
from containerlib.images.registry.answers import bounded, request_line
from containerlib.images.registry.blobs import Blob, Sink, download
from containerlib.images.registry.foreign import foreign_blobs
from containerlib.images.registry.places import Place, Places
from containerlib.images.registry.session import SUCCESS, Session
from containerlib.images.registry.sinks import FileSink, check_digest
from containerlib.spec.descriptor import Descriptor, MediaType
from containerlib.spec.digest import Digest, Hasher
from containerlib.spec.document import MAX_DOCUMENT
from containerlib.spec.image import Index, Manifest, parse_manifest
from containerlib.spec.reference import Reference

__all__ = ["ManifestBytes", "Reading"]

_ACCEPT = ", ".join((*MediaType.INDEXES, *MediaType.MANIFESTS))
_NO_HEAD = frozenset({400, 405, 501})
_ELSEWHERE = (NotFound, Unauthorized, Unavailable, RegistryError, Unsupported)
"""What another place may not answer with."""

_BINARY = "application/octet-stream"

Read = TypeVar("Read")


class ManifestBytes(NamedTuple):
    """A manifest or an index as it came."""

    data: bytes
    media_type: str

    def parse(self) -> Manifest | Index:
        """Raises: InvalidArgument for what is neither."""
        return parse_manifest(self.data, self.media_type)


class Reading:
    """Words of `Registry`; each of them blocks.

    A reference is one of this registry, "acme/app:1.0" or "acme/app@sha256:...". All raise InvalidArgument for what is
    none, or is blocked by the configuration; NotFound, Unauthorized, Unavailable and RegistryError.
    """

    name: str
    _places: Places
    _foreign_layers: bool
    _foreign_session: Callable[[str], Session]

    def resolve(self, reference: str | Reference) -> Descriptor:
        """What the tag or digest names, by a HEAD alone where the registry is as the specification says.

        Registries that limit pulls do not count it, and nothing is fetched.
        """
        wanted = self._reference(reference)
        return self._anywhere(wanted, lambda place: _resolved(place, wanted))

    def manifest(self, reference: str | Reference) -> ManifestBytes:
        """The manifest or index, verified as far as there is a digest."""
        wanted = self._reference(reference)
        return self._anywhere(wanted, lambda place: _manifest(place, wanted))

    def blob(self, repository: str, blob: Descriptor | Digest | str) -> Iterator[bytes]:
        """The blob's bytes as they come; the last come only once all of them have been verified.

        Raises: RegistryError(code="DIGEST_INVALID") at the end where they are others.
        """
        descriptor = self._descriptor(repository, blob)
        hasher, held = Hasher(descriptor.digest.algorithm), b""
        for chunk in self._chunks(repository, descriptor):
            if held:
                yield held
            hasher.update(chunk)
            held = chunk
        check_digest(descriptor.digest, hasher.digest())
        if held:
            yield held

    def save(
        self, repository: str, blob: Descriptor | Digest | str, path: str | os.PathLike[str]
    ) -> Descriptor:
        """Writes the blob into a file at `path`, which is there only once it has been verified.

        Raises: StageError(stage="content") where it cannot be written.
        """
        descriptor = self._descriptor(repository, blob)
        with FileSink(os.fspath(path), descriptor.digest) as sink:
            self.fetch(repository, descriptor, sink)
        return descriptor

    def fetch(self, repository: str, descriptor: Descriptor, sink: Sink) -> None:
        """Writes the blob into `sink` from where that is, and has the sink check it.

        A mirror that has other bytes under its digest is passed over like one that does not have it.

        What the registry does not have is fetched from the descriptor's `urls`, where foreign layers are allowed. What
        the sink raises ends it.
        """
        for blob, attempt in self._blobs(repository, descriptor):
            with attempt:
                download(blob, sink)
                return

    def _chunks(self, repository: str, descriptor: Descriptor) -> Iterator[bytes]:
        """The blob over one connection at a time, each from where the one before ended."""
        position = 0
        for blob, attempt in self._blobs(repository, descriptor):
            with attempt, closing(blob.read(position, descriptor.size)) as chunks:
                for chunk in chunks:
                    position += len(chunk)
                    yield chunk
                return

    def _blobs(
        self, repository: str, descriptor: Descriptor
    ) -> Iterator[tuple[Blob, AbstractContextManager[None]]]:
        """The blob wherever it may be, and what its use is wrapped in."""
        reference = self._reference(f"{repository}@{descriptor.digest}")
        for place, attempt in self._tries(reference):
            yield _blob(place, descriptor), self._unless_foreign(attempt, descriptor)
        yield from foreign_blobs(descriptor, self._foreign_session)

    @contextmanager
    def _unless_foreign(
        self, attempt: AbstractContextManager[None], descriptor: Descriptor
    ) -> Iterator[None]:
        """Lets a blob that is nowhere pass that may be fetched from its URLs."""
        try:
            with attempt:
                yield
        except NotFound as error:
            if not descriptor.urls:
                raise
            if not self._foreign_layers:
                raise NotFound(
                    f"the blob {descriptor.digest} is not in the registry {self.name}, and its manifest says to fetch "
                    f"it from {descriptor.urls[0]}: allow that with foreign_layers=True"
                ) from error

    def _descriptor(self, repository: str, blob: Descriptor | Digest | str) -> Descriptor:
        """Of a digest alone, with the size that the registry says."""
        if isinstance(blob, Descriptor):
            return blob
        digest = Digest.parse(blob) if isinstance(blob, str) else blob
        return self._anywhere(
            self._reference(f"{repository}@{digest}"), lambda place: _described(place, digest)
        )

    def _reference(self, reference: str | Reference) -> Reference:
        if isinstance(reference, Reference):
            return reference
        whole = reference if reference.startswith(f"{self.name}/") else f"{self.name}/{reference}"
        return Reference.parse(whole)

    def _anywhere(self, reference: Reference, read: Callable[[Place], Read]) -> Read:
        """What the first place says that says anything but no."""
        for place, attempt in self._tries(reference):
            with attempt:
                return read(place)
        raise AssertionError("the last attempt raises")

    def _tries(self, reference: Reference) -> Iterator[tuple[Place, AbstractContextManager[None]]]:
        """Each place, and what its use is wrapped in: a mirror's refusal is noted on the error of the last place."""
        *mirrors, last = self._places.of(reference)
        refusals: list[str] = []
        for mirror in mirrors:
            yield mirror, self._passing_over(mirror, refusals)
        yield last, _noting(refusals)

    @contextmanager
    def _passing_over(self, mirror: Place, refusals: list[str]) -> Iterator[None]:
        try:
            yield
        except _ELSEWHERE as error:
            refusals.append(f"the mirror {mirror.name}: {error}")
            if isinstance(error, Unavailable):
                self._places.leave_out(mirror)


@contextmanager
def _noting(refusals: list[str]) -> Iterator[None]:
    try:
        yield
    except _ELSEWHERE as error:
        for refusal in refusals:
            error.add_note(refusal)
        raise


def _blob(place: Place, descriptor: Descriptor) -> Blob:
    what = f"the blob {descriptor.digest} of {place.name}"
    return Blob(
        place.session, place.path("blobs", str(descriptor.digest)), place.scope, descriptor.size, what
    )


def _resolved(place: Place, reference: Reference) -> Descriptor:
    path = place.path("manifests", reference.target)
    with place.session.send(
        "HEAD",
        path,
        scope=place.scope,
        what=str(reference),
        headers={"Accept": _ACCEPT},
        accept=SUCCESS | _NO_HEAD,
    ) as response:
        claimed, length = _claimed(place, response), response.headers.get("Content-Length", "")
        media_type = _media_type(response)
        if response.is_success and claimed is not None and length.isdecimal() and media_type:
            _check_namespace(place, response)
            if reference.digest not in (None, claimed):
                raise _other_digest(place, path, reference, str(claimed))
            return Descriptor(media_type, claimed, int(length))
    data, media_type = _manifest(place, reference)
    return Descriptor(media_type, reference.digest or Digest.of(data), len(data))


def _manifest(place: Place, reference: Reference) -> ManifestBytes:
    path = place.path("manifests", reference.target)
    with place.session.send(
        "GET", path, scope=place.scope, what=str(reference), headers={"Accept": _ACCEPT}
    ) as response:
        data = bounded(response, MAX_DOCUMENT)
        _check_namespace(place, response)
        digest = reference.digest or _claimed(place, response)
        media_type = _media_type(response)
    if digest is not None and not digest.matches(data):
        raise _other_digest(place, path, reference, str(Digest.of(data)))
    return ManifestBytes(data, media_type)


def _described(place: Place, digest: Digest) -> Descriptor:
    """A blob's size, as the registry says it."""
    path, what = place.path("blobs", str(digest)), f"the blob {digest} of {place.name}"
    with place.session.send("HEAD", path, scope=place.scope, what=what) as response:
        length = response.headers.get("Content-Length", "")
    if not length.isdecimal():
        raise RegistryError(
            f"{place.session.name} does not say the size of {what}",
            code="MALFORMED",
            request=request_line("HEAD", place.session.base + path),
        )
    return Descriptor(_BINARY, digest, int(length))


def _media_type(response: httpx.Response) -> str:
    return str(response.headers.get("Content-Type", "")).partition(";")[0].strip()


def _claimed(place: Place, response: httpx.Response) -> Digest | None:
    value = response.headers.get("Docker-Content-Digest", "")
    try:
        return Digest.parse(value) if value else None
    except InvalidArgument as error:
        raise RegistryError(
            f"{place.session.name} sent a strange digest: {error}", code="MALFORMED"
        ) from error


def _check_namespace(place: Place, response: httpx.Response) -> None:
    """A proxy that scopes what it serves says for whom it did."""
    served = response.headers.get("OCI-Namespace", "")
    if served and place.source and served != place.source:
        raise RegistryError(
            f"{place.session.name} was asked for what {place.source} has, and served that of {served[:100]!r}",
            code="MALFORMED",
        )


def _other_digest(place: Place, path: str, reference: Reference, digest: str) -> RegistryError:
    return RegistryError(
        f"the manifest of {reference} came with the digest {digest}: try again",
        code="DIGEST_INVALID",
        request=request_line("GET", place.session.base + path),
    )
