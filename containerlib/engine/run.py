"""A container for the time of one command."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from attrs import evolve

from containerlib._sys.steps import Steps, Work
from containerlib.engine.attach import Watcher
from containerlib.engine.attached import Attached
from containerlib.engine.completed import Completed, checked
from containerlib.engine.history import catch_up
from containerlib.engine.launch import Order, launch
from containerlib.engine.stop import discard
from containerlib.engine.streams import Pipes, communicate
from containerlib.engine.undo import clean_up
from containerlib.errors import InvalidArgument

if TYPE_CHECKING:
    from containerlib.engine.core import Core
    from containerlib.engine.instance import Instance
    from containerlib.engine.streaming import OnOutput
    from containerlib.runtime import Supervisor

__all__ = ["run", "spawn"]


def run(
    core: Core,
    order: Order,
    *,
    stdin: bytes | None = None,
    check: bool = True,
    timeout: float | None = None,
    on_output: OnOutput | None = None,
) -> Steps[Completed]:
    """Starts the container, gives it `stdin`, collects what it writes, and removes it, whatever happens.

    Raises: ExitError where `check` and the exit code is not 0; Timeout after `timeout` seconds; what
    `launch` or `on_output` raises.
    """
    _refuse_restarts(order, "run")
    deadline = None if timeout is None else time.monotonic() + timeout
    with Pipes(stdin=stdin is not None) as pipes:
        order = evolve(order, auto_remove=True, deadline=deadline)
        made: list[Instance] = []
        supervisor: Supervisor | None = None
        start = partial(launch, core, order, pipes.child, wait=False, made=made)
        try:
            instance, supervisor = yield Work(start)
            pipes.close_child()
            late = f"{instance.subject} did not end within {timeout} s, and was killed"
            status, stdout, stderr = yield from communicate(
                supervisor, pipes, stdin, deadline, late, on_output=on_output
            )
            yield Work(partial(discard, instance, supervisor))
        except BaseException as error:
            # Also after an interrupt in the middle of the removal: what is half done is done again. The supervisor
            # would wait for somebody to read what the program wrote last. A start that fails leaves nothing itself;
            # an interrupt may come between its end and here.
            if supervisor is not None:
                clean_up(error, pipes.close, partial(discard, instance, supervisor), supervisor.close)
            elif not isinstance(error, Exception):
                clean_up(error, pipes.close, *(partial(discard, each) for each in made))
            raise
        supervisor.close()
    completed = Completed(status.exit_code, stdout, stderr, status)
    return checked(completed, instance.spec["process"]["args"], check=check)


def spawn(core: Core, order: Order) -> Attached:
    """Starts the container with pipes on its standard streams; it is removed when it has ended.

    Raises: what `launch` raises.
    """
    _refuse_restarts(order, "spawn")
    with Pipes(stdin=True) as pipes:
        instance, supervisor = launch(core, evolve(order, auto_remove=True), pipes.child)
        catch_up([instance])
        argv = tuple(instance.spec["process"]["args"])
        after = partial(discard, instance, supervisor)
        return Attached(supervisor, pipes, argv=argv, after=after, hearer=Watcher(instance))


def _refuse_restarts(order: Order, verb: str) -> None:
    policy, health = order.options.restart.policy, order.options.health
    if policy != "no" or (health is not None and health.on_failure == "restart"):
        raise InvalidArgument(
            f"{verb}() removes the container when it has ended, and the recipe starts it again: write "
            'restart("no") and another on_failure, or start()',
            field="restart",
        )
