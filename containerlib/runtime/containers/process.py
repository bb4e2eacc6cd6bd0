"""What the kernel knows of a container's first process. Spec: proc_pid_stat(5), fields 3, 9 and 22"""

from __future__ import annotations

__all__ = ["Facts", "facts"]

_PF_FORKNOEXEC = 0x40
"""Set from fork to exec: it tells a program that waits for its start from one that runs."""
_STATE, _FLAGS, _START_TIME = 0, 6, 19


class Facts:
    """Of a process that lives. Before `has_execed` it is the runtime's, then it is the user's program."""

    __slots__ = ("has_execed", "start_time")

    def __init__(self, start_time: int, has_execed: bool) -> None:
        self.start_time = start_time
        self.has_execed = has_execed


def facts(pid: int, *, proc: str = "/proc") -> Facts | None:
    """None where there is no process `pid`, or only its zombie."""
    if pid <= 0:
        return None
    try:
        with open(f"{proc}/{pid}/stat", "rb", buffering=0) as file:
            text = file.read(4096)
    except (FileNotFoundError, ProcessLookupError):
        return None
    # the command, field 2, is in parentheses and may hold anything: what counts comes after the last one
    fields = text[text.rindex(b")") + 2 :].split()
    if fields[_STATE] in (b"Z", b"X", b"x"):
        return None
    return Facts(int(fields[_START_TIME]), not int(fields[_FLAGS]) & _PF_FORKNOEXEC)
