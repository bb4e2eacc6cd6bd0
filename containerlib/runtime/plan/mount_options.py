"""The words of a mount's `options`, sorted into what the kernel's calls take.

Of two words that contradict each other the later one wins; "bind" takes nothing of "rbind" away. A word with
an `r` before it is for the mounts below too.

Spec: runtime-spec config.md#linux-mount-options; mount(8), mount_setattr(2)
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence

from containerlib.spec.values import frozen

__all__ = ["PROPAGATION", "RDONLY", "Attributes", "MountOptions", "parse"]

PROPAGATION = {
    "unbindable": 1 << 17,
    "private": 1 << 18,
    "slave": 1 << 19,
    "shared": 1 << 20,
}
RDONLY = 0x1
_NOATIME, _STRICTATIME, _RELATIME, _ATIME = 0x10, 0x20, 0x0, 0x70
_BITS = {"suid": 0x2, "dev": 0x4, "exec": 0x8, "diratime": 0x80, "symfollow": 0x200000}
"""MOUNT_ATTR_* that are named by what they forbid."""
_ATTRIBUTES = {
    "ro": (RDONLY, True),
    "rw": (RDONLY, False),
    **{word: (bit, False) for word, bit in _BITS.items()},
    **{f"no{word}": (bit, True) for word, bit in _BITS.items()},
}
_TIMES = {"noatime": _NOATIME, "relatime": _RELATIME, "strictatime": _STRICTATIME}
_NO_TIMES = {"atime": _NOATIME, "norelatime": _RELATIME, "nostrictatime": _STRICTATIME}
_SUPERBLOCK = ("sync", "dirsync", "lazytime", "mand", "iversion", "silent")
_NO_SUPERBLOCK = {
    "async": "sync",
    "nolazytime": "lazytime",
    "nomand": "mand",
    "noiversion": "iversion",
    "loud": "silent",
}
_LABELS = frozenset({"context", "fscontext", "defcontext", "rootcontext"})
"""The only values in which a comma, in quotes, is no separator. Spec: mount(8)."""
_COMMA = re.compile(r"(?<!\\),")


@frozen
class Attributes:
    """MOUNT_ATTR_* that are set, and those that are cleared before."""

    on: int = 0
    off: int = 0


@frozen
class MountOptions:
    """`attributes` are the mount's own, `below` those of the mounts that come with it; `data` is the file system's."""

    attributes: Attributes = Attributes()
    below: Attributes = Attributes()
    propagation: int = 0
    propagation_recursive: bool = False
    bind: bool = False
    recursive: bool = False
    superblock: tuple[str, ...] = ()
    """The words that are the file system's whichever it is, so that a bind passes them over, as the kernel does."""
    mapped: bool = False
    mapped_recursive: bool = False
    copy_up: bool = False
    copy_symlink: bool = False
    remount: bool = False
    data: tuple[tuple[str, str], ...] = ()

    @property
    def read_only(self) -> bool:
        return bool(self.attributes.on & RDONLY)


class _Wanted:
    """Attributes in the making."""

    def __init__(self) -> None:
        self.on = self.off = 0
        self.time: int | None = None

    def take(self, word: str) -> None:
        if word in _ATTRIBUTES:
            bit, on = _ATTRIBUTES[word]
            self.on, self.off = (self.on | bit, self.off & ~bit) if on else (self.on & ~bit, self.off | bit)
        elif word in _TIMES:
            self.time = _TIMES[word]
        elif self.time in (None, _NO_TIMES[word]):  # back to the kernel's default, which is relatime
            self.time = None if word == "norelatime" else _RELATIME

    def attributes(self) -> Attributes:
        if self.time is None:
            return Attributes(self.on, self.off)
        return Attributes(self.on | self.time, self.off | _ATIME)


def parse(options: Sequence[str]) -> MountOptions:
    """Sorts `options`; what is no known word is the file system's own."""
    return _parse(tuple(options))


@functools.lru_cache(256)
def _parse(options: tuple[str, ...]) -> MountOptions:
    """Most containers have the same mounts: sorting their words is half of planning them."""
    own, below = _Wanted(), _Wanted()
    words: dict[str, bool] = {}
    propagation, propagation_recursive = 0, False
    superblock: dict[str, bool] = {}
    data: list[tuple[str, str]] = []
    for option in options:
        without = option[1:] if option.startswith("r") else ""
        if _is_attribute(option):
            own.take(option)
        elif _is_attribute(without):
            own.take(without)
            below.take(without)
        elif option in PROPAGATION or without in PROPAGATION:
            propagation_recursive = option not in PROPAGATION
            propagation = PROPAGATION[without if propagation_recursive else option]
        elif option in _SUPERBLOCK:
            superblock[option] = True
        elif option in _NO_SUPERBLOCK:
            superblock[_NO_SUPERBLOCK[option]] = False
        elif option in _FLAGS:
            words.update(_FLAGS[option])
        elif option != "defaults":
            data += _data(option)
    return MountOptions(
        attributes=own.attributes(),
        below=below.attributes(),
        propagation=propagation,
        propagation_recursive=propagation_recursive,
        superblock=tuple(word for word in _SUPERBLOCK if superblock.get(word)),
        data=tuple(data),
        **words,
    )


_FLAGS = {
    "bind": {"bind": True},
    "rbind": {"bind": True, "recursive": True},
    "remount": {"remount": True},
    "idmap": {"mapped": True, "mapped_recursive": False},
    "ridmap": {"mapped": True, "mapped_recursive": True},
    "tmpcopyup": {"copy_up": True},
    "copy-symlink": {"copy_symlink": True},
}
"""Words to fields of MountOptions."""


def _is_attribute(word: str) -> bool:
    return word in _ATTRIBUTES or word in _TIMES or word in _NO_TIMES


def _data(option: str) -> Iterator[tuple[str, str]]:
    """mount(2) takes a file system's options as one text with commas, so one of `options` may hold several."""
    key, _, value = option.partition("=")
    if key in _LABELS:
        yield key, value.strip('"')
        return
    for part in _COMMA.split(option):
        key, _, value = part.partition("=")
        if key:
            yield key, value
