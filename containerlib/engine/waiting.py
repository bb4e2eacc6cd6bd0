"""What can be waited for of a container, in any process with the root.

stopped      it stays stopped: with a restart policy, for good          its end
next-exit    its program ends, though it may be started again           that end
removed      it is gone, and its name is free                           its last end
running      its program runs                                           -
healthy      a check of its health has succeeded                        -
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from functools import partial
from typing import TYPE_CHECKING, Literal, get_args

from containerlib import runtime, shim
from containerlib._sys.steps import Pauses, Steps, Work
from containerlib.engine.health import wait_healthy
from containerlib.engine.lifetime import is_removed
from containerlib.engine.stop import ending, forget_removed, lost, recorded_end, tail
from containerlib.errors import InvalidArgument, NotFound, StageError, Timeout, Unavailable
from containerlib.runtime.connections import patience_of
from containerlib.runtime.supervisor import LOST, REPLY_TIMEOUT
from containerlib.spec.lifecycle import State

if TYPE_CHECKING:
    from containerlib.engine.instance import Instance
    from containerlib.runtime import Supervisor
    from containerlib.spec.status import ExitStatus

__all__ = ["ReadyCondition", "WaitCondition", "steps", "wait", "wait_ready"]

WaitCondition = Literal["stopped", "next-exit", "removed"]
ReadyCondition = Literal["running", "healthy"]
_CONDITIONS: tuple[str, ...] = (*get_args(WaitCondition), *get_args(ReadyCondition))
_ALIVE = (State.RUNNING, State.PAUSED)


def steps(
    instance: Instance, timeout: float | None, condition: WaitCondition | ReadyCondition
) -> Steps[ExitStatus | None]:
    """As `wait` and `wait_ready`. Raises: InvalidArgument."""
    if condition not in _CONDITIONS:
        raise InvalidArgument(
            f"{condition!r} is none of {', '.join(map(repr, _CONDITIONS))}", field="condition"
        )
    if condition == "running" or condition == "healthy":  # noqa: PLR1714 - in this form types follow
        return wait_ready(instance, timeout, condition=condition)
    return wait(instance, timeout, condition=condition)


def wait(
    instance: Instance, timeout: float | None = None, *, condition: WaitCondition = "stopped"
) -> Steps[ExitStatus]:
    """The container's end, waited for in this or any other process, with "next-exit" its program's.

    Raises: Timeout with the log's last lines; Unavailable where it never ran; NotFound where it has been removed.
    """
    if condition == "removed":
        return (yield from _removed(instance, timeout))
    status = yield from _end(instance, timeout, next_exit=condition == "next-exit")
    return (yield Work(partial(recorded_end, instance))) if status is None else status


def wait_ready(instance: Instance, timeout: float | None, *, condition: ReadyCondition) -> Steps[None]:
    """Until it runs, whoever starts it, or is healthy.

    Raises: Timeout; NotFound where it is removed; Conflict where it ends before it is healthy, or nothing is checked.
    """
    if condition == "healthy":
        yield from wait_healthy(instance, math.inf if timeout is None else timeout)
        return
    limit, pauses = _limit(timeout), Pauses()
    while instance.state not in _ALIVE:
        _check_time(instance, limit, f"does not run after {timeout} s")
        yield pauses.next()


def _end(instance: Instance, timeout: float | None, *, next_exit: bool = False) -> Steps[ExitStatus | None]:
    """What its supervisor says of its end; None where it has none."""
    limit = _limit(timeout)
    supervisor = yield from _reaching(instance, timeout)
    if supervisor is None:
        return None
    with contextlib.closing(supervisor):
        try:
            if next_exit:
                supervisor.await_exit()
            left = None if limit is None else max(limit - time.monotonic(), 0.0)
            status = yield from ending(supervisor, left)
        except Timeout as error:
            raise Timeout(
                f"{instance.subject} still runs after {round(timeout or 0, 2):g} s", log_tail=tail(instance)
            ) from error
        if not next_exit:
            yield Work(supervisor.finished)
    return (yield Work(partial(lost, instance))) if status is LOST else status


def _reaching(instance: Instance, timeout: float | None) -> Steps[Supervisor | None]:
    """Its supervisor. One that does not answer is not waited for any longer than its end would be."""
    try:
        return (yield from runtime.connecting(instance.directory, patience=patience_of(timeout)))
    except Unavailable as error:
        if timeout is None or timeout >= REPLY_TIMEOUT:
            raise
        raise Timeout(
            f"the supervisor of {instance.subject} does not answer after {round(timeout, 2):g} s: is it stopped?",
            log_tail=tail(instance),
        ) from error


def _removed(instance: Instance, timeout: float | None) -> Steps[ExitStatus]:
    """One that has stopped may be started again before it is removed: its last end is what counts."""
    if not os.path.isdir(instance.directory):  # noqa: PTH112
        raise instance.gone()
    status: ExitStatus | None = None
    limit, pauses = _limit(timeout), Pauses()
    while True:
        if os.path.isdir(instance.directory):  # noqa: PTH112
            with contextlib.suppress(StageError, Unavailable):  # it is being removed without having run
                left = None if limit is None else max(limit - time.monotonic(), 0.0)
                status = (yield from _end(instance, left)) or shim.read_exit(instance.directory) or status
        elif _is_forgotten(instance):
            break
        _check_time(instance, limit, f"is still there after {timeout} s")
        yield pauses.next()
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


def _limit(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout


def _check_time(instance: Instance, limit: float | None, otherwise: str) -> None:
    if limit is not None and time.monotonic() > limit:
        raise Timeout(f"{instance.subject} {otherwise}", log_tail=tail(instance))
