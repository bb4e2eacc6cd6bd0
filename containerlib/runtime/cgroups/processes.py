"""The processes of a group: listed, killed, frozen and thawed.

Spec: kernel admin-guide/cgroup-v1/freezer-subsystem.rst, cgroup-v2.rst (cgroup.procs, cgroup.freeze)
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Sequence

from containerlib._sys import native
from containerlib.runtime.cgroups.files import attempts, gone, read, read_or, stage, write

__all__ = ["kill_processes", "processes_of", "set_v1_frozen", "set_v2_frozen", "thaw_all_v1"]


def processes_of(directory: str) -> tuple[int, ...]:
    """Those of the group `directory` and of the groups in it; none where it is gone."""
    found: list[int] = []
    for current, _, _ in os.walk(directory):
        with gone():  # a threaded group (v2) says nothing: its processes are its domain's
            found.extend(map(int, read_or(f"{current}/cgroup.procs").split()))
    return tuple(dict.fromkeys(found))


def kill_processes(pids: Sequence[int], listed: Callable[[], Sequence[int]]) -> None:
    """SIGKILL through pidfds that are checked after they were opened: a reused pid is never hit.

    `listed`: says again which pids are meant.
    """
    opened: dict[int, int] = {}
    try:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                opened[pid] = native.pidfd_open(pid)
        still = set(listed())
        for pid, descriptor in opened.items():
            if pid in still:
                with contextlib.suppress(ProcessLookupError):
                    native.pidfd_signal(descriptor, signal.SIGKILL)
    finally:
        for descriptor in opened.values():
            os.close(descriptor)


def thaw_all_v1(directory: str) -> None:
    """Thaws the group and those that the container made, and froze, in it: a frozen process does not die on v1."""
    for current, _, _ in os.walk(directory):
        with gone():
            write(f"{current}/freezer.state", "THAWED")


def set_v1_frozen(directory: str, frozen: bool, timeout: float) -> bool:
    """Whether it is so within `timeout`; if not, a group that was to be frozen runs again. Raises: StageError."""
    file, value = f"{directory}/freezer.state", "FROZEN" if frozen else "THAWED"
    with stage(file):
        for _ in attempts(timeout):
            write(file, value)  # again and again: it may stay FREEZING while a new process slips in
            if read(file).strip() == value:
                return True
        if frozen:
            write(file, "THAWED")
    return False


def set_v2_frozen(directory: str, frozen: bool, timeout: float) -> bool:
    """As `set_v1_frozen`."""
    file = f"{directory}/cgroup.freeze"
    with stage(file):
        for _ in attempts(timeout):
            write(file, str(int(frozen)))
            if f"frozen {int(frozen)}" in read(f"{directory}/cgroup.events").splitlines():
                return True
        if frozen:
            write(file, "0")
    return False
