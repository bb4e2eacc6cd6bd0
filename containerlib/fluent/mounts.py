"""What can be mounted into a container."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

from attrs import frozen

from containerlib.bundles.mounts import check_target
from containerlib.engine import words, words_mounts
from containerlib.errors import InvalidArgument
from containerlib.fluent.image import Image, ImageRecipe
from containerlib.fluent.volume import Volume, VolumeRecipe
from containerlib.spec.options import MountOption, Recursion
from containerlib.units import Size, check_kind, parse_size

__all__ = ["MountSource", "Tmpfs", "mount_option", "tmpfs"]

_UNSAID = {"propagation": "rprivate", "recursive": True, "id_map": None, "subpath": "", "copy": True}


@frozen
class Tmpfs:
    """Memory as a file system, gone with the container. `size_bytes` None: half of the RAM."""

    size_bytes: int | None = None
    options: tuple[str, ...] = ()
    """As the kernel writes them."""


class Twin(Protocol):
    """What the async face has of a volume or an image."""

    @property
    def blocking(self) -> Volume | VolumeRecipe | Image | ImageRecipe:
        """The same, of this face."""


MountSource: TypeAlias = str | os.PathLike[str] | Tmpfs | Volume | VolumeRecipe | Image | ImageRecipe | Twin


def tmpfs(
    *,
    size: Size | None = None,
    mode: int | None = None,
    uid: int | None = None,
    gid: int | None = None,
    inodes: int | None = None,
    exec: bool = False,  # noqa: A002 - mount(8)'s word
    suid: bool = False,
    dev: bool = False,
) -> Tmpfs:
    """A source for `.mount()`: memory as a file system, at most `size` (bytes or `"64MiB"`) in `inodes` files.

    `mode`, `uid` and `gid` are those of its root (0o1777, root). Programs, set-uid ones and devices in it are of use
    where `exec`, `suid` and `dev` say so.

    Raises: InvalidArgument.
    """
    options = words_mounts.tmpfs_options(
        mode=mode, uid=uid, gid=gid, inodes=inodes, exec=exec, suid=suid, dev=dev
    )
    return Tmpfs(None if size is None else parse_size(size), options)


def mount_option(
    source: MountSource,
    *,
    at: str,
    read_only: bool = False,
    propagation: str = "rprivate",
    recursive: Recursion = True,
    id_map: bool | Sequence[tuple[int, int, int]] = False,
    subpath: str | None = None,
    copy: bool = True,
) -> MountOption:
    """The mount of `source` on the container's path `at`.

    Raises: InvalidArgument where a path is not absolute, where `at` is no place for a mount, and for words that are
    another kind's.
    """
    target = check_target(words.container_path(at, field="at"), field="at")
    words.flag(read_only, field="read_only")
    words.flag(copy, field="copy")
    words_mounts.propagation(propagation)
    given = {
        "propagation": propagation,
        "recursive": words_mounts.recursion(recursive, read_only=read_only, propagation=propagation),
        "id_map": words_mounts.id_map(id_map),
        "subpath": words_mounts.subpath(subpath),
        "copy": copy,
    }
    return _option(getattr(source, "blocking", source), target, read_only=read_only, given=given)


def _option(source: Any, target: str, *, read_only: bool, given: dict[str, Any]) -> MountOption:
    if isinstance(source, Tmpfs):
        _refuse_foreign("a tmpfs", given)
        return MountOption("tmpfs", target, "", read_only, source.size_bytes, source.options)
    if isinstance(source, Image | ImageRecipe):
        _refuse_foreign("an image", given)
        name = source.id if isinstance(source, Image) else source.reference
        return MountOption("image", target, name, read_only=True)
    if isinstance(source, str | os.PathLike):
        _refuse_foreign("a host path", given, "subpath", "copy")
        return MountOption("bind", target, words.host_path(source, field="source"), read_only, **given)
    want = "a source: write a host path, engine.volume(...), engine.image(...) or tmpfs()"
    check_kind(source, Volume, VolumeRecipe, want=want, field="source")
    _refuse_foreign("a volume", given, "propagation", "recursive")
    if isinstance(source, Volume):
        return MountOption("volume", target, source.name, read_only, **given)
    return MountOption(
        "volume", target, source.name or "", read_only, volume=words_mounts.volume(source.made), **given
    )


def _refuse_foreign(kind: str, given: dict[str, Any], *foreign: str) -> None:
    """Raises: InvalidArgument for the first word, of those named or of all, that is not as it is without a word."""
    for name in foreign or given:
        if given[name] != _UNSAID[name]:
            raise InvalidArgument(f"{name} is no word of a mount of {kind}", field=name)
