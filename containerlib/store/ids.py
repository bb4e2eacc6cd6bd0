"""Ranges of ids that containers have for themselves; each goes with its container."""

from __future__ import annotations

from collections.abc import Sequence

from containerlib.errors import Conflict
from containerlib.store.database import Database

__all__ = ["IdTable"]


class IdTable:
    """Who has which ids."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def lease(self, container_id: str, size: int, ranges: Sequence[tuple[int, int]]) -> int:
        """The first of `size` ids of `ranges` (first, how many) that no other container has. In a transaction.

        Raises: Conflict where there are none left.
        """
        rows = self._database.query("SELECT first, size FROM id_ranges ORDER BY first")
        taken = [(int(first), int(first) + int(many)) for first, many in rows]
        for start, many in ranges:
            first = start
            for begin, end in taken:
                if begin < first + size and first < end:
                    first = end
            if first + size <= start + many:
                self._database.execute("INSERT INTO id_ranges VALUES (?,?,?)", (container_id, first, size))
                return first
        raise Conflict(
            f'no {size} ids are left for another user namespace: remove containers, give "containers" more of them in '
            '/etc/subuid and /etc/subgid, or ask for fewer with userns("auto", size=...)',
            state="full",
        )
