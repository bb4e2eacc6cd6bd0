"""What can be mounted into a container."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeAlias

from attrs import frozen

from containerlib.engine import words
from containerlib.spec.options import MountOption
from containerlib.units import Size, parse_size

if TYPE_CHECKING:
    from containerlib.fluent.volume import Volume, VolumeRecipe

__all__ = ["MountSource", "Tmpfs", "mount_option", "tmpfs"]


@frozen
class Tmpfs:
    """Memory as a file system, gone with the container. `size_bytes` None: half of the RAM."""

    size_bytes: int | None = None


if TYPE_CHECKING:
    MountSource: TypeAlias = str | os.PathLike[str] | Tmpfs | Volume | VolumeRecipe


def tmpfs(*, size: Size | None = None) -> Tmpfs:
    """A source for `.mount()`: memory as a file system, at most `size` (bytes or `"64MiB"`).

    Raises: InvalidArgument.
    """
    return Tmpfs(None if size is None else parse_size(size))


def mount_option(source: MountSource, *, at: str, read_only: bool) -> MountOption:
    """The mount of `source` on the container's path `at`.

    Raises: InvalidArgument where a path is not absolute.
    """
    target = words.container_path(at, field="at")
    if isinstance(source, Tmpfs):
        return MountOption("tmpfs", target, read_only=read_only, size_bytes=source.size_bytes)
    if isinstance(source, str | os.PathLike):
        return MountOption("bind", target, words.host_path(source, field="source"), read_only)
    return MountOption("volume", target, source.name, read_only)
