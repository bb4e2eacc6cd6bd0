"""One at a time decides whether a container runs: starting and removing it exclude each other, in all processes."""

from __future__ import annotations

import fcntl
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from containerlib._sys.forks import Lock, opened
from containerlib.errors import Conflict

if TYPE_CHECKING:
    from containerlib.engine.instance import Instance

__all__ = ["in_use", "is_locked", "locked"]

_guard = Lock()
_open: Counter[str] = Counter()
"""Containers' directories: how many files of each this process has open."""


@contextmanager
def in_use(instance: Instance) -> Iterator[None]:
    """A file of the container is open in this process, which would wait for itself: `locked` refuses instead."""
    with _guard:
        _open[instance.directory] += 1
    try:
        yield
    finally:
        with _guard:
            _open[instance.directory] -= 1


@contextmanager
def locked(instance: Instance, *, wait: bool = True) -> Iterator[None]:
    """Holds the container's directory by flock(2), which ends with its holder, also by kill -9.

    Raises: NotFound where the container is not there, or was removed while this waited; Conflict where a file of it
    is open in this process since it stopped, and without `wait` where somebody holds it.
    """
    if _open[instance.directory]:
        raise Conflict(
            f"a file of {instance.subject} is open: close what container.path(...).open() gave first",
            state="in use",
        )
    with ExitStack() as stack:
        try:
            directory = stack.enter_context(opened(instance.directory, os.O_RDONLY | os.O_DIRECTORY))
        except FileNotFoundError as error:
            raise instance.gone() from error
        try:
            fcntl.flock(directory, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise Conflict(f"{instance.subject} is being started or removed", state="in use") from error
        if os.fstat(directory).st_nlink == 0:
            raise instance.gone()
        yield


def is_locked(instance: Instance) -> bool:
    """Whether somebody holds the container at this moment, in this process or another; False where it is gone."""
    with ExitStack() as stack:
        try:
            directory = stack.enter_context(opened(instance.directory, os.O_RDONLY | os.O_DIRECTORY))
            fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False
