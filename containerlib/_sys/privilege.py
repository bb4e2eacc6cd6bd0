"""What this process must be allowed to do: looked at before anything is done, so that nothing fails half way."""

from __future__ import annotations

import functools
from enum import IntEnum

from containerlib.errors import Unsupported

__all__ = ["Capability", "in_user_namespace", "require_capability"]

_ALL_IDS = ["0", "0", "4294967295"]


class Capability(IntEnum):
    """The numbers of capabilities(7)."""

    CHOWN = 0
    """Unpacking a layer: its files have owners."""
    SYS_ADMIN = 21
    """Starting a container: namespaces and mounts."""


def require_capability(capability: Capability) -> None:
    """Raises Unsupported where this thread has not `capability`, and says what to do."""
    from containerlib._sys import native  # noqa: PLC0415 - loads the extension

    if not native.has_capability(capability):
        raise Unsupported(
            "starting a container and unpacking an image need root (CAP_SYS_ADMIN and the like), and this process "
            f"has no CAP_{capability.name}: run it as root, or as root of a user namespace, which "
            "containerlib.rootless.enter() makes at the start of a program"
        )


@functools.cache
def in_user_namespace() -> bool:
    """Whether this process has the rights of a user namespace that is not the first. Whoever enters one clears it."""
    with open("/proc/self/uid_map", encoding="ascii") as file:
        return file.read().split() != _ALL_IDS
