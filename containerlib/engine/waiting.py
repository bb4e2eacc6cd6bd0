"""What can be waited for of a container, in any process with the root.

stopped      it stays stopped: with a restart policy, for good          its end
next-exit    its program ends, though it may be started again           that end
removed      it is gone, and its name is free                           its last end
running      its program runs                                           -
healthy      a check of its health has succeeded                        -
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, get_args

from containerlib import shim
from containerlib.engine.health import wait_healthy
from containerlib.engine.lifetime import is_removed
from containerlib.engine.stop import connected, forget_removed, lost, recorded_end, tail
from containerlib.errors import InvalidArgument, NotFound, StageError, Timeout, Unavailable
from containerlib.runtime.supervisor import LOST
from containerlib.spec.lifecycle import State

if TYPE_CHECKING:
    from containerlib.engine.instance import Instance
    from containerlib.spec.status import ExitStatus

__all__ = ["Ready", "WaitCondition", "check_condition", "wait", "wait_ready"]

WaitCondition = Literal["stopped", "next-exit", "removed"]
Ready = Literal["running", "healthy"]
_CONDITIONS: tuple[str, ...] = (*get_args(WaitCondition), *get_args(Ready))
_FIRST_PAUSE = 0.002
_LONGEST_PAUSE = 0.1
_ALIVE = (State.RUNNING, State.PAUSED)


def check_condition(condition: str) -> None:
    """Raises: InvalidArgument."""
    if condition not in _CONDITIONS:
        raise InvalidArgument(
            f"{condition!r} is none of {', '.join(map(repr, _CONDITIONS))}", field="condition"
        )


def wait(
    instance: Instance, timeout: float | None = None, *, condition: WaitCondition = "stopped"
) -> ExitStatus:
    """The container's end, waited for in this or any other process, with "next-exit" its program's.

    Raises: Timeout with the log's last lines; Unavailable where it never ran; NotFound where it has been removed.
    """
    if condition == "removed":
        return _removed(instance, timeout)
    status = _end(instance, timeout, next_exit=condition == "next-exit")
    return recorded_end(instance) if status is None else status


def wait_ready(instance: Instance, timeout: float | None, *, condition: Ready) -> None:
    """Until it runs, whoever starts it, or is healthy.

    Raises: Timeout; NotFound where it is removed; Conflict where it ends before it is healthy, or nothing is checked.
    """
    if condition == "healthy":
        wait_healthy(instance, math.inf if timeout is None else timeout)
        return
    for _ in _looks(instance, timeout, "does not run"):
        if instance.state in _ALIVE:
            return


def _end(instance: Instance, timeout: float | None, *, next_exit: bool = False) -> ExitStatus | None:
    """What its supervisor says of its end; None where it has none."""
    with connected(instance) as supervisor:
        if supervisor is None:
            return None
        try:
            if next_exit:
                supervisor.await_exit()
            status = supervisor.wait(timeout)
        except Timeout as error:
            raise Timeout(
                f"{instance.subject} still runs after {timeout:g} s", log_tail=tail(instance)
            ) from error
        if not next_exit:
            supervisor.finished()
    return lost(instance) if status is LOST else status


def _removed(instance: Instance, timeout: float | None) -> ExitStatus:
    """One that has stopped may be started again before it is removed: its last end is what counts."""
    if not os.path.isdir(instance.directory):  # noqa: PTH112
        raise instance.gone()
    status: ExitStatus | None = None
    for left in _looks(instance, timeout, "is still there"):
        if not os.path.isdir(instance.directory):  # noqa: PTH112
            if _is_forgotten(instance):
                break
            continue
        try:
            status = _end(instance, left) or shim.read_exit(instance.directory) or status
        except (StageError, Unavailable):  # it is being removed without having run
            continue
    if status is None:
        raise Unavailable(f"{instance.subject} was removed, and nobody knows how it ended: had it ever run?")
    return status


def _is_forgotten(instance: Instance) -> bool:
    """Whether its name is free. Of one that its shim has removed it is whoever sees that who forgets it."""
    try:
        instance.record = instance.core.store.containers.get(instance.id)
    except NotFound:
        return True
    return is_removed(instance) and forget_removed(instance)


def _looks(instance: Instance, timeout: float | None, otherwise: str) -> Iterator[float | None]:
    """The seconds that are left, at growing intervals. Raises: Timeout."""
    limit = None if timeout is None else time.monotonic() + timeout
    pause = _FIRST_PAUSE
    while True:
        left = None if limit is None else limit - time.monotonic()
        yield left if left is None else max(left, 0.0)
        if left is not None and left <= 0:
            raise Timeout(f"{instance.subject} {otherwise} after {timeout:g} s", log_tail=tail(instance))
        time.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE)
