"""Opening paths inside a root that somebody else fills: an image, a running container."""

from __future__ import annotations

import os

from containerlib._sys import native

__all__ = ["open_in_root"]


def open_in_root(directory: int, path: str, flags: int = os.O_RDONLY, *, mode: int = 0) -> int:
    """Opens `path` as if the directory descriptor `directory` were "/"; symlinks cannot lead out of it.

    Returns a close-on-exec descriptor, which is the caller's. Needs Linux 5.6. Raises: OSError.
    """
    return native.open_in_root(directory, path, flags, mode)
