"""Namespaces that a container has from another one.

options = with_ids(core, options)         # names become ids, before anything is done
require_running(core, id, kind)           # at each start: the other one must run
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import evolve

from containerlib import runtime
from containerlib._sys.processes import is_alive
from containerlib._sys.wire import Kind
from containerlib.engine.listing import find
from containerlib.errors import Conflict, NotFound
from containerlib.spec.lifecycle import State
from containerlib.spec.options import JOIN, ContainerOptions, UserNamespace

if TYPE_CHECKING:
    from containerlib.engine.core import Core
    from containerlib.engine.instance import Instance

__all__ = ["name_of", "require_running", "with_ids"]

_FILES = {"network": "net"}
"""The kernel's names of kinds, where the runtime-spec has others."""


def with_ids(core: Core, options: ContainerOptions) -> ContainerOptions:
    """`options` with other containers by their ids, and with what goes with their network.

    One that has the host's user or ipc namespace has nothing else to share. Raises: NotFound; Conflict for an ipc
    namespace that is not shareable.
    """
    if not options.joined:
        return options
    found = {kind: find(core, name) for kind, name in options.joined}
    ipc = found.get("ipc")
    if ipc is not None and ipc.memo.ipc in ("private", "none"):
        raise Conflict(
            f'{ipc.subject} keeps its ipc namespace to itself: start it with ipc("shareable")',
            state=ipc.state.value,
        )
    words: dict[str, Any] = {kind: f"{JOIN}{instance.id}" for kind, instance in found.items()}
    if ipc is not None and ipc.memo.ipc == "host":
        words["ipc"] = "host"
    user = found.get("user")
    if user is not None:
        del words["user"]
        words["userns"] = UserNamespace(f"{JOIN}{user.id}" if user.memo.ids else "host")
    return evolve(options, **words)


def name_of(kind: str) -> str:
    """The kernel's name of the runtime-spec's kind of namespace, as in /proc/PID/ns."""
    return _FILES.get(kind, kind)


def require_running(core: Core, container_id: str, kind: str) -> None:
    """Raises: NotFound; Conflict where the container, whose namespace of that kind is shared, does not run."""
    try:
        instance = find(core, container_id)
    except NotFound as error:
        raise NotFound(f"the container whose {kind} namespace this one shares was removed") from error
    record = runtime.read_record(instance.directory, "started")
    if record is None or record.kind != Kind.STARTED or not is_alive(record.value[0], record.number[0]):
        raise _not_running(instance, kind)


def _not_running(instance: Instance, kind: str) -> Conflict:
    return Conflict(
        f"{instance.subject}, whose {kind} namespace this one shares, does not run: start it first",
        state=State.STOPPED.value,
    )
