"""Containers that live on after the call that made them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from attrs import evolve

from containerlib import runtime
from containerlib._sys.privilege import Capability, require_capability
from containerlib._sys.steps import finish
from containerlib.engine.history import catch_up, note
from containerlib.engine.launch import launch, start_bundle
from containerlib.engine.lock import locked
from containerlib.engine.sources import resolve_again
from containerlib.engine.stop import stop
from containerlib.engine.streams import Pipes
from containerlib.engine.undo import Undo
from containerlib.errors import Conflict
from containerlib.runtime import Stdio
from containerlib.spec.lifecycle import State, check

if TYPE_CHECKING:
    from containerlib.engine.core import Core
    from containerlib.engine.instance import Instance
    from containerlib.engine.launch import Order
    from containerlib.runtime import Supervisor

__all__ = ["again", "create", "restart", "start", "waiting_input"]


def start(core: Core, order: Order) -> Instance:
    """Starts a container and returns while it runs. It ends with `core` unless the order says detached.

    Raises: what `launch` raises.
    """
    with waiting_input(order.options.stdin) as stdio:
        instance, supervisor = launch(core, order, stdio)
    supervisor.close()
    catch_up([instance])
    return instance


def create(core: Core, order: Order) -> Instance:
    """Makes a container up to OCI's "created": all is set up, and its program waits for `restart`.

    Raises: what `launch` raises.
    """
    return start(core, evolve(order, hold=True))


def restart(instance: Instance, *, resume: bool = False) -> None:
    """Starts a container that is created, or that has stopped: with the same bundle, on what it wrote.

    `resume`: where its policy says so it goes on from its last checkpoint.

    Raises: Conflict where it runs, or somebody else has started it; what the runtime raises.
    """
    with locked(instance):
        state = instance.state
        if state is State.STOPPED:
            _await_shim(instance)
            _start_again(instance, resume=resume and instance.memo.restart.from_checkpoint)
            return
        check("start", state, instance.subject, also=(State.STOPPED,))
        supervisor = runtime.connect(instance.directory)
        if supervisor is None:
            raise Conflict(f"cannot start {instance.subject}: it is stopped", state=State.STOPPED.value)
        with contextlib.closing(supervisor):
            instance.driver.start(supervisor, instance.directory, instance.spec)
        catch_up([instance])


def again(instance: Instance, timeout: float | None) -> None:
    """Stops the container, where it runs, and starts it.

    Raises: Conflict where somebody else starts it meanwhile; what `restart` raises.
    """
    if instance.state is not State.STOPPED:
        finish(stop(instance, timeout, keep=True))
    restart(instance)
    note(instance, "restart")


def _await_shim(instance: Instance) -> None:
    """The supervisor of the last run may still be clearing away: it would take the new one's socket and groups too."""
    supervisor = runtime.connect(instance.directory)
    if supervisor is not None:
        with contextlib.closing(supervisor):
            supervisor.finished()


def _start_again(instance: Instance, *, resume: bool) -> None:
    require_capability(Capability.SYS_ADMIN)
    if instance.memo.secrets:
        raise Conflict(
            f"cannot start {instance.subject} again: nobody knows its secrets any more "
            f"({', '.join(instance.memo.secrets)}); start a new one from its recipe",
            state=State.STOPPED.value,
        )
    core = instance.core
    instance.refresh()
    catch_up([instance])  # the records of the last run go
    image = resolve_again(
        core, instance.record.image_id, instance.record.image_reference, instance.memo.layers
    )
    owner = core.owner
    if not instance.memo.remove:
        core.store.containers.adopt(instance.id, owner.pid, owner.start_time)
        instance.record = evolve(instance.record, owner_pid=owner.pid, owner_start_time=owner.start_time)
    # What a killed supervisor was starting comes into a group when it gets there, and only then hears of its end.
    instance.cgroup.kill()
    instance.cgroup.remove()
    create = _beginning(instance, resume=resume)
    with Undo() as undo, waiting_input(instance.memo.stdin) as stdio:
        start_bundle(instance, image, stdio, hold=False, undo=undo, create=create).close()
    catch_up([instance])
    if not instance.memo.detached:
        core.owned[instance.id] = instance


def _beginning(instance: Instance, *, resume: bool) -> Callable[..., Supervisor] | None:
    """How it is made, where it goes on from a checkpoint; else it begins anew, and forgets those of before."""
    if instance.memo.checkpoints is None:
        return None
    from containerlib.engine.checkpoints import keeping  # noqa: PLC0415 - which knows starts

    if resume:
        return keeping.resuming(instance)
    keeping.forget_last(instance)
    return None


@contextlib.contextmanager
def waiting_input(wanted: bool) -> Iterator[Stdio | None]:
    """Standard input that its supervisor keeps open, for those who attach."""
    if not wanted:
        yield None
        return
    with Pipes(stdin=True) as pipes:
        yield Stdio(stdin=pipes.child.stdin, input=pipes.stdin)
