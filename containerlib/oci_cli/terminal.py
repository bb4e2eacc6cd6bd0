"""The caller's terminal as the container's: bytes both ways, its size, and raw input while it lasts.

Newlines become two characters once: in the caller's terminal and not in the container's, so that output that is sent to
a file has plain ones.
"""

from __future__ import annotations

import contextlib
import os
import select
import termios
import tty

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = ["Terminal", "size_of_caller"]

_CHUNK = 65536
_IFLAG, _OFLAG, _CC = 0, 1, 6


def size_of_caller() -> tuple[int, int] | None:
    """Rows and columns of the first standard stream that is a terminal."""
    for fd in (2, 1, 0):
        with contextlib.suppress(OSError):
            size = os.get_terminal_size(fd)
            return size.lines, size.columns
    return None


class Terminal:
    """Owns `master`, the container's side."""

    def __init__(self, master: int) -> None:
        self._master = master
        self._stdin: int | None = 0
        self._before: list[Any] | None = None
        _one_character_newlines(master)
        self.resize()
        if os.isatty(0):
            self._before = termios.tcgetattr(0)
            tty.setraw(0)
            raw = termios.tcgetattr(0)
            raw[_OFLAG] |= termios.OPOST
            termios.tcsetattr(0, termios.TCSANOW, raw)

    def register(self, poll: select.poll) -> None:
        poll.register(self._master, select.POLLIN)
        poll.register(0, select.POLLIN)

    def serve(self, ready: Mapping[int, int], poll: select.poll) -> None:
        """Copies what is there to copy."""
        if self._master in ready and not self._output():
            poll.unregister(self._master)
        if self._stdin in ready and not self._input():
            self._stdin = None
            poll.unregister(0)

    def drain(self) -> None:
        """What the process has written before its end."""
        os.set_blocking(self._master, False)
        while self._output():
            pass

    def resize(self) -> None:
        size = size_of_caller()
        if size is not None:
            with contextlib.suppress(OSError):
                termios.tcsetwinsize(self._master, size)

    def close(self) -> None:
        if self._before is not None:
            termios.tcsetattr(0, termios.TCSADRAIN, self._before)
        os.close(self._master)

    def _output(self) -> bool:
        try:
            data = os.read(self._master, _CHUNK)
        except OSError:  # the last user of the terminal is gone (EIO), or there is nothing more (EAGAIN)
            return False
        return bool(data) and _write(1, data)

    def _input(self) -> bool:
        try:
            data = os.read(0, _CHUNK)
        except OSError:
            return False
        if data:
            return _write(self._master, data)
        with contextlib.suppress(OSError, termios.error):  # the end of a file or pipe is ^D to a terminal
            return _write(self._master, termios.tcgetattr(self._master)[_CC][termios.VEOF]) and False
        return False


def _one_character_newlines(master: int) -> None:
    attributes = termios.tcgetattr(master)
    attributes[_OFLAG] &= ~termios.ONLCR
    termios.tcsetattr(master, termios.TCSANOW, attributes)


def _write(fd: int, data: bytes) -> bool:
    while data:
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:
            poll = select.poll()
            poll.register(fd, select.POLLOUT)
            poll.poll()
        except OSError:
            return False
    return True
