"""What can be mounted into a container."""

from __future__ import annotations

import os
from typing import TypeAlias

from attrs import frozen

from containerlib.bundles.mounts import check_target
from containerlib.engine import words
from containerlib.fluent.volume import Volume, VolumeRecipe
from containerlib.spec.options import MountOption
from containerlib.units import Size, check_kind, parse_size

__all__ = ["MountSource", "Tmpfs", "mount_option", "tmpfs"]


@frozen
class Tmpfs:
    """Memory as a file system, gone with the container. `size_bytes` None: half of the RAM."""

    size_bytes: int | None = None


MountSource: TypeAlias = str | os.PathLike[str] | Tmpfs | Volume | VolumeRecipe


def tmpfs(*, size: Size | None = None) -> Tmpfs:
    """A source for `.mount()`: memory as a file system, at most `size` (bytes or `"64MiB"`).

    Raises: InvalidArgument.
    """
    return Tmpfs(None if size is None else parse_size(size))


def mount_option(source: MountSource, *, at: str, read_only: bool) -> MountOption:
    """The mount of `source` on the container's path `at`.

    Raises: InvalidArgument where a path is not absolute, and where `at` is no place for a mount.
    """
    target = check_target(words.container_path(at, field="at"), field="at")
    words.flag(read_only, field="read_only")
    if isinstance(source, Tmpfs):
        return MountOption("tmpfs", target, read_only=read_only, size_bytes=source.size_bytes)
    if isinstance(source, str | os.PathLike):
        return MountOption("bind", target, words.host_path(source, field="source"), read_only)
    check_kind(
        source,
        Volume,
        VolumeRecipe,
        want="a source: write a host path, engine.volume(...) or tmpfs()",
        field="source",
    )
    return MountOption("volume", target, source.name, read_only)
