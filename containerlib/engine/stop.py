"""The end of containers: signals, the stop sequence, waiting, removal; from any process with the root."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from containerlib import runtime, shim
from containerlib._sys.processes import await_end
from containerlib._sys.steps import Steps, Work, finish, look_until
from containerlib._sys.trees import remove_tree
from containerlib.engine import history
from containerlib.engine.kept_networks import detach
from containerlib.engine.leftovers import take_back_of
from containerlib.engine.lifetime import DEFAULT_GRACE
from containerlib.engine.lock import locked
from containerlib.engine.network_names import forget_names
from containerlib.engine.removal import remove_anonymous
from containerlib.engine.signals import hears
from containerlib.engine.streams import log_tail
from containerlib.engine.undo import clean_up
from containerlib.engine.volume_use import release_of
from containerlib.errors import Conflict, Error, NotFound, StageError, Timeout, Unavailable
from containerlib.runtime import Supervisor
from containerlib.runtime.supervisor import LOST, has_shim
from containerlib.spec.lifecycle import State, check
from containerlib.spec.status import ExitStatus

if TYPE_CHECKING:
    from containerlib.engine.history import History
    from containerlib.engine.instance import Instance

__all__ = [
    "connected",
    "discard",
    "end_survivor",
    "ending",
    "forget",
    "forget_removed",
    "kill",
    "leave",
    "lost",
    "pause",
    "recorded_end",
    "remove",
    "remove_directory",
    "resume",
    "stop",
    "tail",
]

_KILL_PATIENCE = 30.0
_THAW_INTERVAL = 0.5
"""Seconds; somebody may pause what is dying, and on cgroup v1 that keeps it from it."""
_LOST_PATIENCE = 5.0
_TAIL_BYTES = 1 << 16
"""How much of a log's end is looked at for its last lines: it may have gigabytes."""
_LAUNCH_PATIENCE = 0.3
"""Seconds in which a shim that was started shows itself; it takes some milliseconds."""


def kill(instance: Instance, number: int) -> None:
    """Sends a signal to the container's first process. A paused container gets it once it is resumed.

    Raises: Conflict where it has ended.
    """
    state = instance.state
    if state is not State.RESTARTING:  # which the stop signal and SIGKILL end
        check("kill", state, instance.subject)
    with connected(instance) as supervisor:
        if supervisor is None:
            raise Conflict(f"cannot kill {instance.subject}: it is stopped", state=State.STOPPED.value)
        final = number in (signal.SIGKILL, _stop_signal(instance))
        supervisor.signal(number, final=final)
    history.note(instance, "kill", signal=str(number))
    if number == signal.SIGKILL and state is State.PAUSED:
        # A frozen task of cgroup v1 does not even die.
        _thaw(instance)


def stop(instance: Instance, timeout: float | None = None, *, keep: bool = False) -> Steps[ExitStatus]:
    """The stop signal, `timeout` seconds of grace, then SIGKILL. A stopped container stays so.

    There is no grace for a program that neither catches nor blocks the signal: the kernel would not deliver
    it.
    """
    state = instance.state
    supervisor = yield from runtime.connecting(instance.directory)
    with contextlib.nullcontext() if supervisor is None else contextlib.closing(supervisor):
        if supervisor is None or state is State.STOPPED:
            ended: ExitStatus = yield Work(partial(recorded_end, instance))
            yield from _released(instance, keep=keep)
            return ended
        status = yield from _stopped(instance, supervisor, state, timeout, keep=keep)
    history.catch_up([instance])
    history.note(instance, "stop")
    yield from _released(instance, keep=keep)
    return status


def _released(instance: Instance, *, keep: bool) -> Steps[None]:
    """`keep`: it is started again at once."""
    if instance.memo.volumes and not keep:
        yield Work(partial(release_of, instance))


def _stopped(
    instance: Instance, supervisor: Supervisor, state: State, timeout: float | None, *, keep: bool
) -> Steps[ExitStatus]:
    if state is State.PAUSED:
        _thaw(instance)
    grace = _grace(instance, timeout)
    number = _stop_signal(instance)
    runs = state not in (State.CREATED, State.RESTARTING)
    if runs and grace > 0 and hears(supervisor.pid, number):
        with contextlib.suppress(Timeout):
            with contextlib.suppress(Conflict):
                supervisor.signal(number, final=True, keep=keep)
            status = yield from ending(supervisor, grace)
            yield Work(supervisor.finished)
            return status
    killed: ExitStatus = yield Work(partial(_kill_all, instance, supervisor, keep=keep))
    return killed


