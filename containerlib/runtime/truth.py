"""A container's state, from the kernel and the records: never from a flag that somebody kept."""

from __future__ import annotations

import struct

from containerlib._sys.native import lib
from containerlib._sys.processes import is_alive
from containerlib._sys.wire import Kind, Message
from containerlib.runtime.cgroups.cgroup import ContainerCgroup
from containerlib.runtime.records import read_record
from containerlib.runtime.supervisor import has_shim
from containerlib.spec.lifecycle import State

__all__ = ["state"]

_POLICY = struct.Struct("<8xI32xI")
"""Of a policy, `restart` and `unhealthy`."""


def state(directory: str, cgroup: ContainerCgroup | None = None) -> State:
    """The state of the container in `directory`; PAUSED is told from RUNNING by `cgroup`."""
    started = read_record(directory, "started")
    if started is not None and is_alive(started.value[0], started.number[0]):
        if started.kind == Kind.CREATED:
            return State.CREATED
        return State.PAUSED if cgroup is not None and cgroup.frozen else State.RUNNING
    if read_record(directory, "exit") is not None:
        return State.STOPPED
    if started is None:
        return State.CREATING if has_shim(directory) else State.STOPPED
    return _without_program(directory, started)


def _without_program(directory: str, started: Message) -> State:
    """The container's program has ended, and how is not known yet: its shim may be about to start it again."""
    if not _may_restart(directory) or not has_shim(directory):
        return State.STOPPED
    if read_record(directory, "started") != started or read_record(directory, "exit") is not None:
        return state(directory)
    return State.RESTARTING


def _may_restart(directory: str) -> bool:
    try:
        with open(f"{directory}/policy", "rb", buffering=0) as file:
            restart, unhealthy = _POLICY.unpack_from(file.read())
    except FileNotFoundError:
        return False
    return bool(restart != lib.CLIB_RESTART_NO or unhealthy == lib.CLIB_UNHEALTHY_RESTART)
