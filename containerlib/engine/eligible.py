"""What a prune may take."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime

from attrs import frozen

from containerlib.engine import words
from containerlib.units import check_kind

__all__ = ["Eligible", "eligible"]


@frozen
class Eligible:
    """What a prune may take: of more than so many seconds ago, and with all of these labels (None: any value)."""

    older_than: float | None = None
    labels: tuple[tuple[str, str | None], ...] = ()

    def has(self, created_at: datetime, labels: Mapping[str, str]) -> bool:
        """Whether something of that time, with those labels, may go."""
        is_old = self.older_than is None or time.time() - created_at.timestamp() > self.older_than
        return is_old and all(n in labels and v in (None, labels[n]) for n, v in self.labels)


def eligible(older_than: float | None, labels: Mapping[str, str | None] | None) -> Eligible:
    """The conditions that a word was given, checked. Raises: InvalidArgument."""
    check_kind(labels, Mapping, type(None), want='a mapping of labels, e.g. {"team": "web"}', field="labels")
    pairs = tuple((words.text(n, field="labels"), v) for n, v in (labels or {}).items())
    for _, value in pairs:
        check_kind(value, str, type(None), want="a label's value: a str, or None for any", field="labels")
    return Eligible(words.age(older_than, field="older_than"), pairs)
