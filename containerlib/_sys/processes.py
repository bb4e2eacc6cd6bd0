"""Which process a number means: a pid alone is used again, with its start time it names one process for ever.

Spec: proc_pid_stat(5), fields 3 (state), 9 (flags), 22 (start time, in clock ticks since boot) and 23 (bytes of memory)
"""

from __future__ import annotations

import contextlib
import os
import select

from containerlib._sys import native
from containerlib.spec.values import NamedTuple

__all__ = ["await_end", "in_namespace_of", "is_alive", "is_ending", "start_time"]

_DEAD = frozenset({b"Z", b"X", b"x"})
"""A zombie does not run: it was killed, and its parent has not looked yet."""
_EXITING = 0x4
"""PF_EXITING of include/linux/sched.h."""


def is_alive(pid: int, started: int, *, proc: str = "/proc") -> bool:
    """Whether the process that had `pid` at `started` still runs."""
    found = _read_stat(pid, proc)
    return found is not None and found.state not in _DEAD and found.started == started


def is_ending(pid: int, started: int) -> bool:
    """Whether the process that had `pid` at `started` has nothing any more: it waits for others at most."""
    found = _read_stat(pid, "/proc")
    return found is None or found.started != started or (bool(found.flags & _EXITING) and not found.size)


def await_end(pid: int, started: int, patience: float) -> bool:
    """Waits at most `patience` seconds until the process that had `pid` at `started` has ended; whether it has."""
    try:
        pidfd = native.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        if not is_alive(pid, started):
            return True
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        return bool(poll.poll(patience * 1000))
    finally:
        os.close(pidfd)


def in_namespace_of(pid: int) -> tuple[int, ...]:
    """The processes that are in the pid namespace of process `pid`, itself among them; none where it has ended."""
    try:
        wanted = os.stat(f"/proc/{pid}/ns/pid").st_ino  # noqa: PTH116
    except OSError:
        return ()
    found = []
    for name in os.listdir("/proc"):  # noqa: PTH208
        with contextlib.suppress(OSError):  # somebody else's, or one that ended
            if name.isdecimal() and os.stat(f"/proc/{name}/ns/pid").st_ino == wanted:  # noqa: PTH116
                found.append(int(name))
    return tuple(found)


def start_time(pid: int) -> int | None:
    """When process `pid` started; None where there is none."""
    found = _read_stat(pid, "/proc")
    return found.started if found else None


class _Stat(NamedTuple):
    state: bytes
    flags: int
    started: int
    size: int


def _read_stat(pid: int, proc: str) -> _Stat | None:
    gone = (FileNotFoundError, ProcessLookupError)  # the second of one that ends while it is looked at
    try:
        fd = os.open(f"{proc}/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except gone:
        return None
    try:
        text = os.read(fd, 4096)
    except gone:
        return None
    finally:
        os.close(fd)
    # The command, field 2, is in parentheses and may hold anything: what counts comes after the last one.
    fields = text[text.rindex(b")") + 2 :].split()
    return _Stat(fields[0], int(fields[6]), int(fields[19]), int(fields[20]))
