"""A container's state, from the kernel and the records: never from a flag that somebody kept."""

from __future__ import annotations

import os

from containerlib._sys.processes import is_alive
from containerlib._sys.wire import Kind
from containerlib.runtime.cgroups.cgroup import ContainerCgroup
from containerlib.runtime.records import read_record
from containerlib.spec.lifecycle import State

__all__ = ["state"]


def state(directory: str, cgroup: ContainerCgroup | None = None) -> State:
    """The state of the container in `directory`; PAUSED is told from RUNNING by `cgroup`."""
    if read_record(directory, "exit") is not None:
        return State.STOPPED
    started = read_record(directory, "started")
    if started is None:
        return State.CREATING if os.path.lexists(f"{directory}/shim.sock") else State.STOPPED
    if not is_alive(started.value[0], started.number[0]):
        return State.STOPPED
    if started.kind == Kind.CREATED:
        return State.CREATED
    return State.PAUSED if cgroup is not None and cgroup.frozen else State.RUNNING
