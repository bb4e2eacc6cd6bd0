"""What happened to containers, images and volumes, in the order in which it became known.

    store.events.add(EventRow("container", "create", container_id, "web"))
    store.events.after(0)

Ids only grow, also where old rows went. What is known from a container's records may be found by several processes:
`run` says of which run of it an event is, and one of each action is kept for that.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from attrs import field, frozen

from containerlib.errors import StageError, Unavailable
from containerlib.store.database import Database

__all__ = ["EventRow", "EventTable"]

_MOST = 10_000
_OLDEST_NS = 30 * 86_400 * 10**9
_TRIM_EVERY = 256
_LABELS = "labels"
"""Where they are kept among the attributes."""
_COLUMNS = "id, time_ns, kind, action, subject, name, attributes, run"
_INSERT = "INSERT OR IGNORE INTO events(time_ns, kind, action, subject, name, attributes, run) VALUES "


@frozen
class EventRow:
    """One event; `id` is given when it is stored. `labels` are the subject's."""

    kind: str
    action: str
    subject: str
    name: str = ""
    attributes: Mapping[str, str] = field(factory=dict)
    time_ns: int = field(factory=time.time_ns)
    run: int | None = None
    id: int = 0
    labels: Mapping[str, str] = field(factory=dict)


class EventTable:
    """The newest events, of the last 30 days."""

    def __init__(self, database: Database, *, most: int = _MOST) -> None:
        self._database = database
        self._most = most
        self._added = 0

    def add(self, *rows: EventRow) -> None:
        """Stores events, in the open transaction if there is one."""
        if not rows:
            return
        values = [value for row in rows for value in _values(row)]
        self._database.execute(_INSERT + ",".join(["(?,?,?,?,?,?,?)"] * len(rows)), values)
        self._added += len(rows)
        if self._added >= _TRIM_EVERY:
            self._added = 0
            self.trim()

    def note(self, *rows: EventRow) -> None:
        """As `add`. What has happened has, also where the disk is full: that nobody can be told is no failure of it."""
        with suppress(StageError, Unavailable):
            self.add(*rows)

    def note_prune(self, kind: str, reclaimed_bytes: int) -> None:
        """The end of a prune; each thing that it removed has an event of its own."""
        self.note(EventRow(kind, "prune", "", attributes={"reclaimed_bytes": str(reclaimed_bytes)}))

    def unknown(self, rows: Sequence[EventRow]) -> list[EventRow]:
        """Those that are not stored yet."""
        return [
            row
            for row in rows
            if not self._database.query(
                "SELECT 1 FROM events WHERE subject = ? AND action = ? AND run = ?",
                (row.subject, row.action, row.run),
            )
        ]

    def told_ends(self, container_id: str, first: int) -> int:
        """How many of the ends are stored that were counted from the one at `first` on."""
        sql = "SELECT ends FROM told_ends WHERE container_id = ? AND first = ?"
        rows = self._database.query(sql, (container_id, first))
        return int(rows[0][0]) if rows else 0

    def tell_ends(self, container_id: str, first: int, ends: int) -> bool:
        """So many are stored from now on. False where the container is there no more."""
        changed = self._database.execute(
            """INSERT INTO told_ends SELECT id, ?, ? FROM containers WHERE id = ?
            ON CONFLICT (container_id) DO UPDATE SET first = excluded.first, ends = excluded.ends""",
            (first, ends, container_id),
        )
        return changed > 0

    def after(self, last: int) -> list[EventRow]:
        """The events with a higher id, in their order."""
        rows = self._database.query(
            f"SELECT {_COLUMNS} FROM events WHERE id > ? ORDER BY id",  # noqa: S608 - our own text
            (last,),
        )
        return [_row(row) for row in rows]

    def last(self, subject: str, action: str) -> EventRow | None:
        """The newest of that action, if there is one."""
        rows = self._database.query(
            f"SELECT {_COLUMNS} FROM events WHERE subject = ? AND action = ? ORDER BY id DESC LIMIT 1",  # noqa: S608
            (subject, action),
        )
        return _row(rows[0]) if rows else None

    def newest(self) -> int:
        """The highest id; 0 where nothing has happened."""
        return int(self._database.query("SELECT coalesce(max(id), 0) FROM events")[0][0])

    def trim(self) -> None:
        """Lets the oldest go. `add` does it now and then; a process that adds few, when it opens the store."""
        oldest = time.time_ns() - _OLDEST_NS
        first = self._database.query("SELECT id, time_ns FROM events ORDER BY id LIMIT 1")
        if first and (first[0][0] <= self.newest() - self._most or first[0][1] < oldest):
            self._database.execute(
                """DELETE FROM events WHERE id <= (SELECT max(id) FROM events) - ?
                OR id < (SELECT coalesce(min(id), (SELECT max(id) FROM events)) FROM events WHERE time_ns >= ?)""",
                (self._most, oldest),
            )


def _values(row: EventRow) -> tuple[Any, ...]:
    facts = {**row.attributes, **({_LABELS: dict(row.labels)} if row.labels else {})}
    attributes = json.dumps(facts) if facts else "{}"
    return (row.time_ns, row.kind, row.action, row.subject, row.name, attributes, row.run)


def _row(row: tuple[Any, ...]) -> EventRow:
    id_, time_ns, kind, action, subject, name, attributes, run = row
    facts = json.loads(attributes)
    labels = facts.pop(_LABELS, {})
    return EventRow(kind, action, subject, name, facts, time_ns, run, id_, labels)
