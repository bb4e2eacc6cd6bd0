"""The images of one root, what they are called, and what keeps a blob or a snapshot from collection."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, cast

from attrs import frozen

from containerlib.store.database import Database

if TYPE_CHECKING:
    from containerlib.spec.layer import LayerKind

__all__ = ["Content", "ImageRow", "ImageTable", "IndexRow", "Kind", "Origin"]

Kind = Literal["blob", "snapshot"]
Origin = Literal["pulled", "loaded", "made"]
"""By a reference, as an archive, or from what was here."""
Content = tuple[Kind, str]
"""A blob and its digest, or a snapshot and its chain id."""

_COLUMNS = """id, manifest_digest, manifest_media_type, manifest_size, size_bytes, chain, created_at, snapshot_kind,
    index_digest, index_media_type, index_size,
    (SELECT group_concat(words, char(10)) FROM (
        SELECT reference || ' ' || index_digest || ' ' || index_media_type || ' ' || index_size AS words
        FROM image_references WHERE image_id = images.id))"""
_INDEXES = "SELECT index_digest FROM images UNION SELECT index_digest FROM image_references"


@frozen
class IndexRow:
    """An index all of which is here."""

    digest: str
    media_type: str
    size: int


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
    index: IndexRow | None = None
    """What the last pull or load took it from, if that took all of it."""
    references: tuple[str, ...] = ()
    indexes: tuple[tuple[str, IndexRow], ...] = ()
    """References that stand for an index, not for the image alone."""


class ImageTable:
    """Images, references, snapshots and leases; what belongs together goes into one `transaction`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.transaction = database.transaction

    def put(
        self,
        row: ImageRow,
        contents: Iterable[Content],
        *,
        below: Iterable[str] = (),
        origin: Origin = "pulled",
    ) -> None:
        """Adds the image, or replaces what it consists of; its references stay. `below`: the blobs of its index.

        `origin`: an archive says nothing of one that was here before.
        """
        with self.transaction() as cursor:
            is_known = origin == "loaded" and self.has(row.id)
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
                    *_columns(row.index),
                ),
            )
            cursor.execute("DELETE FROM image_contents WHERE image_id = ?", (row.id,))
            cursor.executemany(
                "INSERT OR IGNORE INTO image_contents VALUES (?,?,?)",
                [(row.id, kind, key) for kind, key in contents],
            )
            if row.index is not None:
                cursor.executemany(
                    "INSERT OR IGNORE INTO index_contents VALUES (?,?)",
                    [(row.index.digest, key) for key in below],
                )
            if not is_known:
                self.set_origin(row.id, origin)

    def origin(self, image_id: str) -> Origin:
        """Where it came from."""
        rows = self._database.query("SELECT origin FROM image_origins WHERE image_id = ?", (image_id,))
        return cast(Origin, rows[0][0]) if rows else "pulled"

    def set_origin(self, image_id: str, origin: Origin) -> None:
        """One that was made here stays that."""
        with self.transaction() as cursor:
            cursor.execute("DELETE FROM image_origins WHERE image_id = ? AND origin != 'made'", (image_id,))
            if origin != "pulled":
                cursor.execute("INSERT OR REPLACE INTO image_origins VALUES (?,?)", (image_id, origin))

    def contents(self, image_id: str) -> tuple[Content, ...]:
        """What the image, and the indexes that it and its names have, keep from collection."""
        rows = self._database.query(
            """SELECT kind, key FROM image_contents WHERE image_id = ?1
            UNION SELECT 'blob', key FROM index_contents WHERE index_digest IN (
                SELECT index_digest FROM images WHERE id = ?1
                UNION SELECT index_digest FROM image_references WHERE image_id = ?1)""",
            (image_id,),
        )
        return tuple((kind, key) for kind, key in rows)

    def refer(
        self, reference: str, image_id: str, *, resolved: str = "", index: IndexRow | None = None
    ) -> None:
        """Gives `reference` to the image, or to `index` with it; another image that had it loses it.

        `resolved`: why it is this one.
        """
        self._database.execute(
            "INSERT OR REPLACE INTO image_references VALUES (?,?,?,?,?,?)",
            (reference, image_id, resolved, *_columns(index)),
        )

    def has_index(self, digest: str) -> bool:
        """Whether an image or a name has the index."""
        return bool(self._database.query(f"SELECT 1 WHERE ? IN ({_INDEXES})", (digest,)))

    def forget_indexes(self) -> None:
        """Forgets what the indexes kept that no image and no name has any more."""
        self._database.execute(f"DELETE FROM index_contents WHERE index_digest NOT IN ({_INDEXES})")  # noqa: S608

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

    def has(self, image_id: str) -> bool:
        return bool(self._database.query("SELECT 1 FROM images WHERE id = ?", (image_id,)))

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
                f"""SELECT key FROM image_contents WHERE kind = ?1 UNION SELECT key FROM leases WHERE kind = ?1
                UNION SELECT key FROM index_contents WHERE ?1 = 'blob' AND index_digest IN ({_INDEXES})""",  # noqa: S608
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
    named = sorted(line.split(" ") for line in references.split("\n")) if references else []
    return ImageRow(
        id=id_,
        manifest_digest=manifest_digest,
        manifest_media_type=media_type,
        manifest_size=manifest_size,
        size_bytes=size_bytes,
        chain=tuple(chain.split("\n")) if chain else (),
        created_at=created_at,
        snapshot_kind=kind,
        index=_index(*index),
        references=tuple(reference for reference, *_ in named),
        indexes=tuple((reference, found) for reference, *words in named if (found := _index(*words))),
    )


def _columns(index: IndexRow | None) -> tuple[str, str, int]:
    return (index.digest, index.media_type, index.size) if index else ("", "", 0)


def _index(digest: str, media_type: str, size: str | int) -> IndexRow | None:
    return IndexRow(digest, media_type, int(size)) if digest else None
