"""Waiting for changes in directories: inotify(7).

with DirectoryWatch() as watch:
    place = watch.add("/a/directory", WRITTEN)
    for number, name in watch.wait(1.0): ...
"""

from __future__ import annotations

import functools
import os
import select
import struct
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

__all__ = ["MADE", "MODIFIED", "OVERFLOW", "RENAMED", "WRITTEN", "DirectoryWatch"]

MODIFIED = 0x02
"""Something was written to a file of it."""
WRITTEN = 0x08
"""A file of it that was open for writing was closed."""
RENAMED = 0x80
"""A file was renamed into it."""
MADE = 0x100 | RENAMED
"""A name came into it."""
OVERFLOW = -1
"""The number of what stands for changes that were too many to be told."""
_EVENT = struct.Struct("iIII")
_MOST_BYTES = 1 << 16


class DirectoryWatch:
    """Directories, and what happens in them. Close it, or use it in a `with`."""

    def __init__(self) -> None:
        flags = os.O_CLOEXEC | os.O_NONBLOCK
        self._fd = _checked(_libc().inotify_init1(flags), "inotify")

    def add(self, path: str, mask: int) -> int:
        """The number by which `wait` names the directory `path`. Raises: OSError."""
        return _checked(_libc().inotify_add_watch(self._fd, os.fsencode(path), mask), path)

    def wait(self, timeout: float | None) -> list[tuple[int, str]]:
        """Number and name of each change, once there is one; nothing after `timeout` seconds."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        if not poll.poll(None if timeout is None else max(0.0, timeout) * 1000):
            return []
        return list(_events(os.read(self._fd, _MOST_BYTES)))

    def fileno(self) -> int:
        """A descriptor that is readable when there is a change."""
        return self._fd

    def close(self) -> None:
        """Ends all watches."""
        os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _events(data: bytes) -> Iterator[tuple[int, str]]:
    offset = 0
    while offset < len(data):
        number, _, _, length = _EVENT.unpack_from(data, offset)
        offset += _EVENT.size
        yield number, os.fsdecode(data[offset : offset + length].rstrip(b"\0"))
        offset += length


@functools.cache
def _libc() -> Any:
    import ctypes  # noqa: PLC0415 - 5 ms, for those who follow

    return ctypes.CDLL(None, use_errno=True)


def _checked(answer: int, path: str) -> int:
    if answer < 0:
        import ctypes  # noqa: PLC0415

        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return answer
