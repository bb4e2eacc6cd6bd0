"""Waiting until a container has done something."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from attrs import evolve

from containerlib import shim
from containerlib._sys.steps import finish
from containerlib.engine.execute import ExecOptions, execute
from containerlib.engine.listing import require_log
from containerlib.engine.reach import Target, answers
from containerlib.engine.stop import tail
from containerlib.errors import Conflict, Timeout, with_log
from containerlib.spec.lifecycle import State

if TYPE_CHECKING:
    from containerlib.engine.instance import Instance

__all__ = ["wait_for"]

_FIRST_PAUSE = 0.002
_LONGEST_PAUSE = 0.1


def wait_for(
    instance: Instance,
    *,
    log: str | None = None,
    target: Target | None = None,
    command: ExecOptions | None = None,
    timeout: float,
) -> None:
    """Waits until a line of the log contains `log`, then for `target`, then until `command` exits with 0 in the
    container.

    Raises: Timeout after `timeout` seconds in all; Conflict where the container ends first; StageError where
    the command cannot be started; Unsupported for the log of one that keeps none.
    """
    limit = time.monotonic() + timeout
    if log is not None:
        require_log(instance)
        _wait_for_log(instance, log, limit)
    if target is not None:
        _wait_for_target(instance, target, limit)
    if command is not None:
        _wait_for_exec(instance, command, limit)


def _wait_for_log(instance: Instance, text: str, limit: float) -> None:
    with contextlib.closing(shim.LogReader(instance.directory)) as log:
        for _ in _attempts(instance, limit, f"a line with {text!r}"):
            if any(text in record.text for record in log.read()):
                return


def _wait_for_target(instance: Instance, target: Target, limit: float) -> None:
    for left in _attempts(instance, limit, str(target)):
        if answers(instance, target, left):
            return


def _wait_for_exec(instance: Instance, options: ExecOptions, limit: float) -> None:
    what = f"success of {' '.join(options.argv)!r}"
    probe = evolve(options, is_probe=True)
    for left in _attempts(instance, limit, what):
        try:
            if finish(execute(instance, probe, must_succeed=False, timeout=max(left, 0.001))).exit_code == 0:
                return
        except Timeout as error:
            raise _late(instance, what) from error


def _attempts(instance: Instance, limit: float, what: str) -> Iterator[float]:
    """The seconds left, at growing intervals; the last attempt comes after the container's end."""
    pause = _FIRST_PAUSE
    while True:
        state = instance.state
        yield limit - time.monotonic()
        if state is State.STOPPED:
            message = with_log(f"{instance.subject} ended before {what} came", tail(instance))
            raise Conflict(message, state=state.value)
        if time.monotonic() > limit:
            raise _late(instance, what)
        time.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE)


def _late(instance: Instance, what: str) -> Timeout:
    return Timeout(
        f"{what} did not come from {instance.subject} in the time allowed", log_tail=tail(instance)
    )
