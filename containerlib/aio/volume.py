"""Volumes, with verbs to await."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from containerlib.aio.driving import in_thread
from containerlib.aio.verbs import handed, threaded
from containerlib.fluent.volume import Volume as BlockingVolume
from containerlib.fluent.volume import VolumeCollection as BlockingCollection
from containerlib.fluent.volume import VolumeRecipe as BlockingRecipe

if TYPE_CHECKING:
    from containerlib.aio.engine import Engine
    from containerlib.volumes import Volume as VolumeRecord

__all__ = ["Volume", "VolumeCollection", "VolumeRecipe"]


def _volume(self: VolumeRecipe | VolumeCollection, made: BlockingVolume) -> Volume:
    return Volume(self.engine, made)


@frozen
class VolumeRecipe:
    """A volume to be made, or that is there. Mounting the recipe makes the volume where it is missing."""

    engine: Engine
    blocking: BlockingRecipe

    create = handed(BlockingRecipe.create, _volume, BlockingVolume.remove)

    @property
    def name(self) -> str:
        """Its name."""
        return self.blocking.name

    @property
    def labels(self) -> tuple[tuple[str, str], ...]:
        """Those that it will have."""
        return self.blocking.labels

    def label(self, mapping: Mapping[str, str] | None = None, /, **labels: str) -> VolumeRecipe:
        """Adds labels."""
        return VolumeRecipe(self.engine, self.blocking.label(mapping, **labels))


@frozen
class Volume:
    """A volume that is there."""

    engine: Engine
    blocking: BlockingVolume

    remove = threaded(BlockingVolume.remove)

    @property
    def record(self) -> VolumeRecord:
        """All that is known of it."""
        return self.blocking.record

    @property
    def name(self) -> str:
        """Its name."""
        return self.blocking.name

    @property
    def path(self) -> Path:
        """Its directory on the host."""
        return self.blocking.path


@frozen
class VolumeCollection:
    """The volumes of an engine: `engine.volumes`."""

    engine: Engine

    @property
    def blocking(self) -> BlockingCollection:
        """The same for those who may block."""
        return self.engine.blocking.volumes

    prune = threaded(BlockingCollection.prune)
    get = handed(BlockingCollection.get, _volume)

    async def list(self) -> list[Volume]:
        """All volumes, by name."""
        return [Volume(self.engine, volume) for volume in await in_thread(self.blocking.list)]
