"""Removal of directories that strangers filled."""

from __future__ import annotations

import os
import secrets
from itertools import count

__all__ = ["remove_tree"]


def remove_tree(path: str) -> int:
    """Removes the directory and all in it; returns the bytes of its files.

    Each directory is first moved up to `path`, so that neither the depth of the tree (no recursion, no
    descriptor for each level) nor the length of its paths matters. Links are removed, never followed.
    """
    size = 0
    names = (f"{secrets.token_hex(16)}-{number}" for number in count())  # none that the tree can have
    pending = [path]
    emptied: list[str] = []
    while pending:
        directory = pending.pop()
        if os.geteuid() != 0:
            os.chmod(directory, 0o700)
        with os.scandir(directory) as entries:
            found = list(entries)
        for entry in found:
            if entry.is_dir(follow_symlinks=False):
                moved = entry.path
                if directory != path:
                    moved = os.path.join(path, next(names))
                    os.rename(entry.path, moved)
                pending.append(moved)
            else:
                size += entry.stat(follow_symlinks=False).st_size
                os.unlink(entry.path)
        emptied.append(directory)
    for directory in reversed(emptied):
        os.rmdir(directory)
    return size
