"""How a container's log is kept: a pure value."""

from __future__ import annotations

from containerlib.spec.values import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    LogFull = Literal["drop", "block"]

__all__ = ["ALL_IN_ONE", "LogOptions"]


@frozen
class LogOptions:
    """How a container's log is kept. The default keeps all of it, in one file."""

    max_size_bytes: int = 0
    """Of one file; 0: no bound."""
    max_files: int = 1
    """With the one that is written; 0: no log is kept."""
    full: LogFull = "drop"
    """What a full disk stops: the log, which says so later, or the container's writing."""


ALL_IN_ONE = LogOptions()
"""The default."""
