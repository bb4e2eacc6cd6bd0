"""Signals by number and by name."""

from __future__ import annotations

import re
import signal

from containerlib.errors import InvalidArgument
from containerlib.units import check_kind

__all__ = ["hears", "parse_signal"]

_DIGITS = 20
"""More than any signal's number has, and few enough for int()."""
_REALTIME = re.compile(r"RT(MIN|MAX)(?:([+-])(\d+))?")


def parse_signal(value: int | str, *, field: str = "signal") -> int:
    """The number of `9`, `"9"`, `"KILL"`, `"SIGKILL"` or `"SIGRTMIN+3"`.

    Raises: InvalidArgument.
    """
    want = 'a signal: write a number or a name such as "TERM"'
    check_kind(value, int, str, want=want, field=field)
    number = _number(value)
    if number is None or not 1 <= number <= signal.SIGRTMAX:
        raise InvalidArgument(f"{value!r} is not {want}", field=field)
    return number


def _number(value: int | str) -> int | None:
    if isinstance(value, int):
        return int(value)
    text = value.strip().upper()
    if text.isdecimal():
        return int(text[:_DIGITS])
    text = text.removeprefix("SIG")
    if match := _REALTIME.fullmatch(text):
        base = signal.SIGRTMIN if match[1] == "MIN" else signal.SIGRTMAX
        return base + int(f"{match[2] or '+'}{match[3] or 0}"[:_DIGITS])
    named = signal.__dict__.get(f"SIG{text}")
    return int(named) if isinstance(named, signal.Signals) else None


def hears(pid: int, number: int, *, proc: str = "/proc") -> bool:
    """Whether the first process of a pid namespace, `pid`, would notice the signal.

    The kernel drops a signal to such a process that it neither catches nor blocks, SIGKILL and SIGSTOP apart
    (pid_namespaces(7)): to wait for its effect is to wait in vain.
    """
    try:
        with open(f"{proc}/{pid}/status", "rb", buffering=0) as file:
            status = file.read(16384)
    except (FileNotFoundError, ProcessLookupError):
        return False
    heard = 0
    for line in status.splitlines():
        if line.startswith((b"SigBlk:", b"SigCgt:")):
            heard |= int(line[7:], 16)
    return bool(heard >> (number - 1) & 1)
