"""The records that a shim leaves in a container's directory: `started` and `exit`, each one message of the wire."""

from __future__ import annotations

import os

from containerlib._sys.wire import Message
from containerlib.spec.status import ExitStatus

__all__ = ["exit_status", "read_record"]


def read_record(directory: str, name: str) -> Message | None:
    """The record; None where there is none (yet)."""
    try:
        fd = os.open(f"{directory}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        return Message.unpack(os.read(fd, 64))
    finally:
        os.close(fd)


def exit_status(message: Message) -> ExitStatus:
    """What an EXITED message or record says."""
    code, signal, oom_kills, _ = message.value
    from datetime import UTC, datetime  # noqa: PLC0415 - 1 ms of a command's start

    finished = datetime.fromtimestamp(message.number[0] / 1e9, UTC)
    return ExitStatus(code, signal or None, oom_kills > 0, finished)
