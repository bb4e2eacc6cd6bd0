"""What a root takes on disk, by kind: `docker system df`; and what of it may go."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from attrs import frozen

from containerlib import shim
from containerlib._sys.sizes import size_on_disk
from containerlib.engine.lifetime import is_claimed
from containerlib.engine.listing import list_all
from containerlib.engine.mounting import ANONYMOUS
from containerlib.engine.removal import remove_volume
from containerlib.engine.stop import remove
from containerlib.errors import Conflict, NotFound
from containerlib.spec.lifecycle import State

if TYPE_CHECKING:
    from containerlib.engine.core import Core
    from containerlib.engine.eligible import Eligible
    from containerlib.engine.instance import Instance
    from containerlib.images import ImageUsage

__all__ = [
    "ContainerUsage",
    "ContainersPruned",
    "DiskUsage",
    "VolumeUsage",
    "VolumesPruned",
    "disk_usage",
    "prune_containers",
    "prune_volumes",
]


@frozen
class ContainerUsage:
    """`writable_bytes`: what it wrote; for a "copy" of its image's files, all of these. `log_bytes`: its log."""

    id: str
    name: str
    state: State
    writable_bytes: int
    log_bytes: int


@frozen
class VolumeUsage:
    """`containers`: the names of those that have it, whether they run or not. What is elsewhere takes nothing here."""

    name: str
    size_bytes: int
    containers: tuple[str, ...]


@frozen
class DiskUsage:
    """Sizes in bytes on disk; of unpacked layers that of their files' content. What is shared is in a total once."""

    images: tuple[ImageUsage, ...]
    containers: tuple[ContainerUsage, ...]
    volumes: tuple[VolumeUsage, ...]
    images_bytes: int

    @property
    def containers_bytes(self) -> int:
        """What containers wrote, without their logs."""
        return sum(each.writable_bytes for each in self.containers)

    @property
    def logs_bytes(self) -> int:
        """Their logs."""
        return sum(each.log_bytes for each in self.containers)

    @property
    def volumes_bytes(self) -> int:
        """All volumes."""
        return sum(each.size_bytes for each in self.volumes)

    @property
    def total_bytes(self) -> int:
        """All of it."""
        return self.images_bytes + self.containers_bytes + self.logs_bytes + self.volumes_bytes


@frozen
class ContainersPruned:
    """The ids of the containers that were removed, and the bytes that they took."""

    containers: tuple[str, ...] = ()
    reclaimed_bytes: int = 0


@frozen
class VolumesPruned:
    """The names of the volumes that were removed, and the bytes that they took."""

    volumes: tuple[str, ...] = ()
    reclaimed_bytes: int = 0


def disk_usage(core: Core) -> DiskUsage:
    """Looks at every file that a container wrote and of every volume."""
    instances = list_all(core)
    images, images_bytes = core.images.usage()
    return DiskUsage(
        images=images,
        containers=tuple(usage for each in instances if (usage := _usage(each)) is not None),
        volumes=tuple(
            VolumeUsage(
                volume.name,
                0 if volume.is_mount else size_on_disk(volume.path),
                tuple(each.record.name for each in instances if volume.name in each.memo.volumes),
            )
            for volume in core.volumes.list()
        ),
        images_bytes=images_bytes,
    )


def prune_containers(core: Core, which: Eligible) -> ContainersPruned:
    """Removes containers that have stopped. One that somebody starts or removes meanwhile is left alone.

    So is one that is being made, and the container of a run() whose process lives: it is seen as stopped before its
    program runs and after, and is removed by that process.
    """
    removed, size = [], 0
    for instance in list_all(core):
        try:
            if instance.state is not State.STOPPED or is_claimed(instance):
                continue
            if not which.has(instance.record.created_at, dict(instance.memo.labels)):
                continue
            takes = size_on_disk(instance.directory)
            remove(instance, unless=partial(is_claimed, instance))
        except (Conflict, NotFound):
            continue
        removed.append(instance.id)
        size += takes
    core.store.events.note_prune("container", size)
    return ContainersPruned(tuple(removed), size)


def prune_volumes(core: Core, which: Eligible, *, named: bool) -> VolumesPruned:
    """Removes volumes that no container has: those whose name nobody gave, and with `named` the others too."""
    removed, size = [], 0
    for volume in core.volumes.list():
        labels = dict(volume.labels)
        if not (named or ANONYMOUS in labels) or not which.has(volume.created_at, labels):
            continue
        try:
            takes = 0 if volume.is_mount else size_on_disk(volume.path)
            remove_volume(core, volume.name)
        except (Conflict, NotFound):
            continue
        removed.append(volume.name)
        size += takes
    core.store.events.note_prune("volume", size)
    return VolumesPruned(tuple(removed), size)


def _usage(instance: Instance) -> ContainerUsage | None:
    """None where it has been removed by now."""
    try:
        state = instance.state
    except NotFound:
        return None
    place = "rootfs" if instance.memo.layers == "copy" else "upper"
    return ContainerUsage(
        instance.id,
        instance.record.name,
        state,
        size_on_disk(f"{instance.directory}/{place}"),
        shim.log_size(instance.directory),
    )
