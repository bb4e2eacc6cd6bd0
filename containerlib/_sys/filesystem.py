"""What the kernel offers for whole file systems, and Python's os module does not."""

from __future__ import annotations

import os

from containerlib.errors import StageError

__all__ = ["sync_filesystem"]


def sync_filesystem(path: str) -> None:
    """Has all that was written to the file system of `path` on disk: one syncfs(2), however many files.

    Raises: StageError(stage="sync") where some of it could not be written.
    """
    import ctypes  # noqa: PLC0415 - 5 ms, for pulls only

    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.syncfs(fd) != 0:
            raise StageError("sync", ctypes.get_errno(), path)
    finally:
        os.close(fd)
