"""The containers that this root knows. Whether one runs is the kernel's to say, and is not here."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from typing import Any

from attrs import astuple, frozen
from attrs import fields as attrs_fields

from containerlib.errors import AlreadyExists, InvalidArgument, NotFound
from containerlib.store.database import Database

__all__ = ["ContainerRecord", "ContainerTable"]


@frozen
class ContainerRecord:
    """What is kept of a container beside its directory. No owner: it is detached."""

    id: str
    name: str
    image_id: str
    image_reference: str
    options_json: str
    created_at: datetime
    owner_pid: int | None = None
    owner_start_time: int | None = None
    auto_remove: bool = False


class ContainerTable:
    """Records by id, name, or the start of an id."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, record: ContainerRecord) -> None:
        """Raises: AlreadyExists where the name or the id is taken."""
        values = (*astuple(record)[:5], record.created_at.timestamp(), *astuple(record)[6:])
        try:
            self._database.execute("INSERT INTO containers VALUES (?,?,?,?,?,?,?,?,?)", values)
        except sqlite3.IntegrityError as error:
            what = f"name {record.name!r}" if "name" in str(error) else f"id {record.id}"
            raise AlreadyExists(
                f"the {what} belongs to another container: remove that one or choose another name"
            ) from error

    def get(self, name_or_id: str) -> ContainerRecord:
        """The container of that name, else of that id, else the only one whose id starts so.

        Raises: NotFound; InvalidArgument where several ids start so.
        """
        exact = name_or_id.isascii() and self._select(
            "WHERE name = ?1 UNION ALL SELECT * FROM containers WHERE id = ?1", (name_or_id,)
        )
        if exact:
            return exact[0]
        start = name_or_id.lower()
        if start and all(c in "0123456789abcdef" for c in start):
            matches = self._select("WHERE id >= ? AND id < ? LIMIT 2", (start, start + "g"))
            if len(matches) == 1:
                return matches[0]
            if matches:
                raise InvalidArgument(
                    f"several containers' ids start with {start!r}: write more of it", field="id"
                )
        raise NotFound(f"there is no container {name_or_id!r}: engine.containers.list() has those that are")

    def list(self) -> list[ContainerRecord]:
        """Every record, the oldest first."""
        return [*self._select("ORDER BY created_at, id")]

    def adopt(self, container_id: str, owner_pid: int | None, owner_start_time: int | None) -> None:
        """Gives the container another owner, the process that starts it again, or none. Raises: NotFound."""
        self._change(
            "UPDATE containers SET owner_pid = ?, owner_start_time = ?",
            container_id,
            owner_pid,
            owner_start_time,
        )

    def rename(self, container_id: str, name: str) -> None:
        """Gives the container another name. Raises: AlreadyExists, NotFound."""
        try:
            self._change("UPDATE containers SET name = ?", container_id, name)
        except sqlite3.IntegrityError as error:
            raise AlreadyExists(f"the name {name!r} belongs to another container: choose another") from error

    def set_options(self, container_id: str, options_json: str) -> None:
        """Replaces what is known of the container's recipe. Raises: NotFound."""
        self._change("UPDATE containers SET options_json = ?", container_id, options_json)

    def remove(self, container_id: str) -> None:
        """Forgets the container. Raises: NotFound."""
        self._change("DELETE FROM containers", container_id)

    def _change(self, what: str, container_id: str, *values: object) -> None:
        if not self._database.execute(f"{what} WHERE id = ?", (*values, container_id)):
            raise NotFound(f"there is no container {container_id!r}: it was removed meanwhile")

    def _select(self, rest: str, parameters: tuple[str, ...] = ()) -> tuple[ContainerRecord, ...]:
        rows = self._database.query(f"SELECT * FROM containers {rest}", parameters)  # noqa: S608 - our own text
        return tuple(_record(row) for row in rows)


def _record(row: tuple[Any, ...]) -> ContainerRecord:
    fields = dict(zip((f.name for f in attrs_fields(ContainerRecord)), row, strict=True))
    created_at = datetime.fromtimestamp(row[5], UTC)
    return ContainerRecord(**{**fields, "created_at": created_at, "auto_remove": bool(row[8])})
