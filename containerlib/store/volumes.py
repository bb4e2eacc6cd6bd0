"""The named volumes that this root knows."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from attrs import frozen

from containerlib.errors import AlreadyExists, NotFound
from containerlib.store.database import Database

__all__ = ["VolumeRecord", "VolumeTable"]


@frozen
class VolumeRecord:
    """A volume as the database knows it; where its directory is, `volumes` says."""

    name: str
    labels: tuple[tuple[str, str], ...]
    created_at: datetime


class VolumeTable:
    """Records by name."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, name: str, labels: Mapping[str, str] | None = None) -> VolumeRecord:
        """Raises: AlreadyExists."""
        row = (name, json.dumps(dict(labels or {})), time.time())
        try:
            self._database.execute("INSERT INTO volumes VALUES (?,?,?)", row)
        except sqlite3.IntegrityError as error:
            raise AlreadyExists(
                f"there is a volume {name!r} already: engine.volumes.get({name!r}) has it"
            ) from error
        return _record(row)

    def get(self, name: str) -> VolumeRecord:
        """Raises: NotFound."""
        rows = self._database.query("SELECT * FROM volumes WHERE name = ?", (name,))
        if not rows:
            raise NotFound(f"there is no volume {name!r}: create it, or see the list of volumes")
        return _record(rows[0])

    def list(self) -> list[VolumeRecord]:
        """Every record, by name."""
        return [_record(row) for row in self._database.query("SELECT * FROM volumes ORDER BY name")]

    def remove(self, name: str) -> None:
        """Raises: NotFound."""
        if not self._database.execute("DELETE FROM volumes WHERE name = ?", (name,)):
            raise NotFound(f"there is no volume {name!r}: see the list of volumes")


def _record(row: tuple[Any, ...]) -> VolumeRecord:
    labels = tuple(sorted(json.loads(row[1]).items()))
    return VolumeRecord(row[0], labels, datetime.fromtimestamp(row[2], UTC))
