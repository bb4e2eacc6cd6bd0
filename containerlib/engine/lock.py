"""One at a time decides whether a container runs: starting and removing it exclude each other, in all processes."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from containerlib.engine.instance import Instance

__all__ = ["locked"]


@contextmanager
def locked(instance: Instance) -> Iterator[None]:
    """Holds the container's directory by flock(2), which ends with its holder, also by kill -9.

    Raises: NotFound where the container is not there, or was removed while this waited.
    """
    try:
        directory = os.open(instance.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise instance.gone() from error
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        if os.fstat(directory).st_nlink == 0:
            raise instance.gone()
        yield
    finally:
        os.close(directory)
