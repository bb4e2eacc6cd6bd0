"""Where the files of a checkpoint are while it is made: in memory, or in the container's directory.

    a tmpfs that is attached nowhere        goes with this process, and no secret of it comes to a disk
    <container>/checkpoint-RANDOM/          held by flock(2): what a killed process left is cleared away by the next

On a disk the page cache takes what CRIU writes in three quarters of the time of a tmpfs (measured: ext4, 1 GB), and the
processes stand still for that. So what is to be on the disk anyway is written there, as long as it is so little that
nobody who writes has to wait for the disk.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING

from containerlib._sys.balloons import takes_back
from containerlib._sys.filesystem import type_of
from containerlib._sys.forks import descriptor, opened
from containerlib._sys.native import mount_memory
from containerlib._sys.sizes import size_on_disk
from containerlib._sys.trees import remove_tree
from containerlib.engine.usage import pids_of, usage_of
from containerlib.errors import NotFound, StageError

if TYPE_CHECKING:
    from containerlib.engine.instance import Instance

__all__ = ["clear", "memory", "room"]

_PREFIX = "checkpoint-"
_CACHED, _FITS = 0.1, 0.25
"""Of the memory that is available: what the page cache takes at once, and what a tmpfs may take of it."""
_LOCAL = ("ext4", "xfs")
"""File systems that write it later, in large pieces."""


def room(instance: Instance, *, lasting: bool) -> AbstractContextManager[str]:
    """A directory for the files; `lasting`: they are going to be on the disk anyway. Raises: StageError; NotFound."""
    size = usage_of(pids_of(instance)).memory_bytes + size_on_disk(f"{instance.directory}/upper")
    part = size / _available()
    if lasting and part < _CACHED and type_of(instance.directory) in _LOCAL:
        return _scratch(instance)
    return memory() if part < _FITS else _scratch(instance)


def _available() -> int:
    with open("/proc/meminfo", encoding="ascii") as file:
        found = dict(line.split(":") for line in file)
    return int(found["MemAvailable"].split()[0]) * 1024 or 1


@contextlib.contextmanager
def memory() -> Iterator[str]:
    """A directory that is gone with this process, which a path of its descriptor leads to."""
    try:
        with descriptor(partial(mount_memory, large=not takes_back())) as made:
            yield f"/proc/{os.getpid()}/fd/{made}"
    except StageError:
        raise
    except OSError as error:
        raise StageError("checkpoint", error.errno or 0, "memory") from error


@contextlib.contextmanager
def _scratch(instance: Instance) -> Iterator[str]:
    path = f"{instance.directory}/{_PREFIX}{secrets.token_hex(8)}"
    try:
        os.mkdir(path, 0o700)  # noqa: PTH102 - a str
    except FileNotFoundError as error:
        raise instance.gone() from error
    except OSError as error:
        raise StageError("checkpoint", error.errno or 0, path) from error
    try:
        with opened(path, os.O_RDONLY | os.O_DIRECTORY) as directory:
            fcntl.flock(directory, fcntl.LOCK_EX)
            yield path
    finally:
        with (
            contextlib.suppress(FileNotFoundError),  # somebody has removed the container
            opened(instance.directory, os.O_RDONLY | os.O_DIRECTORY) as whole,
        ):
            fcntl.flock(whole, fcntl.LOCK_EX)  # its shim, which may be removing all of it, would meet this
            remove_tree(path)


def clear(instance: Instance) -> None:
    """Removes what killed processes left."""
    with contextlib.suppress(FileNotFoundError, NotFound):
        for name in os.listdir(instance.directory):  # noqa: PTH208
            if not name.startswith(_PREFIX):
                continue
            path = f"{instance.directory}/{name}"
            with contextlib.suppress(OSError), opened(path, os.O_RDONLY | os.O_DIRECTORY) as directory:
                fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove_tree(path)
