"""The layer below every image: empty places for the default mounts.

An image need not have /etc/hosts or /sys. Where it has not, the place for the mount would be made in the container's
writable layer, after a copy-up of the directory that it is in: time at each start, and a container that wrote nothing
with files in its diff. At the bottom of the stack the places are there, and hide nothing of the image.
"""

from __future__ import annotations

import os

__all__ = ["ensure_mountpoints"]

_DIRECTORIES = ("dev", "etc", "proc", "sys")
_FILES = ("etc/hostname", "etc/hosts", "etc/resolv.conf")


def ensure_mountpoints(layer: str) -> None:
    """Makes what is missing of the layer at `layer`: a process that is killed here leaves the rest to the next one.

    Raises: OSError.
    """
    for name in ("", *_DIRECTORIES):
        os.makedirs(f"{layer}/{name}", mode=0o755, exist_ok=True)  # noqa: PTH103
    for name in _FILES:
        os.close(os.open(f"{layer}/{name}", os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644))
