"""The streams of a container that runs already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from containerlib import runtime
from containerlib.engine import history
from containerlib.engine.attached import Attached, Hearer
from containerlib.engine.streams import Pipes
from containerlib.errors import Conflict
from containerlib.spec.lifecycle import State, check

if TYPE_CHECKING:
    from containerlib.engine.instance import Instance
    from containerlib.runtime import Supervisor

__all__ = ["Watcher", "attach"]


class Watcher(Hearer):
    """Notes what is done with the first process of a container."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    def resized(self, rows: int, columns: int) -> None:
        history.note(self._instance, "resize", rows=str(rows), columns=str(columns))

    def let_go(self) -> None:
        history.note(self._instance, "detach")


def attach(instance: Instance, *, stdin: bool, stdout: bool, stderr: bool) -> Attached:
    """What its first process writes from now on, in pipes; and where it keeps its standard input open, that.

    A stream that is not asked for is at its end. Raises: Conflict where it has ended; Unsupported where its supervisor
    is too old.
    """
    check("attach", instance.state, instance.subject)
    supervisor = runtime.connect(instance.directory)
    if supervisor is None:
        raise Conflict(f"cannot attach {instance.subject}: it is stopped", state=State.STOPPED.value)
    try:
        return _attached(instance, supervisor, stdin=stdin, stdout=stdout, stderr=stderr)
    except BaseException:
        supervisor.detach()
        raise


def _attached(
    instance: Instance, supervisor: Supervisor, *, stdin: bool, stdout: bool, stderr: bool
) -> Attached:
    with Pipes(stdin=False) as pipes:
        theirs = pipes.child
        writing = supervisor.attach(
            stdin=stdin, stdout=theirs.stdout if stdout else None, stderr=theirs.stderr if stderr else None
        )
        if writing is not None:
            pipes.use_input(writing)
        history.note(instance, "attach")
        return Attached(
            supervisor,
            pipes,
            argv=tuple(instance.spec["process"]["args"]),
            ours=False,
            no_input=f"{instance.subject} reads no input from here: recipe.stdin() keeps it open, until close_stdin()"
            if stdin
            else "attached without stdin",
            hearer=Watcher(instance),
        )
