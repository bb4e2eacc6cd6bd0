"""The named volumes that this root knows."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from attrs import frozen

from containerlib.errors import AlreadyExists, NotFound
from containerlib.store.database import Database

__all__ = ["VolumeRecord", "VolumeState", "VolumeTable"]

VolumeState = Literal["", "making", "removing", "mounted"]
"""At rest; on its way into being or out of it, by a process that may have been killed; perhaps with a mount."""
_ON_ITS_WAY = ("making", "removing")


@frozen
class VolumeRecord:
    """A volume as the database knows it; where its directory is, `volumes` says."""

    name: str
    labels: tuple[tuple[str, str], ...]
    created_at: datetime
    driver: str = "local"
    options: tuple[tuple[str, str], ...] = ()
    project: int = 0
    """Whose quota bounds it; 0: none."""
    state: VolumeState = ""


class VolumeTable:
    """Records by name."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self,
        name: str,
        labels: Mapping[str, str] | None = None,
        *,
        driver: str = "local",
        options: Mapping[str, str] | None = None,
        project: int = 0,
        state: VolumeState = "",
    ) -> VolumeRecord:
        """Raises: AlreadyExists."""
        texts = json.dumps(dict(labels or {})), json.dumps(dict(options or {}))
        row = (name, texts[0], time.time(), driver, texts[1], project, state)
        try:
            self._database.execute("INSERT INTO volumes VALUES (?,?,?,?,?,?,?)", row)
        except sqlite3.IntegrityError as error:
            raise AlreadyExists(
                f"there is a volume {name!r} already: engine.volumes.get({name!r}) has it"
            ) from error
        return _record(row)

    def get(self, name: str, *, partial: bool = False) -> VolumeRecord:
        """With `partial` also one that is on its way. Raises: NotFound."""
        rows = self._database.query("SELECT * FROM volumes WHERE name = ?", (name,))
        if not rows or (rows[0][6] in _ON_ITS_WAY and not partial):
            raise NotFound(f"there is no volume {name!r}: create it, or see the list of volumes")
        return _record(rows[0])

    def list(self) -> list[VolumeRecord]:
        """Every record, by name."""
        rows = self._database.query("SELECT * FROM volumes WHERE state IN ('', 'mounted') ORDER BY name")
        return [_record(row) for row in rows]

    def restless(self) -> Sequence[VolumeRecord]:
        """Those that are mounted, or on their way."""
        return [_record(row) for row in self._database.query("SELECT * FROM volumes WHERE state != ''")]

    def set_state(self, name: str, state: VolumeState) -> None:
        """Raises: NotFound."""
        if not self._database.execute("UPDATE volumes SET state = ? WHERE name = ?", (state, name)):
            raise NotFound(f"there is no volume {name!r}: see the list of volumes")

    def remove(self, name: str) -> None:
        """Raises: NotFound."""
        if not self._database.execute("DELETE FROM volumes WHERE name = ?", (name,)):
            raise NotFound(f"there is no volume {name!r}: see the list of volumes")


def _record(row: tuple[Any, ...]) -> VolumeRecord:
    labels, options = (tuple(sorted(json.loads(row[at]).items())) for at in (1, 4))
    name, _, created, driver, _, project, state = row
    return VolumeRecord(name, labels, datetime.fromtimestamp(created, UTC), driver, options, project, state)
