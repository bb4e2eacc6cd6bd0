"""Removal of a directory tree that strangers filled: a container, or an image's layers."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat

__all__ = ["remove_tree", "tree_size"]

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(path: str) -> int:
    """Removes `path` and all below it; a path that is not there is fine. Returns the bytes of the files that went.

    What is no directory is unlinked.

    Never follows a symbolic link and needs two descriptors at any depth: a directory that is not empty is
    first moved up beside the others. shutil.rmtree recurses, and a container may nest deeper than Python
    does. Two removals of one tree at the same time both end well.

    Raises: OSError (ENOTEMPTY where somebody adds files at the same time).
    """
    try:
        top = os.open(path, _DIRECTORY)
    except FileNotFoundError:
        return 0
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
        return _remove_file(path)
    try:
        size = _empty_top(top)
    finally:
        os.close(top)
    with contextlib.suppress(FileNotFoundError):
        os.rmdir(path)  # noqa: PTH106 - hot path
    return size


def tree_size(path: str) -> int:
    """The bytes on disk of the file `path`, or of the directory and all below it; each hard link is counted once."""
    seen: set[tuple[int, int]] = set()
    waiting, size = [path], 0
    while waiting:
        place = waiting.pop()
        status = os.stat(place, follow_symlinks=False)  # noqa: PTH116
        if (status.st_dev, status.st_ino) not in seen:
            seen.add((status.st_dev, status.st_ino))
            size += status.st_blocks * 512
        if stat.S_ISDIR(status.st_mode):
            waiting += [f"{place}/{name}" for name in os.listdir(place)]  # noqa: PTH208
    return size


def _remove_file(path: str) -> int:
    try:
        status = os.stat(path, follow_symlinks=False)  # noqa: PTH116
        os.unlink(path)  # noqa: PTH108
    except FileNotFoundError:
        return 0
    return status.st_size if status.st_nlink == 1 else 0


def _empty_top(top: int) -> int:
    prefix = f".remove-{secrets.token_hex(8)}-"  # none that the tree can have
    waiting, size = _empty(top)
    moved = 0
    while waiting:
        name = waiting.pop()
        try:
            directory = os.open(name, _DIRECTORY, dir_fd=top)
        except FileNotFoundError:
            continue
        try:
            full, freed = _empty(directory)
            size += freed
            for child in full:
                moved += 1
                aside = f"{prefix}{moved}"
                with contextlib.suppress(FileNotFoundError):  # another remover was faster
                    os.rename(child, aside, src_dir_fd=directory, dst_dir_fd=top)
                    waiting.append(aside)
        finally:
            os.close(directory)
        _remove_directory(name, top)
    return size


def _empty(directory: int) -> tuple[list[str], int]:
    """Removes what can be removed at once; returns the directories that are not empty, and the bytes freed."""
    full: list[str] = []
    size = 0
    with os.scandir(directory) as entries:
        listing = list(entries)
    for entry in listing:
        try:
            if not entry.is_dir(follow_symlinks=False):
                status = entry.stat(follow_symlinks=False)
                os.unlink(entry.name, dir_fd=directory)
                size += status.st_size if status.st_nlink == 1 else 0  # the last of its hard links frees it
            elif not _remove_directory(entry.name, directory):
                full.append(entry.name)
        except FileNotFoundError:
            continue
    return full, size


def _remove_directory(name: str, parent: int) -> bool:
    try:
        os.rmdir(name, dir_fd=parent)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    return True
