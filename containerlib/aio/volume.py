"""Volumes, with verbs to await."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from containerlib.aio.verbs import handed, threaded
from containerlib.fluent.volume import Volume as BlockingVolume
from containerlib.fluent.volume import VolumeCollection as BlockingCollection
from containerlib.fluent.volume import VolumeRecipe as BlockingRecipe

if TYPE_CHECKING:
    from containerlib.aio.engine import Engine
    from containerlib.spec.options import VolumeOption
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
    def name(self) -> str | None:
        """Its name."""
        return self.blocking.name

    @property
    def made(self) -> VolumeOption:
        """How it is made."""
        return self.blocking.made

    @property
    def labels(self) -> tuple[tuple[str, str], ...]:
        """Those that it will have."""
        return self.blocking.labels

    def driver(self, name: str, /) -> VolumeRecipe:
        """Who provides it."""
        return VolumeRecipe(self.engine, self.blocking.driver(name))

    def option(self, mapping: Mapping[str, str] | None = None, /, **options: str) -> VolumeRecipe:
        """Adds options of its driver, as `docker volume create -o`."""
        return VolumeRecipe(self.engine, self.blocking.option(mapping, **options))

    def label(self, mapping: Mapping[str, str] | None = None, /, **labels: str) -> VolumeRecipe:
        """Adds labels."""
        return VolumeRecipe(self.engine, self.blocking.label(mapping, **labels))


@frozen
class Volume:
    """A volume that is there."""

    engine: Engine
    blocking: BlockingVolume

    remove = threaded(BlockingVolume.remove)
    backup = threaded(BlockingVolume.backup)
    restore = threaded(BlockingVolume.restore)

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
        """Its directory on the host. What is a file system of its own is there while a container uses it."""
        return self.blocking.path

    @property
    def labels(self) -> dict[str, str]:
        """Its labels."""
        return self.blocking.labels

    @property
    def driver(self) -> str:
        """Who provides it."""
        return self.blocking.driver

    @property
    def options(self) -> dict[str, str]:
        """What its driver was told."""
        return self.blocking.options

    @property
    def created_at(self) -> datetime:
        """When it was made."""
        return self.blocking.created_at


def _handles(self: VolumeCollection, found: list[BlockingVolume]) -> list[Volume]:
    return [Volume(self.engine, each) for each in found]


@frozen
class VolumeCollection:
    """The volumes of an engine: `engine.volumes`."""

    engine: Engine

    @property
    def blocking(self) -> BlockingCollection:
        """The same for those who may block."""
        return self.engine.blocking.volumes

    prune = threaded(BlockingCollection.prune)
    list = handed(BlockingCollection.list, _handles)
    get = handed(BlockingCollection.get, _volume)
