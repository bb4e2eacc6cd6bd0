"""Which process a container belongs to, and whether it still lives.

A pid alone is used again; with the start time in clock ticks since boot it names one process for ever.
"""

from __future__ import annotations

import os
from functools import lru_cache

from attrs import frozen

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
    """Whether that very process runs. A zombie does not: it was killed, and its parent has not looked yet."""
    stat = _read_stat(owner.pid, proc)
    return stat is not None and stat[0] not in "ZXx" and stat[1] == owner.start_time


@lru_cache(maxsize=4)
def _identify_cached(pid: int) -> Owner:
    stat = _read_stat(pid, "/proc")
    return Owner(pid, stat[1] if stat else 0)


def _read_stat(pid: int, proc: str) -> tuple[str, int] | None:
    try:
        with open(f"{proc}/{pid}/stat", "rb", buffering=0) as file:
            text = file.read(4096)
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command, field 2, is in parentheses and may hold anything: what counts comes after the last one.
    fields = text[text.rindex(b")") + 2 :].split()
    return fields[0].decode(), int(fields[19])
