"""The OCI container lifecycle as one table, without I/O.

Spec: runtime-spec runtime.md#lifecycle. `paused` is not a state of the specification; runc and Docker have it.
"""

from __future__ import annotations

from enum import Enum

from containerlib.errors import Conflict

__all__ = ["State", "check"]


class State(Enum):
    """A container's state; the value is OCI's word."""

    CREATING = "creating"
    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"


_ALLOWED: dict[str, frozenset[State]] = {
    "start": frozenset({State.CREATED}),
    "kill": frozenset({State.CREATED, State.RUNNING, State.PAUSED}),
    "exec": frozenset({State.RUNNING}),
    "pause": frozenset({State.RUNNING}),
    "resume": frozenset({State.PAUSED}),
    "delete": frozenset({State.STOPPED}),
}


def check(verb: str, state: State, subject: str) -> None:
    """Raises Conflict, naming both states, where `verb` is not for a container in `state`."""
    allowed = _ALLOWED[verb]
    if state not in allowed:
        needed = " or ".join(sorted(s.value for s in allowed))
        raise Conflict(
            f"cannot {verb} {subject}: it is {state.value}, and must be {needed}", state=state.value
        )
