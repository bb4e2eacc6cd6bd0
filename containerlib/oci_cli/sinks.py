"""Where a command's caller wants to hear of a process: its pid in a file, its terminal and pidfd on sockets."""

from __future__ import annotations

import os

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
    """Whole at once, as those who wait for it need it. Raises: StageError."""
    directory, name = os.path.split(path)
    aside = os.path.join(directory, f".{name}")
    try:
        fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            os.write(fd, str(pid).encode())
        finally:
            os.close(fd)
        os.rename(aside, path)
    except OSError as error:
        raise StageError("pid file", error.errno or 0, path) from error
