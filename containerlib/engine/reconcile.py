"""What a killed process left: found by its owner's death, and removed."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from containerlib.engine.connecting import mend
from containerlib.engine.core import Core
from containerlib.engine.instance import Instance
from containerlib.engine.lifetime import is_removed, is_to_run, is_unattended
from containerlib.engine.owner import Owner, is_alive
from containerlib.engine.places import reclaim
from containerlib.engine.start import restart
from containerlib.engine.stop import discard, forget_removed
from containerlib.engine.undo import clean_up
from containerlib.engine.volume_use import release
from containerlib.errors import Error, NotFound
from containerlib.runtime import NATIVE
from containerlib.runtime.supervisor import has_shim
from containerlib.spec.lifecycle import State

if TYPE_CHECKING:
    from containerlib.spec.options import SnapshotterName
    from containerlib.store import ContainerRecord

__all__ = ["close", "discard_left_over", "is_left_over", "open_core", "reconcile", "remaining"]


def open_core(root: str, driver: str = NATIVE, snapshotter: SnapshotterName = "auto") -> Core:
    """The state under `root`, without what dead processes left there.

    Raises: StageError(stage="state") where the directory cannot be made or written.
    """
    core = Core(root, driver, snapshotter)
    try:
        reconcile(core)
    except BaseException as error:
        clean_up(error, core.close)
        raise
    return core


def close(core: Core) -> None:
    """Ends and removes the containers that end with `core`, then lets go of its database.

    Raises: ExceptionGroup of what could not be removed, after all else is done.
    """
    failures: list[Exception] = []
    for instance in list(core.owned.values()):
        if not _is_ours(core, instance):
            continue
        try:
            discard(instance)
        except Exception as error:
            failures.append(error)
    core.close()
    if failures:
        raise ExceptionGroup("containers that could not be removed: engine.prune() tries again", failures)


def _is_ours(core: Core, instance: Instance) -> bool:
    """Not the parent's, where this process is a fork; nor another's, who has started it again after it stopped."""
    try:
        record = core.store.containers.get(instance.id)
    except NotFound:
        return False
    if record.owner_pid is None:  # its shim removes it: what it was started by is known here alone
        record = instance.record
    return (record.owner_pid, record.owner_start_time) == (core.owner.pid, core.owner.start_time)


def reconcile(core: Core) -> list[str]:
    """Removes the containers that should have ended with their owners; the names of those removed.

    Starts again those whose shim was killed, where their restart policy says so, as dockerd does when it is started.
    Costs a read of /proc for each owner, and one of a cgroup for each container. What cannot be removed now is left to
    `prune`, which says why.
    """
    removed = []
    core.store.events.trim()
    for record in remaining(core):
        if not is_left_over(core, record):
            _let_die(Instance.of(core, record))
            _revive(core, record)
            continue
        try:
            discard_left_over(core, record)
        except (Error, OSError):
            continue
        removed.append(record.name)
    with contextlib.suppress(Error, OSError):
        reclaim(core)
        mend(core)
    with contextlib.suppress(Error, OSError):
        release(core)
    return removed


def remaining(core: Core) -> list[ContainerRecord]:
    """The records of all but those that their shims have removed, which are forgotten."""
    kept = []
    for record in core.store.containers.list():
        if record.auto_remove and is_removed(instance := Instance.of(core, record)):
            forget_removed(instance)
        else:
            kept.append(record)
    return kept


def discard_left_over(core: Core, record: ContainerRecord) -> None:
    """Removes the container, unless somebody has made it theirs and started it since its record was read."""

    def is_still() -> bool:
        try:
            return is_left_over(core, core.store.containers.get(record.id))
        except NotFound:
            return True

    discard(Instance.of(core, record), only_if=is_still)


def _let_die(instance: Instance) -> None:
    """A paused container ends with its supervisor, as every other does; on cgroup v1 only once it is thawed."""
    if instance.cgroup.frozen and not has_shim(instance.directory):
        with contextlib.suppress(Error, OSError):
            instance.cgroup.kill()


def is_left_over(core: Core, record: ContainerRecord) -> bool:
    """Whether nobody will ever use the container: its owner is dead, and it was not to outlive it.

    A detached container stays, unless its owner died before it was started.
    """
    if record.owner_pid is None or record.owner_start_time is None:
        return record.auto_remove and is_unattended(Instance.of(core, record))
    if is_alive(Owner(record.owner_pid, record.owner_start_time)):
        return False
    instance = Instance.of(core, record)
    if instance.memo.remove and instance.memo.detached:
        return is_unattended(instance)
    return not (instance.memo.detached and _was_started(instance.directory))


def _revive(core: Core, record: ContainerRecord) -> None:
    if '"restart"' not in record.options_json:  # of nearly all: no need to read more
        return
    instance = Instance.of(core, record)
    if is_to_run(instance):
        with contextlib.suppress(Error, OSError):  # another process is faster, or it is as it was
            _go_on(instance)


def _go_on(instance: Instance) -> None:
    """From its last checkpoint, where its policy says so and it can; else anew, as by its supervisor."""
    try:
        restart(instance, resume=True)
    except (Error, OSError):
        if not instance.memo.restart.from_checkpoint or instance.state is not State.STOPPED:
            raise
        restart(instance)


def _was_started(directory: str) -> bool:
    """Whether the container's program may have run. Its log stays while it is started again, its records do not."""
    return any(os.path.lexists(f"{directory}/{name}") for name in ("started", "log"))
