"""One upload of a blob: the requests that it consists of, and where it stands.

    upload = Upload.start(session, "acme/app", what)     POST                   202, Location
    there = upload.patch(chunk, offset)                  PATCH Location         202, Location, Range
    there = upload.status()                              GET Location           204, Location, Range
    upload.put(digest, body, size, offset)               PUT Location&digest=   201
    upload.cancel()                                      DELETE Location

A Location is opaque, changes with every answer, and may be of another origin, which gets no credentials.

Spec: distribution-spec spec.md#pushing-blobs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from urllib.parse import quote, urlencode

import httpx

from containerlib.errors import Error, NotFound, RegistryError, Unauthorized, Unsupported
from containerlib.images.registry.answers import request_line
from containerlib.images.registry.session import SUCCESS, Scope, Session
from containerlib.spec.digest import Digest

__all__ = ["Upload", "check_digest", "mount"]

_RANGE = re.compile(r"(?:bytes=)?0-([0-9]{1,18})", re.ASCII)
_CHUNK_ANSWERS = SUCCESS | {416}
_EMPTY = {"Content-Length": "0"}
_BINARY = {"Content-Type": "application/octet-stream"}


class Upload:
    """What the registry has begun. For one thread at a time.

    `least` are the bytes that a chunk must have, except for the last.
    """

    def __init__(self, session: Session, repository: str, what: str, response: httpx.Response) -> None:
        self.least = _number(response.headers.get("OCI-Chunk-Min-Length", ""))
        self._session = session
        self._repository = repository
        self._scope = Scope(repository, "pull,push")
        self._what = what
        self._location = session.location(response)

    @classmethod
    def start(cls, session: Session, repository: str, what: str) -> Upload:
        """Raises: as `Session.send`."""
        path, scope = f"/v2/{repository}/blobs/uploads/", Scope(repository, "pull,push")
        # It is safe to ask twice: an upload too many is forgotten by the registry.
        with session.send("POST", path, scope=scope, what=what, headers=_EMPTY, repeat=True) as response:
            return cls(session, repository, what, response)

    def patch(self, chunk: bytes, offset: int) -> int:
        """Sends the bytes that come at `offset`; how many the registry then has in all."""
        headers = {**_BINARY, "Content-Range": f"{offset}-{offset + len(chunk) - 1}"}
        with self._session.send(
            "PATCH",
            self._location,
            scope=self._scope,
            what=self._what,
            headers=headers,
            content=chunk,
            accept=_CHUNK_ANSWERS,
            repeat=False,
        ) as response:
            return self._stands(response, offset + len(chunk))

    def status(self) -> int:
        """How many bytes the registry has.

        Raises: as `Session.send`; RegistryError where it does not say.
        """
        with self._session.send("GET", self._location, scope=self._scope, what=self._what) as response:
            reached = self._stands(response, -1)
            if reached >= 0:
                return reached
            raise RegistryError(
                f"{self._session.name} does not say how much it has of {self._what}",
                status=response.status_code,
                code="MALFORMED",
            )

    def put(
        self, digest: Digest, body: bytes | Callable[[], Iterable[bytes]], size: int, offset: int = 0
    ) -> None:
        """Sends the bytes from `offset` up to `size`, and closes the upload by the digest of all of them."""
        headers = {**_BINARY, "Content-Length": str(size - offset)}
        if 0 < offset < size:
            headers["Content-Range"] = f"{offset}-{size - 1}"
        url = f"{self._location}{'&' if '?' in self._location else '?'}digest={quote(str(digest))}"
        content = body if offset < size else b""
        with self._session.send(
            "PUT", url, scope=self._scope, what=self._what, headers=headers, content=content, repeat=False
        ) as response:
            check_digest(self._session.name, response, digest, self._what)

    def cancel(self) -> None:
        """Tells the registry that nothing more will come. Best effort: it forgets uploads by itself, later."""
        scope = Scope(self._repository, "delete,pull,push")
        request = self._session.send("DELETE", self._location, scope=scope, what=self._what, repeat=False)
        with suppress(Error), request:
            pass

    def _stands(self, response: httpx.Response, otherwise: int) -> int:
        """The bytes that Range says are there, and from now on the Location of this answer."""
        if "Location" in response.headers:
            self._location = self._session.location(response)
        match = _RANGE.fullmatch(response.headers.get("Range", ""))
        if match is None:
            return otherwise
        return int(match[1]) + 1 if match[1] != "0" else 0  # of none registries say `0-0`


def mount(
    session: Session, repository: str, digest: Digest, source: str, what: str
) -> tuple[bool, Upload | None]:
    """Takes the blob over from the repository `source` (empty: whichever has it): whether that was possible.

    If not, there may be an upload that the registry began instead.
    """
    query = {"mount": str(digest), **({"from": source} if source else {})}
    path = f"/v2/{repository}/blobs/uploads/?{urlencode(query)}"
    scope = Scope(repository, "pull,push", mount_from=source)
    try:
        with session.send("POST", path, scope=scope, what=what, headers=_EMPTY, repeat=True) as response:
            if response.status_code == httpx.codes.CREATED:
                check_digest(session.name, response, digest, what)
                return True, None
            return False, Upload(session, repository, what, response)
    except (NotFound, Unauthorized, Unsupported):  # of the source, for all that is known
        return False, None
    except RegistryError as error:
        if error.code == "DIGEST_INVALID" or not 400 <= error.status < 500:
            raise
        return False, None


def check_digest(name: str, response: httpx.Response, digest: Digest, what: str) -> None:
    """Raises: RegistryError where the registry `name` says that it stored something else."""
    claimed = response.headers.get("Docker-Content-Digest", "")
    if claimed.partition(":")[0] == digest.algorithm and claimed != str(digest):
        raise RegistryError(
            f"{name} stored {what} under another digest, {claimed[:140]!r}: try again",
            status=response.status_code,
            code="DIGEST_INVALID",
            request=request_line(response.request.method, str(response.request.url)),
        )


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 12 else 0
