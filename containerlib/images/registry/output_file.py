"""A file that is written for the caller at a path of theirs, and gets its name when it is whole.

    if is_special(path):                        # a device, a FIFO: opened and written, as a shell's `>` does
        ...
    with OutputFile(path) as file:              # beside what `path` names, or what a symlink there names
        os.write(file.fd, data)
        file.commit()                           # without it, nothing is left

The file beside has the name `.NAME.containerlib-XXXX` and a lock (flock(2)) that ends with its writer. A file of that
form without a lock was left by a writer that was killed: the next writer of NAME removes it.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from types import TracebackType

try:
    import fcntl
except ImportError:  # not a Unix: what a killed writer has left stays
    _HAS_LOCKS = False
else:
    _HAS_LOCKS = True

__all__ = ["OutputFile", "is_special"]

_LONGEST_PREFIX = 200  # bytes of the name kept in the file's beside: NAME_MAX is 255


def is_special(path: str, *, follow_links: bool = True) -> bool:
    """Whether a device, a FIFO or a socket is there: a rename over it would destroy it."""
    try:
        mode = os.stat(path, follow_symlinks=follow_links).st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode))


class OutputFile:
    """A file in the directory of `path`, readable and writable by `fd`, closed at the end of `with`.

    A symlink at `path` is replaced: pass its real path where it is to be followed. Raises: OSError, each call.
    """

    def __init__(self, path: str) -> None:
        import tempfile  # noqa: PLC0415 - what pulls into a store does without

        self._path = path
        directory, name = os.path.split(os.path.abspath(path))
        prefix = f".{os.fsdecode(os.fsencode(name)[:_LONGEST_PREFIX])}.containerlib-"
        _remove_left_over(directory, prefix)
        while True:
            self.fd, self._aside = tempfile.mkstemp(prefix=prefix, dir=directory)
            if _locked(self.fd):
                break
            os.close(self.fd)  # another writer took it for one that was left over

    def commit(self, mode: int | None = None) -> None:
        """Gives it its name, and its permissions where `mode` has them, in place of what was there."""
        if mode is not None:
            os.chmod(self._aside, mode)
        if not _HAS_LOCKS:
            os.close(self.fd)  # Windows renames no open file
            self.fd = -1
        os.replace(self._aside, self._path)
        self._aside = ""

    def __enter__(self) -> OutputFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._aside:
            with suppress(OSError):
                os.unlink(self._aside)
        if self.fd >= 0:
            os.close(self.fd)


def _locked(fd: int) -> bool:
    """Takes the lock; False where the file was removed before."""
    if not _HAS_LOCKS:
        return True
    with suppress(OSError):  # a file system without locks
        fcntl.flock(fd, fcntl.LOCK_EX)
    return os.fstat(fd).st_nlink > 0


def _remove_left_over(directory: str, prefix: str) -> None:
    """Best effort: what cannot be read or removed stays."""
    if not _HAS_LOCKS:
        return
    with suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.startswith(prefix) and entry.is_file(follow_symlinks=False):
                with suppress(OSError):
                    _remove_unlocked(entry.path)


def _remove_unlocked(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(path)
    finally:
        os.close(fd)
