"""Processes of a container, as /proc tells of each: `top`, and what no control group counts.

Whatever ends while it is looked at is left out. A process may write what it likes as its name and arguments.

Spec: proc_pid_stat(5), proc_pid_status(5), proc_pid_io(5), proc_pid_smaps(5)
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from attrs import frozen

from containerlib import runtime
from containerlib._sys.processes import in_namespace_of, is_alive
from containerlib.engine.files import files
from containerlib.engine.history import note
from containerlib.errors import Conflict, Error
from containerlib.spec.lifecycle import check

if TYPE_CHECKING:
    from containerlib._sys.inside import Inside
    from containerlib.engine.instance import Instance

__all__ = ["ProcessInfo", "ProcessUsage", "pids_of", "top", "usage_of"]

_TICK_NS = 10**9 // os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_MOST_BYTES = 1 << 20


@frozen
class ProcessInfo:
    """One process of a container.

    `pid` and `parent_pid` are the host's numbers, `container_pid` is the container's; `user` is its name in the
    container, else its number, which `uid` is (as the container sees it). `state`: the kernel's letter. `argv` is what
    the process says that it is; one that says nothing has its name in brackets.
    """

    pid: int
    container_pid: int
    parent_pid: int
    uid: int
    user: str
    state: str
    threads: int
    cpu_ns: int
    memory_bytes: int
    started_at: datetime
    argv: tuple[str, ...]


@frozen
class ProcessUsage:
    """Sums over processes. Children that ended and were waited for are in the times."""

    user_ns: int = 0
    system_ns: int = 0
    memory_bytes: int = 0
    swap_bytes: int = 0
    read_bytes: int = 0
    write_bytes: int = 0
    threads: int = 0


def top(instance: Instance) -> tuple[ProcessInfo, ...]:
    """Its processes at this moment, by pid. Raises: Conflict where it has ended."""
    check("watch", instance.state, instance.subject)
    pids = pids_of(instance)
    if not pids:
        raise Conflict(f"{instance.subject} has ended", state="stopped")
    with contextlib.ExitStack() as stack:
        inside = None
        with contextlib.suppress(Error):
            inside = stack.enter_context(files(instance, "/etc/passwd"))
        rows = [_process(pid, inside) for pid in sorted(pids)]
        names = _user_names(inside)
    still = set(pids_of(instance))  # a number that went may be another's by now
    note(instance, "top")
    return tuple(_named(row, names) for row in rows if row is not None and row.pid in still)


def pids_of(instance: Instance) -> tuple[int, ...]:
    """Its processes, those that are executed in it too. One without groups has a pid namespace of its own."""
    if pids := instance.cgroup.pids():
        return pids
    started = runtime.read_record(instance.directory, "started")
    if started is None or not is_alive(started.value[0], started.number[0]):
        return ()
    return in_namespace_of(started.value[0])


def usage_of(pids: Iterable[int]) -> ProcessUsage:
    """What the processes used."""
    found = [usage for pid in pids if (usage := _usage(pid)) is not None]
    totals = zip(*found, strict=True)
    return ProcessUsage(*(sum(numbers) for numbers in totals)) if found else ProcessUsage()


def _usage(pid: int) -> tuple[int, ...] | None:
    try:
        fields = _stat(pid)[1]
    except (FileNotFoundError, ProcessLookupError):
        return None
    user = sum(map(int, (fields[11], fields[13]))) * _TICK_NS
    system = sum(map(int, (fields[12], fields[14]))) * _TICK_NS
    memory, io = _table(f"/proc/{pid}/smaps_rollup"), _table(f"/proc/{pid}/io")
    return (
        user,
        system,
        memory.get("Pss", 0) * 1024,
        memory.get("SwapPss", 0) * 1024,
        io.get("read_bytes", 0),
        io.get("write_bytes", 0),
        int(fields[17]),
    )


def _process(pid: int, inside: Inside | None) -> ProcessInfo | None:
    try:
        name, fields = _stat(pid)
        status = dict(line.split(":", 1) for line in _read(f"/proc/{pid}/status").splitlines() if ":" in line)
        argv = _read(f"/proc/{pid}/cmdline").removesuffix("\0").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return None
    uid = int(status["Uid"].split()[1])
    return ProcessInfo(
        pid=pid,
        container_pid=int(status.get("NSpid", str(pid)).split()[-1]),
        parent_pid=int(fields[1]),
        uid=inside.users.inward(uid) if inside else uid,
        user="",
        state=fields[0],
        threads=int(fields[17]),
        cpu_ns=(int(fields[11]) + int(fields[12])) * _TICK_NS,
        memory_bytes=int(fields[21]) * _PAGE,
        started_at=_moment(int(fields[19])),
        argv=tuple(argv) if argv != [""] else (f"[{name}]",),
    )


def _named(row: ProcessInfo, names: dict[int, str]) -> ProcessInfo:
    from attrs import evolve  # noqa: PLC0415

    return evolve(row, user=names.get(row.uid, str(row.uid)))


def _user_names(inside: Inside | None) -> dict[int, str]:
    """Of the container's own /etc/passwd, the first of each number."""
    names: dict[int, str] = {}
    if inside is None:
        return names
    with contextlib.suppress(OSError), inside.regular("/etc/passwd") as descriptor:
        for line in os.read(descriptor, _MOST_BYTES).decode(errors="replace").splitlines():
            fields = line.split(":")
            if len(fields) > 2 and fields[2].isascii() and fields[2].isdigit():
                names.setdefault(int(fields[2][:10]), fields[0])
    return names


def _stat(pid: int) -> tuple[str, Sequence[str]]:
    """The name, and the fields from the third on."""
    text = _read(f"/proc/{pid}/stat")
    end = text.rindex(")")
    return text[text.index("(") + 1 : end], text[end + 2 :].split()


def _table(path: str) -> dict[str, int]:
    """The numbers of lines such as `Pss:   12 kB`; none where it cannot be read."""
    try:
        lines = _read(path).splitlines()
    except OSError:
        return {}
    words = (line.split() for line in lines)
    return {each[0].removesuffix(":"): int(each[1]) for each in words if len(each) > 1 and each[1].isdigit()}


def _read(path: str) -> str:
    with open(path, "rb", buffering=0) as file:
        return file.read(_MOST_BYTES).decode(errors="replace")


def _moment(ticks: int) -> datetime:
    since = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks * _TICK_NS / 1e9
    return datetime.fromtimestamp(time.time() - since, UTC)
