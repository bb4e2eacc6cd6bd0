"""The images of one root, what they are called, and what keeps a blob or a snapshot from collection."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

from attrs import frozen

from containerlib.store.database import Database

if TYPE_CHECKING:
    from containerlib.spec.layer import LayerKind

__all__ = ["Content", "ImageRow", "ImageTable", "Kind"]

Kind = Literal["blob", "snapshot"]
Content = tuple[Kind, str]
"""A blob and its digest, or a snapshot and its chain id."""

_COLUMNS = """id, manifest_digest, manifest_media_type, manifest_size, size_bytes, chain, created_at, snapshot_kind,
    index_digest, index_media_type, index_size,
    (SELECT group_concat(reference, char(10)) FROM image_references WHERE image_id = images.id)"""


@frozen
class ImageRow:
    """An image as it is stored; `created_at` in seconds since the epoch."""

    id: str
    manifest_digest: str
    manifest_media_type: str
    manifest_size: int
    size_bytes: int
    chain: tuple[str, ...]
    created_at: float
    snapshot_kind: LayerKind = "overlay"
    """In which form its layers are used: that of the last pull or load."""
    index_digest: str = ""
    """The index that the last pull or load took it from, if that took all of it."""
    index_media_type: str = ""
    index_size: int = 0
    references: tuple[str, ...] = ()


class ImageTable:
    """Images, references, snapshots and leases; what belongs together goes into one `transaction`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.transaction = database.transaction

    def put(self, row: ImageRow, contents: Iterable[Content]) -> None:
        """Adds the image, or replaces what it consists of; its references stay."""
        with self.transaction() as cursor:
            cursor.execute(
                """INSERT INTO images VALUES (?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (id) DO UPDATE SET
                    manifest_digest = excluded.manifest_digest,
                    manifest_media_type = excluded.manifest_media_type,
                    manifest_size = excluded.manifest_size,
                    snapshot_kind = excluded.snapshot_kind,
                    index_digest = excluded.index_digest,
                    index_media_type = excluded.index_media_type,
                    index_size = excluded.index_size""",
                (
                    row.id,
                    row.manifest_digest,
                    row.manifest_media_type,
                    row.manifest_size,
                    row.size_bytes,
                    "\n".join(row.chain),
                    row.created_at,
                    row.snapshot_kind,
                    row.index_digest,
                    row.index_media_type,
                    row.index_size,
                ),
            )
            cursor.execute("DELETE FROM image_contents WHERE image_id = ?", (row.id,))
            cursor.executemany(
                "INSERT OR IGNORE INTO image_contents VALUES (?,?,?)",
                [(row.id, kind, key) for kind, key in contents],
            )

    def contents(self, image_id: str) -> tuple[Content, ...]:
        """What the image keeps from collection."""
        rows = self._database.query("SELECT kind, key FROM image_contents WHERE image_id = ?", (image_id,))
        return tuple((kind, key) for kind, key in rows)

    def refer(self, reference: str, image_id: str, *, resolved: str = "") -> None:
        """Gives `reference` to the image; another image that had it loses it. `resolved`: why it is this one."""
        self._database.execute(
            "INSERT OR REPLACE INTO image_references VALUES (?,?,?)", (reference, image_id, resolved)
        )

    def resolved(self, reference: str) -> str:
        """Why the reference is of the image that it is of; "" where that is not known."""
        rows = self._database.query("SELECT resolved FROM image_references WHERE reference = ?", (reference,))
        return str(rows[0][0]) if rows else ""

    def unrefer(self, reference: str) -> None:
        self._database.execute("DELETE FROM image_references WHERE reference = ?", (reference,))

    def delete(self, image_id: str) -> None:
        """Forgets the image, its references and its hold on contents."""
        self._database.execute("DELETE FROM images WHERE id = ?", (image_id,))

    def by_reference(self, reference: str) -> ImageRow | None:
        rows = self._rows(
            "WHERE id = (SELECT image_id FROM image_references WHERE reference = ?)", (reference,)
        )
        return rows[0] if rows else None

    def by_id(self, start: str) -> tuple[ImageRow, ...]:
        """The image of that id, or up to two whose ids start so."""
        return self._rows("WHERE id >= ?1 AND id < ?1 || 'g' LIMIT 2", (start,))

    def list(self) -> tuple[ImageRow, ...]:
        """Every image, the newest first."""
        return self._rows("ORDER BY created_at DESC, id")

    def put_snapshot(self, chain_id: str, kind: LayerKind, size_bytes: int) -> None:
        row = (chain_id, kind, size_bytes)
        self._database.execute("INSERT OR REPLACE INTO snapshots VALUES (?,?,?)", row)

    def snapshot_sizes(self) -> dict[tuple[str, LayerKind], int]:
        """The size of every snapshot that is whole, by chain id and kind."""
        rows = self._database.query("SELECT chain_id, kind, size_bytes FROM snapshots")
        return {(chain_id, kind): size for chain_id, kind, size in rows}

    def has_snapshot(self, chain_id: str, kind: LayerKind) -> bool:
        return bool(
            self._database.query("SELECT 1 FROM snapshots WHERE chain_id = ? AND kind = ?", (chain_id, kind))
        )

    def delete_snapshot(self, chain_id: str, kind: LayerKind) -> None:
        self._database.execute("DELETE FROM snapshots WHERE chain_id = ? AND kind = ?", (chain_id, kind))

    def lease(self, lease: str, contents: Iterable[Content]) -> None:
        """Keeps `contents`, there or yet to come, until the lease is released."""
        with self.transaction() as cursor:
            cursor.executemany(
                "INSERT OR IGNORE INTO leases VALUES (?,?,?)", [(lease, kind, key) for kind, key in contents]
            )

    def release(self, lease: str) -> None:
        self._database.execute("DELETE FROM leases WHERE lease = ?", (lease,))

    def leases(self) -> set[str]:
        """Every lease that has not been released, also those whose holder died."""
        return {lease for (lease,) in self._database.query("SELECT DISTINCT lease FROM leases")}

    def kept(self, kind: Kind) -> set[str]:
        """The keys that an image or a lease keeps."""
        return {
            key
            for (key,) in self._database.query(
                "SELECT key FROM image_contents WHERE kind = ?1 UNION SELECT key FROM leases WHERE kind = ?1",
                (kind,),
            )
        }

    def _rows(self, rest: str, parameters: tuple[str, ...] = ()) -> tuple[ImageRow, ...]:
        rows = self._database.query(f"SELECT {_COLUMNS} FROM images {rest}", parameters)  # noqa: S608 - our text
        return tuple(_row(row) for row in rows)


def _row(row: tuple[Any, ...]) -> ImageRow:
    (
        id_,
        manifest_digest,
        media_type,
        manifest_size,
        size_bytes,
        chain,
        created_at,
        kind,
        *index,
        references,
    ) = row
    index_digest, index_media_type, index_size = index
    return ImageRow(
        id=id_,
        manifest_digest=manifest_digest,
        manifest_media_type=media_type,
        manifest_size=manifest_size,
        size_bytes=size_bytes,
        chain=tuple(chain.split("\n")) if chain else (),
        created_at=created_at,
        snapshot_kind=kind,
        index_digest=index_digest,
        index_media_type=index_media_type,
        index_size=index_size,
        references=tuple(sorted(references.split("\n"))) if references else (),
    )
