"""Locks on parts of a file, by name: they die with their holder, also by kill -9.

    with opened("/root/volumes/.lock", os.O_RDWR | os.O_CREAT) as descriptor:
        lock_part(descriptor, "www")                  # who wants "logs" does not wait
        ...                                           # until the descriptor is closed

Spec: fcntl_locking(2), open file description locks
"""

from __future__ import annotations

import fcntl
import os
import struct
from hashlib import sha256

__all__ = ["lock_part"]

_FLOCK = struct.Struct("hhqqi")


def lock_part(descriptor: int, name: str | None, *, wait: bool = True) -> bool:
    """Locks what `name` stands for, or with None everything, in the open file.

    False where somebody else has it, and it is not to `wait`.

    Two names stand for the same by a chance of one in 2**56. Raises: OSError.
    """
    start, length = (0, 0) if name is None else (int.from_bytes(sha256(name.encode()).digest()[:7], "big"), 1)
    command = fcntl.F_OFD_SETLKW if wait else fcntl.F_OFD_SETLK
    try:
        fcntl.fcntl(descriptor, command, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, start, length, 0))
    except (BlockingIOError, PermissionError):
        return False
    return True
