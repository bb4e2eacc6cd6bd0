"""Blobs on their way into a registry: not at all where it has them, else whole, and on from where a break was.

    POST ?mount= -- 201 --> it is there now: another repository of the registry had it
    HEAD ---------- 200 --> it is there
    POST, PUT ----- 201 --> it is there now
           |  broken off, or trouble that passes
           +-> GET status -- 204, Range: 0-N --> PUT of what is after N
                         -- lost -------------> HEAD again, then POST and PUT from the start

Bytes that can be read only once go in chunks, each with its PATCH, and their digest is known at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from enum import Enum

from attrs import frozen

from containerlib.errors import Error, InvalidArgument, NotFound, RegistryError, Unavailable, Unsupported
from containerlib.images.registry.retry import PASSING
from containerlib.images.registry.session import SUCCESS, Scope, Session
from containerlib.images.registry.uploads import Upload, mount
from containerlib.spec.digest import Digest, Hasher

__all__ = ["CHUNK", "Blob", "Pushed", "has_blob", "mount_blob", "push_blob", "push_stream"]

CHUNK = 8 * 1024 * 1024
_MAX_CHUNK = 256 * 1024 * 1024
_PIECE = 256 * 1024
_PROGRESS = 1024 * 1024
"""An upload that broke off after less than this has failed once more; after more, for the first time."""

Sent = Callable[[int], None]


class Pushed(Enum):
    """How a blob came to be in the registry."""

    THERE = "there"
    MOUNTED = "mounted"
    UPLOADED = "uploaded"


@frozen
class Blob:
    """Bytes that can be read again from any offset, and their digest."""

    digest: Digest
    size: int
    read: Callable[[int], Iterable[bytes]]

    @classmethod
    def of_bytes(cls, data: bytes) -> Blob:
        return cls(Digest.of(data), len(data), lambda offset: (data[offset:],))

    @classmethod
    def at(cls, path: str, digest: Digest, size: int) -> Blob:
        """The content of a file whose digest is known. Nothing is read."""
        return cls(digest, size, lambda offset: _from_file(path, offset))

    @classmethod
    def of_file(cls, path: str) -> Blob:
        """The file's content, read once for its digest. Raises: OSError."""
        hasher, size = Hasher(), 0
        for piece in _from_file(path, 0):
            hasher.update(piece)
            size += len(piece)
        return cls.at(path, hasher.digest(), size)


def has_blob(session: Session, repository: str, digest: Digest) -> bool:
    """Whether the repository has the blob."""
    path, scope = f"/v2/{repository}/blobs/{digest}", Scope(repository, "pull,push")
    what = _name(session, repository, digest)
    with session.send("HEAD", path, scope=scope, what=what, accept=SUCCESS | {404}) as response:
        return response.is_success


def mount_blob(session: Session, repository: str, digest: Digest, source: str = "") -> bool:
    """Takes the blob over from the repository `source`, or from whichever has it. Whether that was possible."""
    mounted, upload = mount(session, repository, digest, source, _name(session, repository, digest))
    if upload is not None:
        upload.cancel()
    return mounted


def push_blob(
    session: Session,
    repository: str,
    blob: Blob,
    *,
    sources: Iterable[str] = (),
    sent: Sent = lambda _: None,
) -> Pushed:
    """Makes the blob be in the repository; `sources` are repositories of the registry that may have it. Blocks.

    `sent` is called with the count of bytes that have been sent.

    Raises: Unauthorized, Unsupported, Unavailable, RegistryError; OSError where the blob cannot be read.
    """
    what, upload = _name(session, repository, blob.digest), None
    for source in sources:
        mounted, began = mount(session, repository, blob.digest, source, what)
        if began is not None and upload is not None:
            began.cancel()  # one is enough
        upload = upload or began
        if mounted:
            _cancel(upload)
            return Pushed.MOUNTED
    if has_blob(session, repository, blob.digest):
        _cancel(upload)
        return Pushed.THERE
    _Whole(session, repository, blob, what, sent).send(upload)
    return Pushed.UPLOADED


