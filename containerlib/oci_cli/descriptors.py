"""Descriptors and variables that a program gets from the command's caller: systemd's sockets, and those to preserve.

Spec: sd_listen_fds(3)
"""

from __future__ import annotations

import os

from containerlib.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Inherited", "inherited"]

_FIRST = 3


class Inherited:
    """`fds`: the program's from 3 on. `env`: what it is told of them."""

    __slots__ = ("env", "fds")

    def __init__(self, fds: tuple[int, ...], env: tuple[str, ...]) -> None:
        self.fds = fds
        self.env = env


def came_from_caller(fd: int) -> bool:
    """Whether it is open since the start: what this process opened itself is closed by an exec, and nobody else's."""
    try:
        return os.get_inheritable(fd)
    except OSError:
        return False


def inherited(
    preserve: int,
    environment: Mapping[str, str] | None = None,
    is_open: Callable[[int], bool] = came_from_caller,
) -> Inherited:
    """systemd's sockets of `environment` (None: none are passed), then `preserve` descriptors more.

    Raises: InvalidArgument where one is not open.
    """
    if preserve < 0:
        raise InvalidArgument(f"--preserve-fds {preserve}: a number that is not negative is needed")
    environment = environment or {}
    listening = _listening(environment)
    fds = tuple(range(_FIRST, _FIRST + listening + preserve))
    for index, fd in enumerate(fds):
        if not is_open(fd):
            what = f"preserved-fd {index - listening + 1} (of {preserve})"
            what = what if index >= listening else f"$LISTEN_FDS descriptor {index + 1} (of {listening})"
            raise InvalidArgument(
                f"unable to stat {what}: stat /proc/self/fd/{fd}: "
                "no such file or directory: the caller must leave it open"
            )
    env = [f"LISTEN_FDS={listening}", "LISTEN_PID=1"] if listening else []
    if listening and "LISTEN_FDNAMES" in environment:
        env.append(f"LISTEN_FDNAMES={environment['LISTEN_FDNAMES']}")
    return Inherited(fds, tuple(env))


def _listening(environment: Mapping[str, str]) -> int:
    """How many sockets are for this process; those of another that it did not clear away are not."""
    count, pid = environment.get("LISTEN_FDS", ""), environment.get("LISTEN_PID", "")
    if not count.isdecimal() or pid != str(os.getpid()):
        return 0
    return int(count)
