"""What the words about mounts take. Pure, as words.py is.

Every function raises InvalidArgument with the word's name as its `field`.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from typing import Any

from containerlib.engine.words import text
from containerlib.engine.words_resources import number
from containerlib.errors import InvalidArgument
from containerlib.spec.options import Recursion, VolumeOption
from containerlib.units import check_kind
from containerlib.volumes.drivers import LOCAL
from containerlib.volumes.options import local_options

__all__ = ["id_map", "propagation", "recursion", "subpath", "tmpfs_options", "volume"]

_PROPAGATIONS = ("private", "rprivate", "slave", "rslave", "shared", "rshared")
_LAST_ID = 2**32 - 2


def volume(made: VolumeOption) -> VolumeOption:
    """What a mount may have to make; of another driver than "local" only that knows what its options are."""
    if made.driver == LOCAL:
        local_options(dict(made.options))
    return made


def propagation(value: str) -> str:
    """How mounts spread between a bind and its source. Spec: mount_namespaces(7)"""
    if text(value, field="propagation") not in _PROPAGATIONS:
        raise InvalidArgument(f"{value!r} is none of {', '.join(_PROPAGATIONS)}", field="propagation")
    return value


def recursion(value: Recursion, *, read_only: bool, propagation: str) -> Recursion:
    """Which of the mounts below a bind's source are seen, and how."""
    if not isinstance(value, bool) and value not in ("writable", "readonly"):
        raise InvalidArgument(
            f'{value!r} is neither True nor False, nor "writable" or "readonly"', field="recursive"
        )
    if value in ("writable", "readonly") and not read_only:
        raise InvalidArgument(f'"{value}" is of a bind with read_only=True', field="recursive")
    if value == "readonly" and propagation != "rprivate":
        raise InvalidArgument(
            f'"readonly" is of a bind with the propagation rprivate: with {propagation} new mounts could be written',
            field="recursive",
        )
    return value


def id_map(value: bool | Sequence[tuple[int, int, int]]) -> tuple[tuple[int, int, int], ...] | None:
    """`[(id of the files, id on the host, how many)]`; True: as the container's user namespace, False: none."""
    if isinstance(value, bool):
        return () if value else None
    want = "a map of ids: write e.g. [(0, 100000, 65536)], or True"
    check_kind(value, list, tuple, want=want, field="id_map")
    found = []
    for entry in value:
        if not isinstance(entry, tuple | list) or len(entry) != 3:
            raise InvalidArgument(f"{entry!r} is not {want}", field="id_map")
        found.append(tuple(number(item, field="id_map", least=0, most=_LAST_ID) for item in entry))
    if not found:
        raise InvalidArgument(f"an empty list is not {want}", field="id_map")
    return tuple((first, host, size) for first, host, size in found)


def subpath(value: str | None) -> str:
    """A directory or file of a volume, by a relative path that stays in it."""
    if value is None:
        return ""
    normal = posixpath.normpath(text(value, field="subpath"))
    if value.startswith("/") or normal.startswith("..") or normal == ".":
        raise InvalidArgument(
            f"{value!r} is not a path in the volume: write it relative to its top", field="subpath"
        )
    return normal


def tmpfs_options(
    *, mode: int | None, uid: int | None, gid: int | None, inodes: int | None, **flags: bool
) -> tuple[str, ...]:
    """Options of a tmpfs beside its size, as the kernel writes them. Spec: tmpfs(5)"""
    numbers: dict[str, Any] = {"uid": uid, "gid": gid, "nr_inodes": inodes}
    options = []
    if mode is not None:
        options.append(f"mode={number(mode, field='mode', least=0, most=0o7777):o}")
    for name, value in numbers.items():
        if value is not None:
            field = "inodes" if name == "nr_inodes" else name
            options.append(f"{name}={number(value, field=field, least=0, most=_LAST_ID)}")
    for name, allowed in flags.items():
        check_kind(allowed, bool, want="True or False", field=name)
        options += [name] * allowed
    return tuple(options)
