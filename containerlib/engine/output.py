"""What a verb writes for its caller: into an open file as it comes, into a path only when it is whole.

And the file of the caller's that one reads.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager

from containerlib.engine import words
from containerlib.errors import InvalidArgument, NotFound, StageError
from containerlib.images.archives.streams import Target, Writable
from containerlib.images.registry.output_file import OutputFile, is_special

__all__ = ["input_file", "output"]


@contextmanager
def output(target: Target, *, field: str) -> Iterator[Writable]:
    """The open file; that of a path gets its name at the end, and where it fails none is left.

    A device or a FIFO at the path is written as it comes. A symlink is followed.
    Raises: InvalidArgument; StageError where the path cannot be written.
    """
    if not isinstance(target, str | os.PathLike):
        if not hasattr(target, "write") or _is_text(target):
            raise InvalidArgument('a path or a file of bytes is needed: open it with "wb"', field=field)
        yield target
        return
    path = words.any_path(target, field=field)
    try:
        if is_special(path):
            with open(path, "wb") as special:
                yield special
            return
        file = OutputFile(os.path.realpath(path))
    except OSError as error:
        raise StageError("save", error.errno or 0, path) from error
    with file, open(file.fd, "wb", closefd=False) as whole:
        yield whole
        whole.flush()
        os.fsync(file.fd)
        try:
            file.commit(0o666 & ~_umask())
        except OSError as error:
            raise StageError("save", error.errno or 0, path) from error


def input_file(path: str, *, stage: str, missing: str) -> io.FileIO:
    """The open file. Raises: NotFound with the words `missing`; StageError(stage) where it cannot be read."""
    try:
        return open(path, "rb", buffering=0)
    except FileNotFoundError as error:
        raise NotFound(missing) from error
    except OSError as error:
        raise StageError(stage, error.errno or 0, path) from error


def _is_text(file: object) -> bool:
    return isinstance(file, io.TextIOBase)


def _umask() -> int:
    """This process's: there is no way to read it but to set it, and other threads may be at work."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:
        for line in status:
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    return 0o077
