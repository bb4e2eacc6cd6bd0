"""What plugins have made of containers' places, until they have taken it back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from containerlib.store.database import Database

__all__ = ["AttachmentRecord", "AttachmentTable"]


@frozen
class AttachmentRecord:
    """`given`: what the plugins are told beside their configuration; `result` None: they may not have done it."""

    network_id: str
    container_id: str
    interface: str
    given: Mapping[str, Any]
    result: Mapping[str, Any] | None = None


class AttachmentTable:
    """Records by container and network. They outlive both a container's record and its place on the network."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, record: AttachmentRecord) -> None:
        """In place of the one that is there."""
        result = None if record.result is None else json.dumps(dict(record.result))
        row = (
            record.network_id,
            record.container_id,
            record.interface,
            json.dumps(dict(record.given)),
            result,
        )
        self._database.execute("INSERT OR REPLACE INTO attachments VALUES (?,?,?,?,?)", row)

    def remove(self, record: AttachmentRecord) -> None:
        """It need not be there."""
        self._database.execute(
            "DELETE FROM attachments WHERE network_id = ? AND container_id = ?",
            (record.network_id, record.container_id),
        )

    def list(self) -> Sequence[AttachmentRecord]:
        """Every one."""
        return self._read("SELECT * FROM attachments", ())

    def of(self, container_id: str) -> Sequence[AttachmentRecord]:
        """The container's, in order of its interfaces."""
        return self._read(
            "SELECT * FROM attachments WHERE container_id = ? ORDER BY length(interface), interface",
            (container_id,),
        )

    def on(self, network_id: str) -> Sequence[AttachmentRecord]:
        """The network's."""
        return self._read("SELECT * FROM attachments WHERE network_id = ?", (network_id,))

    def _read(self, query: str, values: tuple[str, ...]) -> Sequence[AttachmentRecord]:
        return [
            AttachmentRecord(
                row[0], row[1], row[2], json.loads(row[3]), None if row[4] is None else json.loads(row[4])
            )
            for row in self._database.query(query, values)
        ]
