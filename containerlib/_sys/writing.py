"""Writes that are not over before all of it is written, and files that are replaced as a whole."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator

from containerlib._sys import forks, native
from containerlib.errors import StageError

__all__ = ["memory", "put_in_place", "replace_file", "write_whole"]


def write_whole(descriptor: int, data: bytes | memoryview) -> None:
    """All of `data`: write(2) takes a part of it where the disk is nearly full, or RLIMIT_FSIZE, which counts for
    memory too, is in the middle of it. Raises: OSError.
    """
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


@contextlib.contextmanager
def memory(name: str, data: bytes) -> Iterator[int]:
    """A descriptor of a file in memory with `data`. Raises: OSError."""
    with forks.descriptor(lambda: os.memfd_create(name, os.MFD_CLOEXEC)) as descriptor:
        write_whole(descriptor, data)
        yield descriptor


def put_in_place(new: str, path: str) -> None:
    """Gives the file `new` the name `path`: whoever reads that has the old one, or the new one, but a power cut may
    leave it empty. A rename has ext4 write out what replaces a file, and its caller wait. Raises: OSError.
    """
    try:
        native.exchange(new, path)
    except OSError as error:
        # there was none, or the file system exchanges none
        if error.errno not in (errno.ENOENT, errno.EINVAL):
            raise
        os.rename(new, path)  # noqa: PTH104 - a str
    else:
        with contextlib.suppress(FileNotFoundError):  # somebody has tidied up
            os.unlink(new)  # noqa: PTH108 - a str


def replace_file(directory: str, name: str, data: bytes, *, lasting: bool = True) -> None:
    """Whoever reads it has the old one, or the new one. Where it is not `lasting`, as `put_in_place`.

    Raises: StageError(stage="state").
    """
    path = f"{directory}/{name}"
    try:
        descriptor = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            write_whole(descriptor, data)
        finally:
            os.close(descriptor)
        (os.rename if lasting else put_in_place)(f"{path}.new", path)
    except OSError as error:
        raise StageError("state", error.errno or 0, path) from error
