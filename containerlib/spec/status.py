"""How a container ended, and what it said: pure values that the shim and the face share."""

from __future__ import annotations

from containerlib.spec.values import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import datetime
    from typing import Literal

__all__ = ["ExitStatus", "LogRecord"]


@frozen
class ExitStatus:
    """The end of a container or process.

    `exit_code` is the program's own, or 128 + `signal` where a signal ended it, as in a shell and in Docker.
    `supervisor_killed`: the supervisor was killed, and the kernel killed the container with it; how the program itself
    would have ended is unknown.
    """

    exit_code: int
    signal: int | None = None
    oom_killed: bool = False
    finished_at: datetime | None = None
    supervisor_killed: bool = False


@frozen
class LogRecord:
    """One line that a container wrote, without its newline.

    `partial`: the line has no end here: the stream's next record has more of one that is longer than a MiB, or there is
    no newline yet.
    """

    time: datetime
    stream: Literal["stdout", "stderr"]
    text: str
    partial: bool = False
