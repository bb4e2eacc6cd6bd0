"""Removal of a directory tree that strangers filled: a container, or an image's layers."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from typing import TypeVar

__all__ = ["remove_tree", "remove_trees", "tree_size"]

_T = TypeVar("_T")
_R = TypeVar("_R")

_AT_ONCE = 8  # threads, whatever the processors: each waits for the disk, which discards what a file had
_DEEP = 8  # levels that one call takes: a container that wrote little has no more
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(path: str) -> int:
    """Removes `path` and all below it; a path that is not there is fine. Returns the bytes of the files that went.

    What is no directory is unlinked.

    Never follows a symbolic link and needs few descriptors at any depth: what nests deep is first moved up
    beside the rest. shutil.rmtree recurses, and a container may nest deeper than Python does. Two removals of
    one tree at the same time both end well.

    Raises: OSError (ENOTEMPTY where somebody adds files at the same time).
    """
    size = _remove_file(path)
    return _remove_directory(path, 1) if size is None else size


def remove_trees(paths: Iterable[str]) -> int:
    """Removes each as `remove_tree` does, by several threads: for what is large. Raises: as `remove_tree`."""
    paths = list(paths)
    sizes = _each(lambda path: (path, _remove_file(path)), paths, _AT_ONCE)
    directories = [path for path, size in sizes if size is None]
    return sum(size or 0 for _, size in sizes) + sum(
        _remove_directory(path, _AT_ONCE) for path in directories
    )


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


def _remove_file(path: str) -> int | None:
    """None for a directory, which stays."""
    try:
        status = os.stat(path, follow_symlinks=False)  # noqa: PTH116
        if stat.S_ISDIR(status.st_mode):
            return None
        os.unlink(path)  # noqa: PTH108
    except FileNotFoundError:
        return 0
    return status.st_size if status.st_nlink == 1 else 0


def _remove_directory(path: str, threads: int) -> int:
    try:
        top = os.open(path, _DIRECTORY)
    except FileNotFoundError:
        return 0
    try:
        size = _empty(top, threads)
    finally:
        os.close(top)
    with contextlib.suppress(FileNotFoundError):
        os.rmdir(path)  # noqa: PTH106 - hot path
    return size


def _empty(top: int, threads: int) -> int:
    """Removes all that is in the directory, some levels of it after the others; threads share out one at a time."""
    from containerlib._sys import native  # noqa: PLC0415 - loads the extension

    prefix = f".remove-{secrets.token_hex(8)}-"  # none that the tree can have
    numbers = count()
    deep = _DEEP if threads == 1 else 0

    def remove(name: str) -> tuple[list[str], int]:
        aside = f"{prefix}{next(numbers)}-"
        moved, freed = native.remove_level(top, name, aside, deep=deep)
        if name != ".":
            _remove_empty(name, top)
        return [f"{aside}{number}" for number in range(moved)], freed

    level, size = ["."], 0
    while level:
        done = _each(remove, level, threads)
        level = [name for names, _ in done for name in names]
        size += sum(freed for _, freed in done)
    return size


def _remove_empty(name: str, parent: int) -> None:
    try:
        os.rmdir(name, dir_fd=parent)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


def _each(work: Callable[[_T], _R], items: Sequence[_T], threads: int) -> list[_R]:
    """What `work` returns for each, in any order, by this thread and up to `threads` - 1 others.

    Without the others where none can be started: the interpreter is at its end, or there are too many.
    Raises: what `work` raised first; what nobody has begun is then left.
    """
    waiting, done, failures = deque(items), list[_R](), list[Exception]()

    def work_off() -> None:
        while not failures:
            try:
                item = waiting.popleft()
            except IndexError:
                return
            try:
                done.append(work(item))
            except Exception as error:
                failures.append(error)

    helpers: list[threading.Thread] = []
    try:
        with contextlib.suppress(RuntimeError):
            for _ in range(min(threads, len(items)) - 1):
                helper = threading.Thread(target=work_off, name="containerlib-remove")
                helper.start()
                helpers.append(helper)
        work_off()
    finally:
        waiting.clear()
        for helper in helpers:
            helper.join()
    if failures:
        raise failures[0]
    return done
