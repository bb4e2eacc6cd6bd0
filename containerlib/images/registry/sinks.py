"""Blobs into files, in whatever order their parts come; and into a file that is all there is, without a store."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import IO

from containerlib.errors import RegistryError, StageError
from containerlib.images.registry.output_file import OutputFile, is_special
from containerlib.spec.digest import Digest, Hasher

__all__ = ["FileSink", "HashedFile", "check_digest"]

_PIECE = 256 * 1024


def check_digest(expected: Digest, digest: Digest) -> None:
    """Raises: RegistryError(code="DIGEST_INVALID") where they differ."""
    if digest != expected:
        raise RegistryError(
            f"the blob {expected} came with other content, of digest {digest}: "
            "try again, and if it stays so have the image pushed anew",
            code="DIGEST_INVALID",
        )


class HashedFile:
    """A blob's bytes in the open file `fd`, which may come before their turn, and are hashed when that has come.

    Every call raises OSError. Not for two threads at once.
    """

    def __init__(self, fd: int, algorithm: str) -> None:
        self.fd = fd
        self.written = 0
        """How many there are from the start on."""
        self._algorithm = algorithm
        self._hasher = Hasher(algorithm)

    def write(self, chunk: bytes | memoryview) -> None:
        """What comes next."""
        self._hasher.update(chunk)
        self.write_ahead(self.written, chunk)
        self.written += len(chunk)

    def write_ahead(self, position: int, chunk: bytes | memoryview) -> None:
        """What will come at `position`."""
        os.lseek(self.fd, position, os.SEEK_SET)  # not every system has pwrite(2)
        view = memoryview(chunk)
        while view:
            view = view[os.write(self.fd, view) :]

    def take(self, end: int) -> None:
        """What was written ahead has come, up to `end`."""
        os.lseek(self.fd, self.written, os.SEEK_SET)
        while self.written < end:
            chunk = os.read(self.fd, min(_PIECE, end - self.written))
            if not chunk:
                raise OSError(errno.EIO, "the file is shorter than what was written to it")
            self._hasher.update(chunk)
            self.written += len(chunk)

    def digest(self) -> Digest:
        """Of all that has come."""
        return self._hasher.digest()

    def restart(self) -> None:
        """It is empty again."""
        os.ftruncate(self.fd, 0)
        self._hasher = Hasher(self._algorithm)
        self.written = 0


class FileSink:
    """A file that gets the name `path` at the end of `with` if it is what `expected` says, and else is removed.

    A device or a FIFO at `path` is written then, with what was verified.
    """

    def __init__(self, path: str, expected: Digest) -> None:
        self._path = path
        self._expected = expected
        self._aside = contextlib.ExitStack()
        try:
            self._output = (
                None if is_special(path) else self._aside.enter_context(OutputFile(os.path.realpath(path)))
            )
        except OSError as error:
            raise StageError("content", error.errno or 0, path) from error
        fd = self._output.fd if self._output else self._aside.enter_context(_unnamed()).fileno()
        self._file = HashedFile(fd, expected.algorithm)

    @property
    def written(self) -> int:
        return self._file.written

    def write(self, chunk: bytes) -> None:
        with self._typed():
            self._file.write(chunk)

    def write_ahead(self, position: int, chunk: bytes) -> None:
        with self._typed():
            self._file.write_ahead(position, chunk)

    def take(self, end: int) -> None:
        with self._typed():
            self._file.take(end)

    def check(self) -> None:
        check_digest(self._expected, self._file.digest())

    def restart(self) -> None:
        with self._typed():
            self._file.restart()

    @contextmanager
    def _typed(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StageError(
                "content", error.errno or 0, self._path, advice="free some space there and try again"
            ) from error

    def __enter__(self) -> FileSink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._aside:
            if kind is not None:
                return
            self.check()
            with self._typed():
                self._publish()

    def _publish(self) -> None:
        if self._output:
            self._output.commit()
            return
        os.lseek(self._file.fd, 0, os.SEEK_SET)
        with open(self._path, "wb") as special:
            while chunk := os.read(self._file.fd, _PIECE):
                special.write(chunk)


def _unnamed() -> IO[bytes]:
    import tempfile  # noqa: PLC0415 - what pulls into a store does without

    return tempfile.TemporaryFile()
