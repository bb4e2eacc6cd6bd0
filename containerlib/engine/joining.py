"""Namespaces that a container has from another one.

options = with_ids(core, options)             # names become ids, before anything is done
path = held_namespace(core, id, kind, ...)    # at each start: the other one must run
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from attrs import evolve

from containerlib import runtime
from containerlib._sys import native
from containerlib._sys.processes import is_alive
from containerlib._sys.wire import Kind
from containerlib.engine.listing import find
from containerlib.errors import Conflict, NotFound
from containerlib.spec.lifecycle import State
from containerlib.spec.options import JOIN, ContainerOptions, UserNamespace

if TYPE_CHECKING:
    from containerlib.engine.core import Core
    from containerlib.engine.instance import Instance

__all__ = ["namespace_of", "with_ids"]

_FILES = {"network": "net"}
"""The kernel's names of kinds, where the runtime-spec has others."""


def with_ids(core: Core, options: ContainerOptions) -> ContainerOptions:
    """`options` with other containers by their ids, and with what goes with their network.

    Raises: NotFound; Conflict for an ipc namespace that is not shareable.
    """
    if not options.joined:
        return options
    found = {kind: find(core, name) for kind, name in options.joined}
    ipc = found.get("ipc")
    if ipc is not None and ipc.memo.ipc == "private":
        raise Conflict(
            f'{ipc.subject} keeps its ipc namespace to itself: start it with ipc("shareable")',
            state=ipc.state.value,
        )
    words: dict[str, Any] = {kind: f"{JOIN}{instance.id}" for kind, instance in found.items()}
    user = found.get("user")
    if user is not None:
        del words["user"]
        words["userns"] = UserNamespace(f"{JOIN}{user.id}" if user.memo.ids else "host")
    return evolve(options, **words)


def namespace_of(core: Core, container_id: str, kind: str, stack: ExitStack) -> int:
    """A descriptor, which is the caller's, of the namespace of that kind that the container has at this moment.

    The process is held by a pidfd from before its start time is compared until its namespace is open: whoever has its
    number by then is not taken for it (a number alone may be somebody else's by now).

    Raises: NotFound; Conflict where the container does not run.
    """
    try:
        instance = find(core, container_id)
    except NotFound as error:
        raise NotFound(f"the container whose {kind} namespace this one shares was removed") from error
    record = runtime.read_record(instance.directory, "started")
    if record is None or record.kind != Kind.STARTED:
        raise _not_running(instance, kind)
    pid, started = record.value[0], record.number[0]
    try:
        stack.callback(os.close, native.pidfd_open(pid))
        if not is_alive(pid, started):
            raise _not_running(instance, kind)
        descriptor = os.open(f"/proc/{pid}/ns/{_FILES.get(kind, kind)}", os.O_RDONLY | os.O_CLOEXEC)
    except (ProcessLookupError, FileNotFoundError) as error:
        raise _not_running(instance, kind) from error
    if not is_alive(pid, started):
        os.close(descriptor)
        raise _not_running(instance, kind)
    return descriptor


def _not_running(instance: Instance, kind: str) -> Conflict:
    return Conflict(
        f"{instance.subject}, whose {kind} namespace this one shares, does not run: start it first",
        state=State.STOPPED.value,
    )
