"""`<root>/content`: an OCI image layout with every blob of every image; other tools can read it.

    skopeo inspect oci:<root>/content:docker.io/library/redis:latest

A blob has its name only when it is whole, verified and on disk. Names come and go inside a write transaction
of the store, which makes "not there yet" and "no longer there" safe to act on among processes.

Spec: image-spec image-layout.md.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from errno import ENOENT
from pathlib import Path

from containerlib.errors import StageError
from containerlib.spec.digest import Digest
from containerlib.spec.image import Descriptor, Index

__all__ = ["ContentStore"]


class ContentStore:
    """The directories `blobs/` and `ingest/` (what is on its way in), and index.json."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.ingest = os.path.join(path, "ingest")
        self._blobs = os.path.join(path, "blobs")
        for directory in (path, self._blobs, os.path.join(self._blobs, "sha256"), self.ingest):
            os.makedirs(directory, mode=0o700, exist_ok=True)

    def is_layout(self) -> bool:
        """Whether the files that make it an image layout are there."""
        return all(os.path.exists(os.path.join(self.path, name)) for name in ("oci-layout", "index.json"))

    def make_layout(self) -> None:
        """Writes them, for no images yet. Inside a transaction."""
        self.write_index(())
        self._replace("oci-layout", json.dumps({"imageLayoutVersion": "1.0.0"}).encode())

    def blob_path(self, digest: Digest) -> str:
        return os.path.join(self._blobs, digest.algorithm, digest.hex)

    def has(self, digest: Digest) -> bool:
        return os.path.exists(self.blob_path(digest))

    def read(self, digest: Digest) -> bytes:
        """A small blob, whole."""
        return b"".join(self.chunks(digest))

    def chunks(self, digest: Digest, size: int = 256 * 1024) -> Iterator[bytes]:
        """A blob in pieces. Raises: StageError where it is gone."""
        path = self.blob_path(digest)
        try:
            with open(path, "rb", buffering=0) as blob:
                while chunk := blob.read(size):
                    yield chunk
        except OSError as error:
            advice = "pull the image again" if error.errno == ENOENT else ""
            raise StageError("content", error.errno or 0, path, advice=advice) from error

    def adopt(self, path: str, digest: Digest) -> None:
        """Gives the finished file at `path` its name as a blob."""
        target = self.blob_path(digest)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.rename(path, target)

    def put(self, digest: Digest, data: bytes) -> None:
        """Makes the small blob be there. Inside a transaction."""
        if not self.has(digest):
            self._replace(self.blob_path(digest), data)

    def digests(self) -> list[Digest]:
        """Every blob that is here."""
        return [
            Digest(algorithm, name)
            for algorithm in os.listdir(self._blobs)
            if os.path.isdir(os.path.join(self._blobs, algorithm))
            for name in os.listdir(os.path.join(self._blobs, algorithm))
        ]

    def write_index(self, manifests: Iterable[Descriptor]) -> None:
        """Makes index.json say so: each manifest under each of its names. Inside a transaction."""
        data = Index(tuple(manifests)).to_bytes()
        if not self.is_layout() or Path(self.path, "index.json").read_bytes() != data:
            self._replace("index.json", data)

    def _replace(self, name: str, data: bytes) -> None:
        """Writes aside and renames; the transaction sees to it that nobody else is at it."""
        aside = os.path.join(self.ingest, os.path.basename(name))
        try:
            with open(aside, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.rename(aside, os.path.join(self.path, name))
        except OSError as error:
            raise StageError("content", error.errno or 0, aside, advice="free some space there") from error
