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
    (
        # A layer is there in the form of each snapshotter that made it; an image is used in that of the last pull.
        """CREATE TABLE snapshots_by_kind (
            chain_id TEXT NOT NULL,
            kind TEXT NOT NULL,
            size_bytes INTEGER NOT NULL,
            PRIMARY KEY (chain_id, kind)
        ) WITHOUT ROWID""",
        "INSERT INTO snapshots_by_kind SELECT chain_id, 'overlay', size_bytes FROM snapshots",
        "DROP TABLE snapshots",
        "ALTER TABLE snapshots_by_kind RENAME TO snapshots",
        "ALTER TABLE images ADD COLUMN snapshot_kind TEXT NOT NULL DEFAULT 'overlay'",
    ),
    (
        # What the registry said that the reference is, and for which platforms: the next pull asks no more than that.
        "ALTER TABLE image_references ADD COLUMN resolved TEXT NOT NULL DEFAULT ''",
    ),
    (
        # The index around an image, where all of it is here: empty for an image that was fetched alone.
        "ALTER TABLE images ADD COLUMN index_digest TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE images ADD COLUMN index_media_type TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE images ADD COLUMN index_size INTEGER NOT NULL DEFAULT 0",
    ),
    (
        # Each name may stand for another index around the same image, and an index keeps blobs while anything has it.
        "ALTER TABLE image_references ADD COLUMN index_digest TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE image_references ADD COLUMN index_media_type TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE image_references ADD COLUMN index_size INTEGER NOT NULL DEFAULT 0",
        """CREATE TABLE index_contents (
            index_digest TEXT NOT NULL,
            key TEXT NOT NULL,
            PRIMARY KEY (index_digest, key)
        ) WITHOUT ROWID""",
    ),
    (
        # AUTOINCREMENT: an id is never used again, so that who has seen one has seen all below it.
        """CREATE TABLE events (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            time_ns INTEGER NOT NULL,
            kind TEXT NOT NULL,
            action TEXT NOT NULL,
            subject TEXT NOT NULL,
            name TEXT NOT NULL,
            attributes TEXT NOT NULL,
            run INTEGER
        )""",
        # What several processes may find in a container's records is there once.
        "CREATE UNIQUE INDEX events_run ON events(subject, action, run) WHERE run IS NOT NULL",
    ),
    (
        # Ids that a container's user namespace has for itself.
        """CREATE TABLE id_ranges (
            container_id TEXT PRIMARY KEY REFERENCES containers(id) ON DELETE CASCADE,
            first INTEGER NOT NULL,
            size INTEGER NOT NULL
        ) WITHOUT ROWID""",
    ),
    (
        # How many of the ends that a container's supervisor counts are events; `first` tells whose count it is.
        """CREATE TABLE told_ends (
            container_id TEXT PRIMARY KEY REFERENCES containers(id) ON DELETE CASCADE,
            first INTEGER NOT NULL,
            ends INTEGER NOT NULL
        ) WITHOUT ROWID""",
    ),
    (
        """CREATE TABLE networks (
            id TEXT PRIMARY KEY,
            name TEXT NOT NULL UNIQUE,
            driver TEXT NOT NULL,
            settings TEXT NOT NULL,
            labels TEXT NOT NULL,
            created_at REAL NOT NULL
        ) WITHOUT ROWID""",
        # A container's place in a network; it goes with the container.
        """CREATE TABLE endpoints (
            network_id TEXT NOT NULL REFERENCES networks(id),
            container_id TEXT NOT NULL REFERENCES containers(id) ON DELETE CASCADE,
            device TEXT NOT NULL,
            interface TEXT NOT NULL,
            mac TEXT NOT NULL,
            names TEXT NOT NULL,
            ports TEXT NOT NULL,
            PRIMARY KEY (network_id, container_id)
        ) WITHOUT ROWID""",
        "CREATE INDEX endpoints_container ON endpoints(container_id)",
        """CREATE TABLE addresses (
            network_id TEXT NOT NULL,
            address TEXT NOT NULL,
            container_id TEXT NOT NULL,
            PRIMARY KEY (network_id, address),
            FOREIGN KEY (network_id, container_id) REFERENCES endpoints(network_id, container_id) ON DELETE CASCADE
        ) WITHOUT ROWID""",
        "CREATE INDEX addresses_endpoint ON addresses(container_id, network_id)",
    ),
    (
        # `state`: "" at rest; "making" and "removing"; "mounted" where something may be on its directory.
        "ALTER TABLE volumes ADD COLUMN driver TEXT NOT NULL DEFAULT 'local'",
        "ALTER TABLE volumes ADD COLUMN options TEXT NOT NULL DEFAULT '{}'",
        "ALTER TABLE volumes ADD COLUMN project INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE volumes ADD COLUMN state TEXT NOT NULL DEFAULT ''",
    ),
    (
        # What plugins were told to make, before they were; it stays until they have taken it back, whoever is gone.
        """CREATE TABLE attachments (
            network_id TEXT NOT NULL REFERENCES networks(id),
            container_id TEXT NOT NULL,
            interface TEXT NOT NULL,
            given TEXT NOT NULL,
            result TEXT,
            PRIMARY KEY (container_id, network_id)
        ) WITHOUT ROWID""",
    ),
    (
        # Where an image came from that no registry was asked for: "loaded" from an archive, whoever made that, or
        # "made" here.
        """CREATE TABLE image_origins (
            image_id TEXT PRIMARY KEY REFERENCES images(id) ON DELETE CASCADE,
            origin TEXT NOT NULL
        ) WITHOUT ROWID""",
    ),
)
