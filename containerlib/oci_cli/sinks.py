"""Where a command's caller wants to hear of a process: its pid in a file, its terminal and pidfd on sockets."""

from __future__ import annotations

import os
import stat

from containerlib.errors import InvalidArgument, StageError
from containerlib.runtime.containers.sockets import send_descriptor

__all__ = ["check_console", "send_pidfd", "send_terminal", "write_pid_file"]


def check_console(console_socket: str, *, terminal: bool, detach: bool) -> None:
    """Raises: InvalidArgument where a terminal would have no reader, or a socket no terminal."""
    if detach and terminal and not console_socket:
        raise InvalidArgument(
            "cannot allocate tty if runc will detach without setting console socket: add --console-socket"
        )
    if console_socket and not (detach and terminal):
        raise InvalidArgument("cannot use console socket if runc will not detach or allocate tty")


def send_terminal(path: str, master: int) -> None:
    """The master of a pseudo-terminal. Raises: StageError."""
    send_descriptor(path, "/dev/ptmx", master)


def send_pidfd(path: str, pid: int, kind: str) -> None:
    """`kind`: "standard" for a container's first process, "setns" for another. Raises: StageError."""
    fd = os.pidfd_open(pid)
    try:
        send_descriptor(path, kind, fd)
    finally:
        os.close(fd)


def write_pid_file(path: str, pid: int) -> None:
    """Whole at once, as those who wait for it need it; into a device or a FIFO as it is. Raises: StageError."""
    try:
        if _is_node(path):
            _write(path, os.O_NOCTTY, pid)
            return
        directory, name = os.path.split(os.path.realpath(path))
        aside = os.path.join(directory, f".{name}")
        _write(aside, os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, pid)  # one may be left by who was killed
        os.rename(aside, os.path.join(directory, name))
    except OSError as error:
        raise StageError("pid file", error.errno or 0, path) from error


def _is_node(path: str) -> bool:
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return False
    return not stat.S_ISREG(mode)


def _write(path: str, flags: int, pid: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | flags, 0o644)
    try:
        os.write(fd, str(pid).encode())
    finally:
        os.close(fd)
