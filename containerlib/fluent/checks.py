"""What `.healthy_when()` and `.wait_for()` look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from containerlib.engine import words_lifetime

if TYPE_CHECKING:
    from containerlib.spec.lifetime import CommandCheck, HttpCheck, TcpCheck

__all__ = ["command", "http", "tcp"]


def command(*argv: str) -> CommandCheck:
    """A check by a command that is run in the container, as its user: it is well where that exits with 0.

    A shell's line is `cl.command("sh", "-c", "...")`. Raises: InvalidArgument.
    """
    return words_lifetime.command_check(argv)


def http(port: int, path: str = "/", *, status: tuple[int, int] = (200, 399)) -> HttpCheck:
    """A check by a GET of `path` at the container's own `localhost`: `status` is the lowest and highest good answer.

    Raises: InvalidArgument.
    """
    return words_lifetime.http_check(port, path, status)


def tcp(port: int) -> TcpCheck:
    """A check by a connection to a port at the container's own `localhost`.

    Raises: InvalidArgument.
    """
    return words_lifetime.tcp_check(port)