def ending(supervisor: Supervisor, timeout: float | None) -> Steps[ExitStatus]:
    """Until the supervisor tells how it ended. Raises: Timeout."""
    status = yield from look_until(supervisor.poll, supervisor.fileno(), timeout)
    if status is None:
        raise Timeout(f"it still runs after {timeout:g} s")
    return status


def _stop_signal(instance: Instance) -> int:
    return int(instance.memo.stop_signal or signal.SIGTERM)


def pause(instance: Instance) -> None:
    """Freezes every process of the container.

    Raises: Conflict where it does not run.
    """
    with locked(instance):  # one that is being started would stand still before it is seen to run, for ever
        check("pause", instance.state, instance.subject)
        with _unless_ended("pause", instance):
            instance.cgroup.freeze()
    history.note(instance, "pause")


def resume(instance: Instance) -> None:
    """Lets a paused container run on.

    Raises: Conflict where it is not paused.
    """
    check("resume", instance.state, instance.subject)
    with _unless_ended("resume", instance):
        instance.cgroup.thaw()
    history.note(instance, "resume")


@contextlib.contextmanager
def _unless_ended(verb: str, instance: Instance) -> Iterator[None]:
    """A group that is missing says that the container ended at this moment: Conflict, or NotFound."""
    try:
        yield
    except StageError as error:
        if error.errno not in (errno.ENOENT, errno.ENODEV):
            raise
        check(verb, instance.state, instance.subject)
        raise


def remove(
    instance: Instance,
    *,
    force: bool = False,
    volumes: bool = False,
    unless: Callable[[], bool] = lambda: False,
) -> None:
    """Removes the container and all that it wrote; with `force`, also one that runs.

    With `volumes` those go too that were made for it. `unless` is asked when nobody else can start it any more.

    Raises: NotFound where it has been removed; Conflict where it runs.
    """
    if not os.path.isdir(instance.directory):  # noqa: PTH112
        if not (forget_removed(instance) if instance.memo.remove else forget(instance)):
            raise instance.gone()
        return
    with locked(instance):
        state = instance.state
        if not force and state in (State.RUNNING, State.PAUSED, State.RESTARTING):
            raise Conflict(
                f"cannot remove {instance.subject}: it is {state.value}; stop() it first, or "
                "remove(force=True)",
                state=state.value,
            )
        if unless():
            raise Conflict(f"cannot remove {instance.subject}: it is being made or used", state="in use")
        _clear_away(instance, None)
    release_of(instance)
    if volumes:
        remove_anonymous(instance)


def discard(
    instance: Instance, supervisor: Supervisor | None = None, *, only_if: Callable[[], bool] = lambda: True
) -> None:
    """Ends what is left of the container and forgets it. What somebody else has removed already is fine.

    With `supervisor` it is the caller's own, whom nobody else starts or removes. `only_if` is asked when nobody else
    can start it any more.
    """
    try:
        with contextlib.nullcontext() if supervisor is not None else locked(instance):
            if not only_if():
                return
            _clear_away(instance, supervisor)
    except NotFound:  # its directory is gone: so may the rest be, or not yet
        instance.cgroup.remove()
        forget(instance)
    release_of(instance)
    remove_anonymous(instance)


def _clear_away(instance: Instance, supervisor: Supervisor | None) -> None:
    status = None
    if supervisor is not None:
        status = _end(instance, supervisor)
    else:
        with connected(instance) as found:
            if found is not None:
                status = _end(instance, found)
            elif instance.cgroup.pids():
                # The shim was killed: its container is dying, or out of its reach.
                instance.cgroup.kill()
    if instance.memo.connected and shim.read_exit(instance.directory) is None:  # its supervisor was killed
        with contextlib.suppress(StageError):  # the next engine tries again
            take_back_of(instance)
    last = history.happened(instance, status, is_only=supervisor is not None)
    remove_directory(instance.directory)
    instance.cgroup.remove()
    forget(instance, last)


def forget(instance: Instance, last: History | None = None) -> bool:
    """Removes the container's record, and stores its `last` events with that; False where somebody else has."""
    store = instance.core.store
    instance.core.owned.pop(instance.id, None)
    if instance.memo.connected:
        with contextlib.suppress(Error):  # it stays known, and the next engine tries again
            detach(instance.core, instance.id)
    try:
        with store.database.transaction():
            rows = last.untold() if last is not None else []
            forget_names(instance)
            store.containers.remove(instance.id)
            store.events.add(*rows, history.row(instance, "remove"))
    except NotFound:
        return False
    return True


def forget_removed(instance: Instance) -> bool:
    """What is left of a container that its shim has removed: volumes without a name, then its record.

    False where somebody else has been faster.
    """
    remove_anonymous(instance)
    is_first = forget(instance)
    release_of(instance)
    return is_first


