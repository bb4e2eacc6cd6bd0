"""A container's ports, reached as its own processes reach them: on the loopback of its network namespace."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import time
from typing import TYPE_CHECKING

from attrs import frozen

from containerlib import runtime
from containerlib._sys.native import pidfd_open, socket_in
from containerlib._sys.processes import is_alive
from containerlib._sys.steps import patience

if TYPE_CHECKING:
    from containerlib.engine.instance import Instance

__all__ = ["Target", "answers"]

_LOOPBACKS = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
_CONNECT_SECONDS = 1.0
"""A connection over loopback comes or fails at once, unless a filter drops it."""
_STATUS_LINE = 1024
"""Bytes; what is longer is no HTTP."""


@frozen
class Target:
    """A TCP port; with `path`, one that answers an HTTP GET of it with a status from 200 to 399."""

    port: int
    path: str | None = None

    def __str__(self) -> str:
        return (
            f"an answer at port {self.port}"
            if self.path is None
            else f"a good answer to GET {self.path} at port {self.port}"
        )


def answers(instance: Instance, target: Target, seconds: float) -> bool:
    """Whether the port can be reached within `seconds`, and answers well where a path is asked for. Tries once.

    The end of the container's first process is the end of it, whoever else may still answer on the network.
    """
    deadline = time.monotonic() + max(seconds, 0.001)
    started = runtime.read_record(instance.directory, "started")
    if started is None:
        return False
    try:
        pidfd = pidfd_open(started.value[0])
    except ProcessLookupError:
        return False
    try:
        if not is_alive(started.value[0], started.number[0]):  # the pid is another process's by now
            return False
        return _answers(pidfd, target, deadline)
    finally:
        os.close(pidfd)


def _answers(pidfd: int, target: Target, deadline: float) -> bool:
    soon = min(deadline, time.monotonic() + _CONNECT_SECONDS)
    reached = (_reach(pidfd, *place, target.port, soon) for place in _LOOPBACKS)
    connection = next(filter(None, reached), None)
    if connection is None:
        return False
    with connection:
        return target.path is None or 200 <= _status(connection, pidfd, target.path, deadline) < 400


def _reach(pidfd: int, family: int, address: str, port: int, deadline: float) -> socket.socket | None:
    try:
        connection = socket_in(pidfd, family)
    except OSError as error:
        if error.errno in (errno.ESRCH, errno.EAFNOSUPPORT):  # it has ended; or it has no IPv6
            return None
        raise
    failure = connection.connect_ex((address, port))
    if failure == errno.EINPROGRESS:
        _await(connection, pidfd, select.POLLOUT, deadline)
        try:
            connection.getpeername()
            failure = 0
        except OSError:
            failure = errno.ENOTCONN
    if failure:
        connection.close()
        return None
    return connection


def _status(connection: socket.socket, pidfd: int, path: str, deadline: float) -> int:
    """The status of the answer to a GET; 0 where there is none, or none in time."""
    request = (
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: containerlib\r\nConnection: close\r\n\r\n"
    )
    answer = b""
    with contextlib.suppress(OSError):
        # far less than a socket's buffer: it does not wait
        connection.sendall(request.encode("ascii"), socket.MSG_NOSIGNAL)
        while b"\n" not in answer and len(answer) < _STATUS_LINE:
            if not _await(connection, pidfd, select.POLLIN, deadline):
                return 0
            if not (more := connection.recv(_STATUS_LINE)):
                break
            answer += more
    version, _, rest = answer.partition(b" ")
    return int(rest[:3]) if version.startswith(b"HTTP/") and rest[:3].isdigit() else 0


def _await(connection: socket.socket, pidfd: int, event: int, deadline: float) -> bool:
    """Whether it is ready for that before `deadline`, on time.monotonic()'s clock, and before that process's end."""
    poll = select.poll()
    poll.register(connection, event)
    poll.register(pidfd, select.POLLIN)
    while (left := deadline - time.monotonic()) > 0:
        if ready := poll.poll(patience(left)):
            return connection.fileno() in dict(ready)
    return False
