"""Blobs into files, where there is no content store."""

from __future__ import annotations

import os
from contextlib import suppress
from types import TracebackType

from containerlib.errors import RegistryError, StageError
from containerlib.spec.digest import Digest, Hasher

__all__ = ["FileSink", "check_digest"]


def check_digest(expected: Digest, digest: Digest) -> None:
    """Raises: RegistryError(code="DIGEST_INVALID") where they differ."""
    if digest != expected:
        raise RegistryError(
            f"the blob {expected} came with other content, of digest {digest}: "
            "try again, and if it stays so have the image pushed anew",
            code="DIGEST_INVALID",
        )


class FileSink:
    """A file beside `path`, renamed at the end of `with` if it is what `expected` says, and else removed."""

    def __init__(self, path: str, expected: Digest) -> None:
        self.written = 0
        self._path = path
        self._expected = expected
        self._hasher = Hasher(expected.algorithm)
        import tempfile  # noqa: PLC0415 - what pulls into a store does without

        directory, name = os.path.split(path)
        try:
            fd, self._aside = tempfile.mkstemp(prefix=f".{name}.", dir=directory or ".")
        except OSError as error:
            raise StageError("content", error.errno or 0, path) from error
        self._file = os.fdopen(fd, "wb", buffering=0)

    def write(self, chunk: bytes) -> None:
        self._hasher.update(chunk)
        view = memoryview(chunk)
        try:
            while view:
                view = view[self._file.write(view) :]
        except OSError as error:
            raise StageError(
                "content", error.errno or 0, self._path, advice="free some space there and try again"
            ) from error
        self.written += len(chunk)

    def check(self) -> None:
        check_digest(self._expected, self._hasher.digest())

    def restart(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._hasher = Hasher(self._expected.algorithm)
        self.written = 0

    def __enter__(self) -> FileSink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        try:
            if kind is None:
                self.check()
                os.replace(self._aside, self._path)
        finally:
            with suppress(OSError):  # it has its name
                os.unlink(self._aside)
