"""From CRIU's log to an error that names the process and the resource. Pure, but for reading the log.

CRIU writes what it does, by whom and on what, and then that it failed; its answer is a number at most. The first lines
that are errors say why, those after them only that others failed for it:

    (00.031) Error (criu/sk-inet.c:191): inet: Connected TCP socket, consider using --tcp-established option.
    (00.032) Error (criu/cr-dump.c:1607): Dump files (pid: 17 comm: redis-server) failed with -1
"""

from __future__ import annotations

import errno
import os
import re

from containerlib.errors import Conflict, StageError, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from containerlib.errors import Error

__all__ = ["explained", "log_lines"]

_ERROR = re.compile(r"^\(\d+\.\d+\)\s*(?:\d+: )?Error \([^)]*\): (.*)$")
_PROCESS = re.compile(r"\bpid:? (\d+)")
_NAMED = re.compile(r"\(pid: (\d+) comm: ([^)]*)\)")
_HARMLESS = ("rlimit: Can't setup RLIMIT_NOFILE", "tun: Unable to create tun")
_LONGEST = 4 << 20
_LAST = 12
_ADVICE = (
    ("Connected TCP socket", "a TCP connection is open", 'ask for tcp="established" or tcp="close"'),
    (
        "External socket is used",
        "a unix socket is connected to a process outside",
        "ask for external_unix_sockets=True",
    ),
    ("Some file locks are hold", "a lock on a file is held", "ask for file_locks=True"),
    ("A session leader", "its session is led from outside", "ask for shell_job=True"),
    (
        "t retrieve FDs from socket",
        "it has a descriptor that cannot be handed on, as an io_uring's",
        "have it closed",
    ),
    ("Unknown socket collected", "it has a socket of a kind that CRIU does not know", "have it closed"),
)


def log_lines(directory: str, name: str) -> list[str]:
    """The log, as far as it is read."""
    try:
        with open(f"{directory}/{name}", encoding="utf-8", errors="replace") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _LONGEST))
            return file.read().splitlines()
    except OSError:
        return []


def explained(stage: str, number: int, lines: Sequence[str], *, subject: str, where: str) -> Error:
    """The error of a dump or restore (`stage`) of `subject` that failed with CRIU's errno `number`.

    The log's last lines are its note. `where`: the log's path. EBADRQC is CRIU's for any request that failed.
    """
    reasons = [match[1] for line in lines if (match := _ERROR.match(line)) and not _is_harmless(match[1])]
    process = next((_process(found[1], lines) for r in reasons if (found := _PROCESS.search(r))), "")
    cause = printable(reasons[0]) if reasons else "CRIU gave no reason"
    detail = f"{subject}, {process}" if process else subject
    error: Error = StageError(stage, number if number != errno.EBADRQC else 0, detail, advice=cause)
    for words, what, way in _ADVICE:
        if any(words in reason for reason in reasons):
            error = Conflict(f"{stage}: {detail}: {what}: {way} ({cause})")
            break
    tail = "\n".join(f"  | {printable(line)}" for line in lines[-_LAST:])
    error.add_note(f"{where}:\n{tail}" if tail else f"{where} is empty")
    return error


def _is_harmless(reason: str) -> bool:
    return reason.startswith(_HARMLESS)


def _process(pid: str, lines: Sequence[str]) -> str:
    """Its name is where CRIU begins with it."""
    named = (match for line in lines for match in _NAMED.finditer(line))
    name = next((match[2] for match in named if match[1] == pid), "")
    return f"process {pid} ({printable(name)})" if name else f"process {pid}"
