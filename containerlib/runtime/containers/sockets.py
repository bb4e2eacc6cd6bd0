"""Unix sockets by paths of any length, and descriptors over them: a pseudo-terminal's master, a process's pidfd."""

from __future__ import annotations

import array
import os
import socket

from containerlib.errors import StageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["at_path", "send_descriptor"]


def send_descriptor(path: str, name: str, fd: int) -> None:
    """Sends `fd`, which stays the caller's, to who listens at `path`; `name` is the data that comes with it.

    Raises: StageError.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as channel:
            at_path(path, channel.connect)
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
            channel.sendmsg([name.encode()], rights)
    except OSError as error:
        raise StageError("socket", error.errno or 0, path, advice="does anybody listen there?") from error


def at_path(path: str, call: Callable[[str], None]) -> None:
    """`call` with an address of `path` that is short enough (107 bytes): the way goes through a descriptor."""
    directory, name = os.path.split(os.path.abspath(path))
    fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        call(f"/proc/self/fd/{fd}/{name}")
    finally:
        os.close(fd)
