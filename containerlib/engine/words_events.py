"""Checks of what the words on events take: pure, as in `words`."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from containerlib.engine import words
from containerlib.engine.events import EVENT_ACTIONS
from containerlib.errors import InvalidArgument

__all__ = ["event_actions", "event_kinds"]


def event_kinds(value: Sequence[str]) -> tuple[str, ...]:
    """Of what; empty: of everything."""
    return _known(value, EVENT_ACTIONS, field="kinds")


def event_actions(value: Sequence[str]) -> tuple[str, ...]:
    """What happened; empty: whatever."""
    known = {action for actions in EVENT_ACTIONS.values() for action in actions}
    return _known(value, known, field="actions")


def _known(value: Sequence[str], known: Collection[str], *, field: str) -> tuple[str, ...]:
    """A misspelt one would be waited for in vain."""
    found = words.vector(value, field=field)
    for word in found:
        if word not in known:
            raise InvalidArgument(f"{word!r} is none of {', '.join(sorted(known))}", field=field)
    return found
