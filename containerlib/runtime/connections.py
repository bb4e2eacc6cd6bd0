"""The way to the shim of a container that is there already, from any process.

    supervisor = connect(directory)                                  # blocks
    supervisor = yield from connecting(directory, patience=1.0)      # as steps

A shim answers at once, unless it is stopped (SIGSTOP), or serves as many clients as it can: that is waited for.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time

from containerlib._sys.helper import reap
from containerlib._sys.steps import Pauses, Ready, Steps, finish
from containerlib._sys.wire import Kind, Message, send
from containerlib.errors import Conflict, StageError, Unavailable
from containerlib.runtime.supervisor import (
    LOST,
    REPLY_TIMEOUT,
    Supervisor,
    connect_in,
    tells_that_it_runs,
)

__all__ = ["connect", "connecting", "patience_of"]

_LEAST_PATIENCE = 0.1
"""Seconds that a shim has to answer on a busy machine, however little time its caller has."""


def connect(directory: str, *, patience: float = REPLY_TIMEOUT) -> Supervisor | None:
    """A new connection to the shim of the container in `directory`; None where none is alive.

    Raises: Unavailable where it does not answer within `patience` seconds.
    """
    return finish(connecting(directory, patience=patience))


def connecting(directory: str, *, patience: float = REPLY_TIMEOUT) -> Steps[Supervisor | None]:
    """As `connect`."""
    deadline = time.monotonic() + patience
    with contextlib.ExitStack() as undo:
        channel = socket.socket(
            socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        )
        undo.callback(channel.close)
        pauses = Pauses()
        try:
            while not _is_let_in(channel, directory):
                if time.monotonic() > deadline:
                    raise _silent(directory)
                yield pauses.next()
        except (FileNotFoundError, ConnectionRefusedError, ConnectionResetError):
            reap(directory)
            return None
        channel.setblocking(True)
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(REPLY_TIMEOUT))
        supervisor = Supervisor(channel, directory=directory)
        try:
            answered = yield from _has_answered(supervisor, deadline)
            if answered and not _is_there(supervisor, directory):
                return None
        except (Conflict, Unavailable, StageError, OSError):
            return None
        if not answered:
            raise _silent(directory)
        undo.pop_all()
        return supervisor


def patience_of(timeout: float | None) -> float:
    """How many seconds a shim is waited for by a caller who has `timeout` seconds in all."""
    return REPLY_TIMEOUT if timeout is None else min(max(timeout, _LEAST_PATIENCE), REPLY_TIMEOUT)


def _timeval(seconds: float) -> bytes:
    """Spec: socket(7), SO_SNDTIMEO"""
    return struct.pack("ll", int(seconds), int(seconds % 1 * 1e6))


def _silent(directory: str) -> Unavailable:
    return Unavailable(
        f"the supervisor of {directory} does not answer: is it stopped, or are too many waiting for its container?"
    )


def _is_let_in(channel: socket.socket, directory: str) -> bool:
    """False where as many as can be wait for that already."""
    try:
        connect_in(channel, directory, "shim.sock")
    except BlockingIOError:
        return False
    return True


def _has_answered(supervisor: Supervisor, deadline: float) -> Steps[bool]:
    """Whether it says how it is before `deadline`."""
    supervisor._request(Message(Kind.STATE))
    while True:
        if not supervisor._readable(0):
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            yield Ready((supervisor.fileno(),), timeout=left)
        elif tells_that_it_runs(supervisor._receive(None, "an answer")):
            return True


def _is_there(supervisor: Supervisor, directory: str) -> bool:
    """Whether it is more than what is left of a container that its shim has removed; it tells the end from then on."""
    status = supervisor.poll()
    if status is None:
        send(supervisor._channel, Message(Kind.WAIT))
    return not (status is LOST and not os.path.isdir(directory))  # noqa: PTH112 - removed by a shim with no ear left
