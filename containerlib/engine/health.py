"""Whether a container is well, and how often it was not."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from containerlib._sys.steps import Pauses, Steps
from containerlib.engine.stop import tail
from containerlib.errors import Conflict, Timeout, printable, with_log
from containerlib.runtime.lifetime import read_health, restart_count
from containerlib.spec.lifecycle import State

if TYPE_CHECKING:
    from containerlib.engine.instance import Instance
    from containerlib.spec.lifetime import Health

__all__ = ["health", "restarts", "wait_healthy"]


def health(instance: Instance) -> Health | None:
    """What the last checks said; None where nothing is checked.

    Raises: NotFound where the container has been removed.
    """
    _ = instance.state
    return read_health(instance.directory)


def restarts(instance: Instance) -> int:
    """How often the container's shim has started it again.

    Raises: NotFound where the container has been removed.
    """
    _ = instance.state
    return restart_count(instance.directory)


def wait_healthy(instance: Instance, timeout: float) -> Steps[None]:
    """Waits until a check has said so.

    Raises: Timeout with the last check's output; Conflict where the container ends first, or has no check.
    """
    if instance.memo.health is None:
        raise Conflict(
            f"{instance.subject} has no health check: give its recipe one, with .healthy_when(...)",
            state=instance.state.value,
        )
    limit = time.monotonic() + timeout
    pauses = Pauses()
    while True:
        state, found = instance.state, read_health(instance.directory)
        if state is State.STOPPED:
            message = f"{instance.subject} ended before it was healthy{_last(found)}"
            raise Conflict(with_log(message, tail(instance)), state=state.value)
        if found is not None and found.status == "healthy" and state is not State.RESTARTING:
            return
        if time.monotonic() > limit:
            message = f"{instance.subject} was not healthy in {timeout:g} s{_last(found)}"
            raise Timeout(message, log_tail=tail(instance))
        yield pauses.next()


def _last(found: Health | None) -> str:
    if found is None or not found.log:
        return ""
    result = found.log[-1]
    said = " | ".join(printable(line) for line in result.output.splitlines()[-5:])
    return f"; the last check came to {result.exit_code}" + (f": {said}" if said else "")
