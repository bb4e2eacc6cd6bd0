"""Blobs that an image needs, several at once.

    with Transfers(content, lease, source, report) as transfers:
        transfer = transfers.start(descriptor)       # returns at once
        for chunk in transfer.chunks(): ...          # follows the download
        transfer.wait()                              # whole, verified, on disk; or its error
        transfers.adopt()                            # every blob gets its name: inside a transaction

Blobs that are here already are not fetched again. What was not adopted is removed at the end of `with`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from types import TracebackType
from typing import Protocol

from containerlib.images.content.ingest import Ingest
from containerlib.images.content.leases import Lease
from containerlib.images.content.store import ContentStore
from containerlib.images.records import Progress
from containerlib.spec.digest import Digest
from containerlib.spec.image import Descriptor

__all__ = ["Present", "Source", "Transfer", "Transfers"]

_AT_ONCE = 3


class Source(Protocol):
    """Where blobs come from; for several threads at once."""

    def fetch(self, descriptor: Descriptor, ingest: Ingest) -> None:
        """Writes the blob into the ingest, without `finish`."""

    def stop(self) -> None:
        """Makes every `fetch` under way fail soon."""


class Transfer(Protocol):
    """A blob that is here or coming. `restarts`: how often it came wrong, and is coming again from its start."""

    @property
    def restarts(self) -> int: ...
    def chunks(self) -> Iterator[bytes]: ...
    def wait(self) -> None: ...


class Transfers:
    """A few download threads and the files that they fill."""

    def __init__(
        self, content: ContentStore, lease: Lease, source: Source, report: Callable[[Progress], None]
    ) -> None:
        self._content = content
        self._lease = lease
        self._source = source
        self._report = report
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="containerlib-download")
        self._started: dict[Digest, _Download | Present] = {}

    def start(self, descriptor: Descriptor) -> Transfer:
        """Begins to fetch the blob, or finds it here, or joins the transfer that there is."""
        digest = descriptor.digest
        if digest not in self._started:
            self._lease.keep([("blob", str(digest))])
            if self._content.has(digest):
                self._started[digest] = Present(self._content, digest)
            else:
                ingest = self._ingest(descriptor)
                self._started[digest] = _Download(ingest, self._pool.submit(self._run, descriptor, ingest))
        return self._started[digest]

    def read(self, descriptor: Descriptor) -> bytes:
        """A small blob, whole and verified."""
        transfer = self.start(descriptor)
        transfer.wait()
        return b"".join(transfer.chunks())

    def put(self, descriptor: Descriptor, data: bytes) -> None:
        """A small blob whose bytes are known."""
        digest = descriptor.digest
        self._lease.keep([("blob", str(digest))])
        if digest not in self._started and not self._content.has(digest):
            ingest = self._ingest(descriptor)
            future: Future[None] = Future()
            self._started[digest] = _Download(ingest, future)
            ingest.write(data)
            ingest.finish()
            future.set_result(None)

    def adopt(self) -> None:
        """Gives every fetched blob its name. All have been waited for."""
        for digest, transfer in self._started.items():
            if isinstance(transfer, _Download):
                self._content.adopt(transfer.ingest.path, digest)

    def abandon(self) -> None:
        """Makes all that is under way fail, and whoever follows it."""
        for download in self._downloads():
            download.ingest.fail(InterruptedError("the transfer is no longer wanted"))
        self._source.stop()

    def _downloads(self) -> list[_Download]:
        return [transfer for transfer in self._started.values() if isinstance(transfer, _Download)]

    def _ingest(self, descriptor: Descriptor) -> Ingest:
        def report(done: int) -> None:
            self._report(Progress("download", str(descriptor.digest), done, descriptor.size))

        path = self._lease.temporary(self._content.ingest)
        return Ingest(path, descriptor.digest, descriptor.size, on_write=report)

    def _run(self, descriptor: Descriptor, ingest: Ingest) -> None:
        try:
            self._source.fetch(descriptor, ingest)
            ingest.finish()
        except BaseException as error:
            ingest.fail(error)
            raise

    def __enter__(self) -> Transfers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.abandon()
        self._pool.shutdown(cancel_futures=True)
        for download in self._downloads():
            download.ingest.close()
            with suppress(FileNotFoundError):  # it was adopted
                os.unlink(download.ingest.path)


class _Download:
    def __init__(self, ingest: Ingest, future: Future[None]) -> None:
        self.ingest = ingest
        self.wait = future.result
        self.chunks = ingest.chunks

    @property
    def restarts(self) -> int:
        return self.ingest.restarts


class Present:
    """A blob that is here, as a transfer."""

    restarts = 0

    def __init__(self, content: ContentStore, digest: Digest) -> None:
        self._content = content
        self._digest = digest

    def chunks(self) -> Iterator[bytes]:
        return self._content.chunks(self._digest)

    def wait(self) -> None:
        """It is here."""
