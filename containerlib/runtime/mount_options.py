"""The words of a mount's `options`, sorted into what the kernel's calls take.

Spec: runtime-spec config.md#mounts, mount(8), mount_setattr(2).
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from containerlib.errors import Unsupported

__all__ = ["PROPAGATION", "MountOptions", "parse"]

PROPAGATION = {
    "unbindable": 1 << 17,
    "private": 1 << 18,
    "slave": 1 << 19,
    "shared": 1 << 20,
}
_ATTRIBUTES = {
    "ro": 0x1,
    "nosuid": 0x2,
    "nodev": 0x4,
    "noexec": 0x8,
    "noatime": 0x10,
    "strictatime": 0x20,
    "nodiratime": 0x80,
    "nosymfollow": 0x200000,
}
_DEFAULTS = frozenset(
    {"rw", "suid", "dev", "exec", "atime", "relatime", "diratime", "symfollow", "defaults", "async", "loud"}
)
_NOT_YET = frozenset({"idmap", "ridmap", "tmpcopyup", "copy-symlink", "mand", "remount"})


@frozen
class MountOptions:
    """`attributes` are MOUNT_ATTR_*, `data` is the file system's own; `recursive_attributes`: for mounts below too."""

    attributes: int = 0
    recursive_attributes: bool = False
    propagation: int = 0
    bind: bool = False
    recursive: bool = False
    data: tuple[tuple[str, str], ...] = ()


def parse(options: Sequence[str]) -> MountOptions:
    """Sorts `options`. Raises: Unsupported for a word that needs what is not there yet."""
    attributes = propagation = 0
    bind = recursive = recursive_attributes = False
    data = []
    for option in options:
        if option in _ATTRIBUTES:
            attributes |= _ATTRIBUTES[option]
        elif option in _DEFAULTS:
            continue
        elif option in ("bind", "rbind"):
            bind, recursive = True, option == "rbind"
        elif option in PROPAGATION:
            propagation = PROPAGATION[option]
        elif option.startswith("r") and option[1:] in PROPAGATION:
            propagation, recursive_attributes = PROPAGATION[option[1:]], True
        elif option.startswith("r") and option[1:] in _ATTRIBUTES:
            attributes |= _ATTRIBUTES[option[1:]]
            recursive_attributes = True
        elif option.partition("=")[0] in _NOT_YET:
            raise Unsupported(f"the mount option {option!r} is not supported yet")
        else:
            key, _, value = option.partition("=")
            data.append((key, value))
    return MountOptions(attributes, recursive_attributes, propagation, bind, recursive, tuple(data))
