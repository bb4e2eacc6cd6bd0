"""The tables, as a list of migrations: one is appended for each change, none is ever edited."""

from __future__ import annotations

__all__ = ["MIGRATIONS"]

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        # An image is named by its config's digest. `chain` are its snapshots, the lowest first, one a line.
        """CREATE TABLE images (
            id TEXT PRIMARY KEY,
            manifest_digest TEXT NOT NULL,
            manifest_media_type TEXT NOT NULL,
            manifest_size INTEGER NOT NULL,
            size_bytes INTEGER NOT NULL,
            chain TEXT NOT NULL,
            created_at REAL NOT NULL
        ) WITHOUT ROWID""",
        """CREATE TABLE image_references (
            reference TEXT PRIMARY KEY,
            image_id TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE
        ) WITHOUT ROWID""",
        "CREATE INDEX image_references_image ON image_references(image_id)",
        # What an image keeps from being collected: kind is 'blob' or 'snapshot', key a digest or a chain id.
        """CREATE TABLE image_contents (
            image_id TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE,
            kind TEXT NOT NULL,
            key TEXT NOT NULL,
            PRIMARY KEY (image_id, kind, key)
        ) WITHOUT ROWID""",
        # The same for a pull that is under way: the lease's file is locked for as long as its holder lives.
        """CREATE TABLE leases (
            lease TEXT NOT NULL,
            kind TEXT NOT NULL,
            key TEXT NOT NULL,
            PRIMARY KEY (lease, kind, key)
        ) WITHOUT ROWID""",
        """CREATE TABLE snapshots (
            chain_id TEXT PRIMARY KEY,
            size_bytes INTEGER NOT NULL
        ) WITHOUT ROWID""",
        """CREATE TABLE containers (
            id TEXT PRIMARY KEY,
            name TEXT NOT NULL UNIQUE,
            image_id TEXT NOT NULL,
            image_reference TEXT NOT NULL,
            options_json TEXT NOT NULL,
            created_at REAL NOT NULL,
            owner_pid INTEGER,
            owner_start_time INTEGER,
            auto_remove INTEGER NOT NULL
        ) WITHOUT ROWID""",
        """CREATE TABLE volumes (
            name TEXT PRIMARY KEY,
            labels TEXT NOT NULL,
            created_at REAL NOT NULL
        ) WITHOUT ROWID""",
    ),
)