def push_stream(
    session: Session,
    repository: str,
    chunks: Iterable[bytes],
    *,
    chunk_size: int = CHUNK,
    sent: Sent = lambda _: None,
) -> tuple[Digest, int]:
    """Uploads bytes that can be read once, one chunk of them in memory; their digest and size. Blocks.

    Raises: as `push_blob`; Unavailable where the registry lost what was sent, as it cannot be sent again.
    """
    upload = Upload.start(session, repository, f"a blob of {session.name}/{repository}")
    hasher, size = Hasher(), 0
    try:
        for chunk in _coalesced(chunks, min(max(chunk_size, upload.least), _MAX_CHUNK)):
            hasher.update(chunk)
            _send_chunk(session, upload, chunk, size)
            size += len(chunk)
            sent(size)
        digest = hasher.digest()
        upload.put(digest, b"", size, size)
    except BaseException:
        upload.cancel()
        raise
    return digest, size


class _Whole:
    """The upload of a blob in one request, or in as many as breaks make of it."""

    def __init__(self, session: Session, repository: str, blob: Blob, what: str, sent: Sent) -> None:
        self._session = session
        self._repository = repository
        self._blob = blob
        self._what = what
        self._sent = sent
        self._position = 0

    def send(self, upload: Upload | None) -> None:
        """Goes on until the registry has the blob, as patient as the session."""
        upload = upload or self._start()
        offset = failures = furthest = 0
        try:
            while True:
                try:
                    upload.put(self._blob.digest, self._body(offset), self._blob.size, offset)
                    return
                except (NotFound, RegistryError, Unavailable) as error:
                    failures = 1 if self._position - furthest >= _PROGRESS else failures + 1
                    furthest = max(furthest, self._position)
                    # The registry no longer knows the upload, or has something else than it said that it has.
                    lost = isinstance(error, NotFound) or (offset > 0 and not _passes(error))
                    if failures >= self._session.retry.attempts or not (lost or _passes(error)):
                        raise
                self._session.pause(failures - 1)
                known = None if lost else self._offset(upload)
                if known is None:
                    if has_blob(self._session, self._repository, self._blob.digest):
                        return  # and it was the answer that got lost
                    upload.cancel()
                    upload = self._start()
                offset = known or 0
        except BaseException:
            upload.cancel()
            raise

    def _start(self) -> Upload:
        return Upload.start(self._session, self._repository, self._what)

    def _offset(self, upload: Upload) -> int | None:
        """How far the upload is; None where the registry does not know it."""
        with suppress(NotFound, RegistryError, Unsupported):
            offset = upload.status()
            return offset if offset <= self._blob.size else None
        return None

    def _body(self, offset: int) -> Callable[[], Iterator[bytes]]:
        def body() -> Iterator[bytes]:
            self._position = offset
            for piece in self._blob.read(offset):
                yield piece
                self._position += len(piece)
                self._sent(self._position)
            if self._position != self._blob.size:
                raise InvalidArgument(
                    f"it has {self._position} bytes now, and had {self._blob.size}", field="blob"
                )

        return body


def _send_chunk(session: Session, upload: Upload, chunk: bytes, start: int) -> None:
    """Sends the chunk that begins at `start`, again and in part where the registry missed something of it."""
    offset, end, failures = start, start + len(chunk), 0
    while offset < end:
        try:
            reached = upload.patch(chunk[offset - start :], offset)
        except (Unavailable, RegistryError) as error:
            if not _passes(error):
                raise
            failures += 1
            if failures >= session.retry.attempts:
                raise
            session.pause(failures - 1)
            reached = upload.status()
        else:
            failures = 0 if reached > offset else failures + 1
        if not start <= reached <= end or failures >= session.retry.attempts:
            raise Unavailable(f"{session.name} lost what it had of a blob, which is gone here: push it again")
        offset = reached


def _cancel(upload: Upload | None) -> None:
    if upload is not None:
        upload.cancel()


def _passes(error: Error) -> bool:
    return isinstance(error, Unavailable) or (isinstance(error, RegistryError) and error.status in PASSING)


def _name(session: Session, repository: str, digest: Digest) -> str:
    return f"the blob {digest} of {session.name}/{repository}"


def _from_file(path: str, offset: int) -> Iterator[bytes]:
    with open(path, "rb", buffering=0) as file:
        file.seek(offset)
        while piece := file.read(_PIECE):
            yield piece


def _coalesced(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """The same bytes in pieces of `size`, but for the last."""
    buffer = bytearray()
    for chunk in chunks:
        for start in range(0, len(chunk), size):
            buffer += chunk[start : start + size]
            if len(buffer) >= size:
                yield bytes(buffer[:size])
                del buffer[:size]
    if buffer:
        yield bytes(buffer)
