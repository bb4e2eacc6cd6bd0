"""Waiting until a container has done something."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from attrs import evolve

from containerlib import shim
from containerlib._sys.steps import Pauses, Steps, Work
from containerlib.engine.execute import ENDED, ExecOptions, execute
from containerlib.engine.listing import require_log
from containerlib.engine.reach import Target, answers
from containerlib.engine.stop import tail
from containerlib.errors import Conflict, StageError, Timeout, with_log
from containerlib.spec.lifecycle import State

if TYPE_CHECKING:
    from containerlib.engine.instance import Instance
    from containerlib.engine.log_lines import Counter, LogLines
    from containerlib.spec.status import LogRecord

__all__ = ["wait_for"]

_SLICE = 0.1
"""Seconds."""


def wait_for(
    instance: Instance,
    *,
    log: LogLines | None = None,
    target: Target | None = None,
    command: ExecOptions | None = None,
    timeout: float,
) -> Steps[None]:
    """Waits for the lines `log` of the log, then for `target`, then until `command` exits with 0 in the container.

    Raises: Timeout after `timeout` seconds in all; Conflict where the container ends first; StageError where
    the command cannot be started; Unsupported for the log of one that keeps none.
    """
    limit = time.monotonic() + timeout
    if log is not None:
        require_log(instance)
        with contextlib.closing(shim.LogReader(instance.directory)) as reader:
            look = partial(_is_in_log, reader, log.counter())
            yield from _until(instance, limit, timeout, str(log), look)
    if target is not None:
        yield from _until(instance, limit, timeout, str(target), partial(_is_reached, instance, target))
    if command is not None:
        what = f"success of {' '.join(command.argv)!r}"
        yield from _until(instance, limit, timeout, what, partial(_is_success, instance, command))


def _until(
    instance: Instance, limit: float, timeout: float, what: str, look: Callable[[float], Steps[bool]]
) -> Steps[None]:
    """Looks at growing intervals, for the seconds that are left; the last time after the container's end.

    A container that is started again is waited for.
    """
    pauses = Pauses()
    while True:
        state = instance.state
        if (yield from look(limit - time.monotonic())):
            return
        if state is State.STOPPED:
            message = with_log(f"{instance.subject} ended before {what} came", tail(instance))
            raise Conflict(message, state=state.value)
        if time.monotonic() > limit:
            late = f"{what} did not come from {instance.subject} within {timeout} s"
            raise Timeout(late, log_tail=tail(instance))
        yield pauses.next()


def _is_in_log(reader: shim.LogReader, counter: Counter, left: float) -> Steps[bool]:
    """A program that writes faster than this reads lets it come to no end: so it is read a slice of time at once."""
    limit = time.monotonic() + left
    records = reader.read()
    while True:
        found: bool | None = yield Work(partial(_look_for, records, counter, time.monotonic() + _SLICE))
        if found is not None or time.monotonic() > limit:
            return bool(found)


def _look_for(records: Iterator[LogRecord], counter: Counter, until: float) -> bool | None:
    """Whether so many of the lines have come; None where the time was over before the last."""
    for record in records:
        counter.add(record)
        if counter.is_done:
            return True
        if time.monotonic() > until:
            return None
    return False


def _is_reached(instance: Instance, target: Target, left: float) -> Steps[bool]:
    reached: bool = yield Work(partial(answers, instance, target, left))
    return reached


def _is_success(instance: Instance, command: ExecOptions, left: float) -> Steps[bool]:
    probe = evolve(command, is_probe=True)
    try:
        done = yield from execute(instance, probe, must_succeed=False, timeout=max(left, 0.001))
    except (Timeout, Conflict):  # it does not run at this moment
        return False
    except StageError as error:
        if error.errno not in ENDED:
            raise
        return False
    return done.exit_code == 0
