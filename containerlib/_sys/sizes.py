"""What a directory takes on disk, also while strangers are at work in it."""

from __future__ import annotations

import errno
import os
import stat

__all__ = ["size_on_disk"]

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG})


def size_on_disk(path: str) -> int:
    """The bytes of the blocks of `path` and of all below it; 0 where it is not. Each hard link is counted once.

    Follows no link and counts nothing of another file system that is mounted there. What goes away meanwhile is left
    out, and what lies deeper than a path can say. Raises: OSError.
    """
    from containerlib._sys.inside import RESOLVE_NO_SYMLINKS  # noqa: PLC0415 - loads the extension
    from containerlib._sys.native import open_in_root  # noqa: PLC0415

    try:
        status = os.stat(path, follow_symlinks=False)  # noqa: PTH116 - a str
        if not stat.S_ISDIR(status.st_mode):
            return status.st_blocks * 512
        top = os.open(path, _DIRECTORY)
    except FileNotFoundError:
        return 0
    size, seen, waiting = status.st_blocks * 512, {status.st_ino}, ["."]
    try:
        while waiting:
            place = waiting.pop()
            try:
                directory = open_in_root(top, place, _DIRECTORY, resolve=RESOLVE_NO_SYMLINKS)
            except OSError as error:
                if error.errno not in _GONE:
                    raise
                continue
            try:
                found, names = _level(directory, status.st_dev, seen)
            finally:
                os.close(directory)
            size += found
            waiting += [f"{place}/{name}" for name in names]
    finally:
        os.close(top)
    return size


def _level(directory: int, device: int, seen: set[int]) -> tuple[int, list[str]]:
    """The bytes of what is in one directory, and the directories among it."""
    size, names = 0, []
    for name in os.listdir(directory):
        try:
            status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            continue
        if status.st_dev != device or status.st_ino in seen:
            continue
        seen.add(status.st_ino)
        size += status.st_blocks * 512
        if stat.S_ISDIR(status.st_mode):
            names.append(name)
    return size, names
