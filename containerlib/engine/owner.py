"""Which process a container belongs to, and whether it still lives."""

from __future__ import annotations

import os
from functools import lru_cache

from attrs import frozen

from containerlib._sys import processes

__all__ = ["Owner", "is_alive", "this_process"]


@frozen
class Owner:
    """A process on this host: `start_time` is field 22 of proc_pid_stat(5), in clock ticks."""

    pid: int
    start_time: int


def this_process() -> Owner:
    """The calling process, also right after a fork."""
    return _identify_cached(os.getpid())


def is_alive(owner: Owner, *, proc: str = "/proc") -> bool:
    """Whether that very process runs."""
    return processes.is_alive(owner.pid, owner.start_time, proc=proc)


@lru_cache(maxsize=4)
def _identify_cached(pid: int) -> Owner:
    return Owner(pid, processes.start_time(pid) or 0)
