"""Volumes that are mounts of their own: there while a container uses them, and no longer.

    attach(instance)       who starts the container, and holds it
    release(core)          whoever sees that one has ended: what nobody uses is unmounted

Nobody of ours may be there when a container ends by itself. So what is mounted is found by the next one who stops or
removes a container with a volume, or opens an engine: by the volume's record, which says that it may be mounted.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from containerlib.engine.listing import list_all
from containerlib.engine.lock import is_locked
from containerlib.engine.owner import Owner, is_alive
from containerlib.errors import Error, NotFound
from containerlib.spec.lifecycle import State

if TYPE_CHECKING:
    from collections.abc import Collection

    from containerlib.engine.core import Core
    from containerlib.engine.instance import Instance

__all__ = ["attach", "release", "release_of", "release_quietly", "users_of"]


def attach(instance: Instance) -> None:
    """Mounts the volumes of the container, which the caller holds. Raises: NotFound; as `VolumeStore.mount`."""
    for name in instance.memo.volumes:
        instance.core.volumes.mount(name)


def release(core: Core, names: Collection[str] = ()) -> None:
    """Unmounts what no container uses. Waits for who is at work on one of `names`; of the others he knows himself.

    Raises: the first of the errors, when all is done.
    """
    core.volumes.release(lambda volume: users_of(core, volume, only_running=True), names)


def release_of(instance: Instance) -> None:
    """After the end of the container. What cannot be unmounted now is left to `prune`, which says why."""
    if instance.memo.volumes:
        release_quietly(instance.core, instance.memo.volumes)


def release_quietly(core: Core, names: Collection[str]) -> None:
    """`release` at the end of something else."""
    with contextlib.suppress(Error, OSError):
        release(core, names)


def users_of(core: Core, volume: str, *, only_running: bool = False) -> list[str]:
    """The names of the containers that have the volume."""
    found = [each for each in list_all(core) if volume in each.memo.volumes]
    return [each.record.name for each in found if not only_running or _uses(each)]


def _uses(instance: Instance) -> bool:
    """Whether its processes see the volume, or somebody is about to start them, or has its files for himself."""
    if not os.path.isdir(instance.directory):  # noqa: PTH112 - a str
        record = instance.record
        if record.owner_pid is None or record.owner_start_time is None:
            return False
        return is_alive(Owner(record.owner_pid, record.owner_start_time))
    if is_locked(instance):
        return True
    try:
        return instance.state is not State.STOPPED
    except NotFound:
        return False