def leave(instance: Instance, error: BaseException | None) -> None:
    """The end of a `with` block: stops and removes the container, unless it is detached or gone already.

    Where the block failed there is no grace, and what fails here is a note on that.
    """
    if instance.memo.detached:
        return
    if error is not None:
        clean_up(error, partial(discard, instance))
        return
    try:
        with contextlib.suppress(NotFound, Unavailable):
            finish(stop(instance))
    finally:
        discard(instance)


def end_survivor(instance: Instance) -> None:
    """Ends a container whose launch was interrupted at an unknown step: its shim may be there, or about to be."""
    deadline = time.monotonic() + _LAUNCH_PATIENCE
    while time.monotonic() < deadline and shim.read_exit(instance.directory) is None:
        with connected(instance) as supervisor:
            if supervisor is not None:
                _end(instance, supervisor)
                return
        time.sleep(0.002)
    instance.cgroup.kill()


def _end(instance: Instance, supervisor: Supervisor) -> ExitStatus | None:
    """How it ended; None where it never ran: its start failed, or was cut short by its owner's death."""
    status = None
    with contextlib.suppress(StageError, Unavailable):
        status = supervisor.poll() or _kill_all(instance, supervisor, keep=True)
    supervisor.finished()
    return status


def _kill_all(instance: Instance, supervisor: Supervisor, *, keep: bool = False) -> ExitStatus:
    with contextlib.suppress(Conflict):  # it ends by itself at this moment
        supervisor.signal(signal.SIGKILL, everyone=True, final=True, keep=keep)
    deadline = time.monotonic() + _KILL_PATIENCE
    while True:
        _thaw(instance)
        try:
            return _ended(supervisor, min(_THAW_INTERVAL, max(deadline - time.monotonic(), 0)))
        except Timeout:
            if time.monotonic() > deadline:
                raise
        # it may have groups of its own in its group, and have frozen what is in them
        with contextlib.suppress(Error):
            instance.cgroup.kill(_THAW_INTERVAL)


def _ended(supervisor: Supervisor, timeout: float) -> ExitStatus:
    status = supervisor.wait(timeout)
    supervisor.finished()
    return status


def _thaw(instance: Instance) -> None:
    if not instance.cgroup.frozen:
        return
    try:
        instance.cgroup.thaw()
    except StageError as error:
        if error.errno not in (errno.ENOENT, errno.ENODEV):  # the container ended, and its cgroup with it
            raise


def _grace(instance: Instance, timeout: float | None) -> float:
    if timeout is not None:
        return timeout
    recipe = instance.memo.stop_timeout
    return DEFAULT_GRACE if recipe is None else recipe


def lost(instance: Instance) -> ExitStatus:
    """The end of a container whose supervisor was killed. The kernel is killing it too, which this waits for."""
    started = runtime.read_record(instance.directory, "started")
    if started is not None:
        _thaw(instance)
        await_end(started.value[0], started.number[0], _LOST_PATIENCE)
    return LOST


def connected(instance: Instance) -> contextlib.AbstractContextManager[Supervisor | None]:
    supervisor = runtime.connect(instance.directory)
    return contextlib.nullcontext() if supervisor is None else contextlib.closing(supervisor)


def recorded_end(instance: Instance) -> ExitStatus:
    """How a container without a supervisor ended. Where that was killed, the kernel killed the container with it:
    `LOST`, which is also what those are told who were waiting then.

    Raises: NotFound where it has been removed; Unavailable where it never ran.
    """
    status = shim.read_exit(instance.directory)
    if status is not None:
        return status
    with locked(instance):  # whoever starts it again takes the records of its last run away first
        status = shim.read_exit(instance.directory)
        started = runtime.read_record(instance.directory, "started")
        if status is None and started is not None and not has_shim(instance.directory):
            lost(instance)
        state = instance.state
    if state is not State.STOPPED:
        raise Conflict(
            f"{instance.subject} was started at this moment: it is {state.value}", state=state.value
        )
    if status is None and started is None:
        raise Unavailable(
            f"{instance.subject} never ran: its supervisor was killed before it could start it; remove() it, or "
            "start() it again"
        )
    return status or LOST


def tail(instance: Instance) -> Sequence[str]:
    """The last lines of what the container wrote, on standard error if there is anything."""
    return log_tail(*shim.read_log_bytes(instance.directory, last=_TAIL_BYTES))


def remove_directory(directory: str) -> None:
    """Removes the container's directory; once more where the shim's last record came in between."""
    deadline = time.monotonic() + 2.0
    while True:
        try:
            remove_tree(directory)
        except OSError as error:
            if time.monotonic() > deadline:
                raise StageError(
                    "state", error.errno or 0, directory, advice="engine.prune() tries again"
                ) from error
            time.sleep(0.005)
        else:
            return
