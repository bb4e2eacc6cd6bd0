"""Volumes: directories with a name that outlive containers."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import evolve, field, frozen

from containerlib.boundary import public
from containerlib.engine import words
from containerlib.engine.names import check_name
from containerlib.engine.removal import remove_volume
from containerlib.spec.options import VolumeOption

if TYPE_CHECKING:
    from containerlib.engine.disk import VolumesPruned
    from containerlib.fluent.engine import Engine
    from containerlib.images.archives.streams import Source, Target
    from containerlib.volumes import Volume as VolumeRecord

__all__ = ["Volume", "VolumeCollection", "VolumeRecipe"]


@public
@frozen
class VolumeRecipe:
    """A volume to be made, or that is there. Mounting the recipe makes the volume where it is missing."""

    engine: Engine
    name: str | None = field(
        default=None, validator=lambda _, __, name: None if name is None else check_name(name)
    )
    """None: each container that mounts it has one for itself, which goes with it."""
    made: VolumeOption = field(factory=VolumeOption)

    @property
    def labels(self) -> tuple[tuple[str, str], ...]:
        """Those that it will have."""
        return self.made.labels

    def label(self, mapping: Mapping[str, str] | None = None, /, **labels: str) -> VolumeRecipe:
        """Adds labels."""
        merged = words.merge_pairs(self.made.labels, mapping, labels, field="label")
        return evolve(self, made=evolve(self.made, labels=merged))

    def driver(self, name: str, /) -> VolumeRecipe:
        """Who provides it: "local", or the entry point of a package in the group `containerlib.volume_drivers`."""
        return evolve(self, made=evolve(self.made, driver=words.text(name, field="driver")))

    def option(self, mapping: Mapping[str, str] | None = None, /, **options: str) -> VolumeRecipe:
        """Adds options of its driver, as `docker volume create -o`.

        Those of "local": `size="10GiB"` bounds what is in it, by a project quota; `type`, `device` and `o` are what
        mount(8) takes for a file system (`type="nfs"`, `device=":/data"`, `o="addr=10.0.0.1,rw"`), which is mounted
        while a container uses it.
        """
        merged = words.merge_pairs(self.made.options, mapping, options, field="option")
        return evolve(self, made=evolve(self.made, options=merged))

    def create(self) -> Volume:
        """Makes the volume; one without a name gets 64 hexadecimal digits.

        Raises: AlreadyExists; InvalidArgument; Unsupported for a size where the file system has no project quotas;
        NotFound for a driver; what that raises.
        """
        name, made = self.name or secrets.token_hex(32), self.made
        volumes = self.engine.core.volumes
        return Volume(
            self.engine,
            volumes.create(name, dict(made.labels), driver=made.driver, options=dict(made.options)),
        )

    def __repr__(self) -> str:
        return f"<VolumeRecipe {self.name or 'without a name'}>"


@public
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
        """Its directory on the host. What is a file system of its own is there while a container uses it."""
        return Path(self.record.path)

    @property
    def labels(self) -> dict[str, str]:
        """Its labels."""
        return dict(self.record.labels)

    @property
    def driver(self) -> str:
        """Who provides it."""
        return self.record.driver

    @property
    def options(self) -> dict[str, str]:
        """What its driver was told."""
        return dict(self.record.options)

    @property
    def created_at(self) -> datetime:
        """When it was made."""
        return self.record.created_at

    def backup(self, target: Target, /) -> None:
        """Writes all that is in it as a tar archive: to a path, as `Image.save` does, or into a file that is
        open for bytes.

        A container that writes meanwhile may be seen half way: stop it first.

        Raises: NotFound; StageError.
        """
        from containerlib.engine.volume_archive import backup  # noqa: PLC0415 - few ask

        backup(self.engine.core, self.name, target)

    def restore(self, source: Source, /) -> None:
        """Puts what a tar archive has, compressed or not, in the place of all that is in it; or changes nothing.

        Raises: NotFound; Conflict where a container that has it runs; InvalidArgument for what is no such archive;
        StageError.
        """
        from containerlib.engine.volume_archive import restore  # noqa: PLC0415

        restore(self.engine.core, self.name, source)

    def remove(self) -> None:
        """Removes the volume and what is in it.

        Raises: NotFound; Conflict where a container mounts it.
        """
        remove_volume(self.engine.core, self.name)

    def __repr__(self) -> str:
        return f"<Volume {self.name} at {self.record.path}>"


@public
@frozen
class VolumeCollection:
    """The volumes of an engine: `engine.volumes`."""

    engine: Engine

    def get(self, name: str) -> Volume:
        """The volume of that name.

        Raises: NotFound.
        """
        return Volume(self.engine, self.engine.core.volumes.get(check_name(name)))

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

    def list(
        self,
        *,
        labels: Mapping[str, str | None] | None = None,
        name: str | re.Pattern[str] | None = None,
        driver: str | None = None,
        dangling: bool | None = None,
    ) -> list[Volume]:
        """The volumes for which all that is given holds, by name.

        `labels`: they have all of these (None: any value). `name`: it contains the text, or the regular expression is
        found in it. `dangling`: whether no container has them. Needs no privilege.

        Raises: InvalidArgument.
        """
        from containerlib.engine import filters  # noqa: PLC0415 - few ask

        given = {"labels": labels, "name": name, "driver": driver, "dangling": dangling}
        return [Volume(self.engine, record) for record in filters.volumes(self.engine.core, given)]

    def __repr__(self) -> str:
        return f"<VolumeCollection of {self.engine!r}>"
