"""The files of a stopped container, mounted for as long as somebody in this process uses them.

A writable layer may be mounted once at a time. So whoever comes second in this process has the same mount, another
process waits, and nobody starts or removes the container meanwhile.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from containerlib import runtime
from containerlib._sys.forks import Lock
from containerlib._sys.trees import remove_tree
from containerlib.engine.ids import maps_again
from containerlib.engine.late import late_of
from containerlib.engine.lock import locked
from containerlib.engine.sources import resolve_again
from containerlib.engine.volume_use import attach, release_of
from containerlib.errors import Unsupported
from containerlib.runtime.plan.late import Part
from containerlib.spec.lifecycle import State

if TYPE_CHECKING:
    from containerlib.bundles.ids import IdMaps
    from containerlib.engine.instance import Instance
    from containerlib.runtime import Supervisor
    from containerlib.runtime.plan.late import Late
    from containerlib.spec.runtime import Linux, Mount, Spec

__all__ = ["assembled"]

_sessions: dict[str, _Session] = {}
_guard = Lock()


class _Session:
    """One mount and its users."""

    def __init__(self) -> None:
        self.users = 0
        self.making = Lock()
        self.supervisor: Supervisor | None = None
        self.held = contextlib.ExitStack()


@contextlib.contextmanager
def assembled(instance: Instance) -> Iterator[Supervisor | None]:
    """A process that has the stopped container's files, and does nothing; None where that runs by now.

    Raises: Unsupported for one of the host's image; NotFound; StageError.
    """
    with _guard:
        session = _sessions.setdefault(instance.directory, _Session())
        session.users += 1
    try:
        with session.making:
            if session.supervisor is None:
                session.supervisor = _make(instance, session.held)
        yield session.supervisor
    finally:
        with _guard:
            session.users -= 1
            is_last = not session.users
            if is_last:
                del _sessions[instance.directory]
        if is_last:
            session.held.close()
            release_of(instance)


def _make(instance: Instance, held: contextlib.ExitStack) -> Supervisor | None:
    with contextlib.ExitStack() as stack:
        stack.enter_context(locked(instance))
        if instance.state is not State.STOPPED:
            return None
        supervisor = _mounter(instance, stack)
        held.push(stack.pop_all())
        return supervisor


def _mounter(instance: Instance, stack: contextlib.ExitStack) -> Supervisor:
    if instance.memo.host:
        raise Unsupported(
            f"{instance.subject} is of the host's image and has ended: what it wrote was in memory, and is gone"
        )
    image = resolve_again(
        instance.core, instance.record.image_id, instance.record.image_reference, instance.memo.layers
    )
    place = f"{instance.directory}/files"
    remove_tree(place)  # of a process that was killed
    os.mkdir(place, 0o700)  # noqa: PTH102 - a str
    stack.callback(remove_tree, place)
    attach(instance)
    late = late_of(instance)
    ids = maps_again(instance)
    supervisor = runtime.create(
        instance.directory,
        directory=place,
        root=image.root(instance.directory, instance.core.mountpoints, ids=ids),
        cgroup=None,
        owned=True,
        spec=_only_files(instance, late, ids),
        late=late,
        hold=True,
        bare=True,
        log=None,
    )
    stack.callback(supervisor.abandon)
    return supervisor


def _only_files(instance: Instance, late: Late, ids: IdMaps | None) -> Spec:
    """A container that has its files, and no program: volumes, and what else is of the host's disk."""
    spec = instance.spec

    def is_on_disk(mount: Mount) -> bool:
        source = mount.get("source", "")
        is_late = source.startswith(f"{instance.directory}/late/")
        return mount.get("type") == "bind" and (not is_late or isinstance(late.found.get(source), Part))

    return {
        "ociVersion": spec["ociVersion"],
        "process": {"user": {"uid": 0, "gid": 0}, "args": ["-"], "cwd": "/"},
        "root": spec["root"],
        "mounts": [each for each in spec.get("mounts", ()) if is_on_disk(each)],
        "linux": _with_ids(ids),
    }


def _with_ids(ids: IdMaps | None) -> Linux:
    """Namespaces of its own, with the ids that it has, also where these are another container's."""
    own: Linux = {"namespaces": [{"type": "mount"}, {"type": "pid"}]}
    if ids is not None:
        own["namespaces"].append({"type": "user"})
        own["uidMappings"], own["gidMappings"] = ids.entries
    return own
