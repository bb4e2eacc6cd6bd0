"""Writes that are not over before all of it is written, and files that are replaced as a whole."""

from __future__ import annotations

import os

from containerlib.errors import StageError

__all__ = ["replace_file", "write_whole"]


def write_whole(descriptor: int, data: bytes | memoryview) -> None:
    """All of `data`: write(2) takes a part of it where the disk is nearly full, or RLIMIT_FSIZE, which counts for
    memory too, is in the middle of it. Raises: OSError.
    """
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def replace_file(directory: str, name: str, data: bytes) -> None:
    """Whoever reads it has the old one, or the new one. Raises: StageError(stage="state")."""
    path = f"{directory}/{name}"
    try:
        descriptor = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            write_whole(descriptor, data)
        finally:
            os.close(descriptor)
        os.rename(f"{path}.new", path)  # noqa: PTH104 - a str
    except OSError as error:
        raise StageError("state", error.errno or 0, path) from error
