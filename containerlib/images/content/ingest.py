"""A blob on its way in: written aside, hashed as it comes, and read by the unpacker while it still grows.

       download threads                        unpacking thread
    ingest.write(chunk) ...                  for chunk in ingest.chunks(): ...
    ingest.finish()      -- verified -->     the last chunk, then the end
    ingest.restart()     ------------->      Restarted: what was read is not the blob
    ingest.fail(error)   ------------->      error

The file is the buffer between the two: a slow unpacker does not hold up the download, and memory stays flat.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from containerlib.errors import RegistryError, StageError
from containerlib.images.registry.sinks import HashedFile, check_digest
from containerlib.spec.digest import Digest

__all__ = ["Ingest", "Restarted"]

_READ_SIZE = 256 * 1024


class Restarted(Exception):
    """What was read of the blob is not the blob: it is to be read again from its start."""


class Ingest:
    """One writer, any number of readers. Owns its file until `close`; the file is not removed.

    Without `expected` the digest is whatever the bytes have (`digest` after `finish`).
    """

    def __init__(
        self,
        path: str,
        expected: Digest | None = None,
        size: int | None = None,
        on_write: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.path = path
        self._on_write = on_write
        self.restarts = 0
        self._expected = expected
        self._size = size
        self._changed = threading.Condition()
        self._done = False
        self._error: BaseException | None = None
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StageError("content", error.errno or 0, path) from error
        self._file = HashedFile(fd, expected.algorithm if expected else "sha256")

    @property
    def written(self) -> int:
        """How many bytes have come."""
        return self._file.written

    def write(self, chunk: bytes | memoryview) -> None:
        """Appends `chunk`. Raises: RegistryError as soon as there is more than was promised; StageError."""
        self._check_room(self.written + len(chunk))
        with self._typed("free some space there and try again"):
            self._file.write(chunk)
        self._came()

    def write_ahead(self, position: int, chunk: bytes | memoryview) -> None:
        """Keeps what comes at `position` until `take` says that its turn has come. Raises: as `write`."""
        self._check_room(position + len(chunk))
        with self._typed("free some space there and try again"):
            self._file.write_ahead(position, chunk)

    def take(self, end: int) -> None:
        """What was written ahead has come, up to `end`. Raises: StageError."""
        with self._typed():
            self._file.take(end)
        self._came()

    def check(self) -> Digest:
        """Holds what is there against what was promised. Raises: RegistryError for a wrong size or digest."""
        if self._size is not None and self.written != self._size:
            raise self._wrong_size(f"{self.written}")
        digest = self._file.digest()
        if self._expected is not None:
            check_digest(self._expected, digest)
        return digest

    def restart(self) -> None:
        """Forgets what was written, for other bytes from elsewhere; readers get `Restarted`. Raises: StageError."""
        with self._changed, self._typed():
            self._file.restart()
            self.restarts += 1
            self._changed.notify_all()
        self._on_write(0)

    def finish(self) -> Digest:
        """Ends the blob and has it on disk. Raises: RegistryError for a wrong size or digest."""
        digest = self.check()
        with self._changed:
            self._done = True
            self._changed.notify_all()
        with self._typed("free some space there"):
            os.fsync(self._file.fd)
        return digest

    def fail(self, error: BaseException) -> None:
        """Ends the blob before its time: readers get `error`, and so does the writer."""
        with self._changed:
            self._error = self._error or error
            self._changed.notify_all()

    def chunks(self) -> Iterator[bytes]:
        """The bytes from the start, as they come; ends only when the whole blob has been verified.

        Raises: Restarted; what it was failed with.
        """
        offset, restarts = 0, self.restarts
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: (
                        self._done
                        or self._error
                        or self.restarts != restarts
                        or self.written >= offset + _READ_SIZE  # noqa: B023
                    )
                )
                if self.restarts != restarts:
                    raise Restarted
                if self._error is not None:
                    raise self._error
                # Under the lock, because `close` may come from another thread and the number be used again.
                chunk = os.pread(self._file.fd, min(_READ_SIZE, self.written - offset), offset)
            if not chunk:
                return
            offset += len(chunk)
            yield chunk

    def close(self) -> None:
        """Closes the file; a reader that is still there fails."""
        self.fail(ValueError("the blob is closed"))
        with self._changed:
            os.close(self._file.fd)

    def _came(self) -> None:
        with self._changed:
            self._changed.notify_all()
        self._on_write(self.written)

    def _check_room(self, end: int) -> None:
        if self._size is not None and end > self._size:
            raise self._wrong_size("more")
        if self._error is not None:
            raise self._error

    @contextmanager
    def _typed(self, advice: str = "") -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StageError("content", error.errno or 0, self.path, advice=advice) from error

    def _wrong_size(self, what: str) -> RegistryError:
        return RegistryError(
            f"the blob {self._expected} should have {self._size} bytes, and {what} came: try again",
            code="SIZE_INVALID",
        )
