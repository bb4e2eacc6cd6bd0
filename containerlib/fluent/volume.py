"""Volumes: directories with a name that outlive containers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import evolve, field, frozen

from containerlib.engine import words
from containerlib.engine.names import check_name
from containerlib.engine.removal import remove_volume

if TYPE_CHECKING:
    from containerlib.engine.disk import VolumesPruned
    from containerlib.fluent.engine import Engine
    from containerlib.volumes import Volume as VolumeRecord

__all__ = ["Volume", "VolumeCollection", "VolumeRecipe"]


@frozen
class VolumeRecipe:
    """A volume to be made, or that is there. Mounting the recipe makes the volume where it is missing."""

    engine: Engine
    name: str = field(validator=lambda _, __, name: check_name(name))
    labels: tuple[tuple[str, str], ...] = ()

    def label(self, mapping: Mapping[str, str] | None = None, /, **labels: str) -> VolumeRecipe:
        """Adds labels."""
        return evolve(self, labels=words.merge_pairs(self.labels, mapping, labels, field="label"))

    def create(self) -> Volume:
        """Makes the volume.

        Raises: AlreadyExists.
        """
        return Volume(self.engine, self.engine.core.volumes.create(self.name, dict(self.labels)))

    def __repr__(self) -> str:
        return f"<VolumeRecipe {self.name}>"


@frozen
class Volume:
    """A volume that is there."""

    engine: Engine
    record: VolumeRecord = field(repr=False)

    @property
    def name(self) -> str:
        """Its name."""
        return self.record.name

    @property
    def path(self) -> Path:
        """Its directory on the host."""
        return Path(self.record.path)

    def remove(self) -> None:
        """Removes the volume and what is in it.

        Raises: NotFound; Conflict where a container mounts it.
        """
        remove_volume(self.engine.core, self.name)

    def __repr__(self) -> str:
        return f"<Volume {self.name} at {self.record.path}>"


@frozen
class VolumeCollection:
    """The volumes of an engine: `engine.volumes`."""

    engine: Engine

    def get(self, name: str) -> Volume:
        """The volume of that name.

        Raises: NotFound.
        """
        return Volume(self.engine, self.engine.core.volumes.get(check_name(name)))

    def list(self) -> list[Volume]:
        """All volumes, by name."""
        return [Volume(self.engine, record) for record in self.engine.core.volumes.list()]

    def prune(
        self,
        *,
        named: bool = False,
        older_than: float | None = None,
        labels: Mapping[str, str | None] | None = None,
    ) -> VolumesPruned:
        """Removes volumes that no container has: those whose name nobody gave, and with `named` the others too.

        Further conditions: they were made `older_than` seconds ago; they have all of `labels` (None: whatever value).
        """
        from containerlib.engine.disk import prune_volumes  # noqa: PLC0415 - few ask
        from containerlib.engine.eligible import eligible  # noqa: PLC0415

        which = eligible(older_than, labels)
        return prune_volumes(self.engine.core, which, named=words.flag(named, field="named"))

    def __repr__(self) -> str:
        return f"<VolumeCollection of {self.engine!r}>"
