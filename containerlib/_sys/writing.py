"""Writes that are not over before all of it is written."""

from __future__ import annotations

import os

__all__ = ["write_whole"]


def write_whole(descriptor: int, data: bytes | memoryview) -> None:
    """All of `data`: write(2) takes a part of it where the disk is nearly full, or RLIMIT_FSIZE, which counts for
    memory too, is in the middle of it. Raises: OSError.
    """
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]
