"""The parts of one root that images are kept in, handed around as one value."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from attrs import frozen

from containerlib.errors import StageError
from containerlib.images.content.leases import Lease
from containerlib.images.content.stand_ins import named_in_layout, stand_in
from containerlib.images.content.store import ContentStore
from containerlib.images.content.trees import names_of, top_of
from containerlib.images.naming import find_row
from containerlib.images.snapshots.store import SnapshotStore
from containerlib.spec.digest import Digest
from containerlib.spec.image import Descriptor, Index, Manifest
from containerlib.spec.options import SnapshotterName
from containerlib.store import ImageRow, ImageTable

__all__ = ["ImageRoot"]


@frozen
class ImageRoot:
    """The parts of a root that hold images: blobs, snapshots, leases, and the table that says what is whole."""

    content: ContentStore
    snapshots: SnapshotStore
    leases: str
    """The directory of the leases' files."""
    table: ImageTable

    @classmethod
    def open(cls, root: str, table: ImageTable, snapshotter: SnapshotterName) -> ImageRoot:
        """Makes what is missing. `snapshotter`: as of `SnapshotStore`. Raises: StageError(stage="state")."""
        leases = os.path.join(root, "leases")
        try:
            os.makedirs(leases, mode=0o700, exist_ok=True)
            content = ContentStore(os.path.join(root, "content"))
            if not content.is_layout():
                with table.transaction():
                    if not content.is_layout():
                        content.make_layout()
            snapshots = SnapshotStore(os.path.join(root, "snapshots"), table, snapshotter)
            return cls(content, snapshots, leases, table)
        except OSError as error:
            raise StageError(
                "state",
                error.errno or 0,
                error.filename or root,
                advice="choose another directory with Engine(root=...)",
            ) from error

    def lease(self) -> Lease:
        return Lease(self.leases, self.table)

    @contextmanager
    def holding(self, *names: str) -> Iterator[Sequence[ImageRow]]:
        """The images of these names or ids. Their blobs and snapshots stay until the block ends, also after a removal.

        Raises: NotFound; InvalidArgument.
        """
        with self.lease() as lease:
            with (
                self.table.transaction()
            ):  # a removal is before this or after it: the rows name nothing that is gone
                rows = [find_row(self.table, name) for name in names]
                lease.keep(content for row in rows for content in self.table.contents(row.id))
            yield rows

    def manifest(self, row: ImageRow) -> Manifest:
        """Raises: StageError; InvalidArgument for one that is damaged."""
        return Manifest.from_bytes(self.content.read(Digest.parse(row.manifest_digest)))

    def is_whole(self, row: ImageRow) -> bool:
        """Whether all that the image consists of is here, its layers in the form that new ones would have."""
        return self.snapshots.is_wanted(row.snapshot_kind) and all(
            self.content.has(Digest.parse(key))
            if kind == "blob"
            else self.snapshots.has(key, row.snapshot_kind)
            for kind, key in self.table.contents(row.id)
        )

    def write_index(self) -> None:
        """Brings index.json up to the table. Inside the transaction that changed it."""
        entries = []
        for row in self.table.list():
            for reference in names_of(row):
                top = top_of(row, reference)
                index = self._stand_in(top)
                if index is not None:
                    self.content.put(index.descriptor().digest, index.to_bytes())
                entries += [entry.named(reference or "") for entry in named_in_layout(top, index)]
        self.content.write_index(entries)

    def stand_ins(self) -> set[str]:
        """The digests of the blobs that are there for index.json alone."""
        tops = [top_of(row, reference) for row in self.table.list() for reference in names_of(row)]
        return {str(index.descriptor().digest) for top in tops if (index := self._stand_in(top)) is not None}

    def _stand_in(self, top: Descriptor) -> Index | None:
        return stand_in(top, lambda descriptor: self.content.read(descriptor.digest))
