"""The OCI container lifecycle as one table, without I/O.

    create          creating -> created      start    created -> running
    pause           running -> paused        resume   paused -> running
    (its end)       any of them -> stopped   delete   stopped -> nothing
    (its end)       running -> restarting, where its policy says so, and then running

Spec: runtime-spec runtime.md#lifecycle and #operations. `paused`, `restarting`, and the verbs from `exec` on, are
not the specification's; runc and Docker have them.
"""

from __future__ import annotations

from enum import Enum

from containerlib.errors import Conflict

__all__ = ["VERBS", "State", "allowed", "check"]


class State(Enum):
    """A container's state; the value is OCI's word, or Docker's for what OCI has none."""

    CREATING = "creating"
    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"
    STOPPED = "stopped"


_ALIVE = (State.CREATED, State.RUNNING, State.PAUSED)
_ALLOWED: dict[str, tuple[State, ...]] = {
    "start": (State.CREATED,),
    "kill": _ALIVE,
    "delete": (State.STOPPED,),
    "exec": (State.RUNNING,),
    "attach": (*_ALIVE, State.RESTARTING),
    "pause": (State.RUNNING,),
    "resume": (State.PAUSED,),
    "update": _ALIVE,
    "watch": _ALIVE,
    "checkpoint": (State.RUNNING, State.PAUSED),
}
VERBS = tuple(_ALLOWED)
"""What can be asked for only in some states; the rest (its state, its processes) is always answered."""


def allowed(verb: str) -> tuple[State, ...]:
    """The states, in the order of a life, in which `verb` can be asked for."""
    return _ALLOWED[verb]


def check(verb: str, state: State, subject: str, *, also: tuple[State, ...] = ()) -> None:
    """Raises Conflict, naming both states, where `verb` is not for a container in `state`.

    `also`: states in which whoever asks can do it, where the specification cannot.
    """
    states = (*_ALLOWED[verb], *also)
    if state not in states:
        needed = " or ".join(s.value for s in states)
        raise Conflict(
            f"cannot {verb} {subject}: it is {state.value}, and must be {needed}", state=state.value
        )
