"""Other limits for a container that is there: no verb of the specification, but of every runtime.

All of them change or none: each step is undone where a later one fails.
"""

from __future__ import annotations

import contextlib
import os

from containerlib.errors import InvalidArgument, StageError
from containerlib.runtime.cgroups.update import merged
from containerlib.runtime.config.validate import validate_rdt, validate_resources
from containerlib.runtime.containers.groups import needed, with_default_devices
from containerlib.runtime.containers.lock import Lock
from containerlib.runtime.containers.processes import pids
from containerlib.runtime.kernel import HOST_FILES, KernelFiles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from containerlib.runtime.containers.containers import Container
    from containerlib.spec.runtime import IntelRdt, Spec

__all__ = ["update"]

_SCHEMAS = {"l3CacheSchema", "memBwSchema", "schemata"}


def update(
    container: Container,
    resources: Mapping[str, Any],
    rdt: IntelRdt | None = None,
    *,
    files: KernelFiles = HOST_FILES,
) -> None:
    """Changes what `resources` (of linux.resources) and `rdt` (of linux.intelRdt) name; what they do not name stays.

    Device rules are exchanged as a whole, with the devices that every container may use. The schemas of `rdt` are
    written to the container's class of service: with a name (closID) it is changed for all that are in it, and a
    container without one gets a class of its own.

    Raises: Conflict; InvalidArgument; Unsupported; Timeout; StageError. Then nothing has changed.
    """
    validate_resources(resources)
    validate_rdt(rdt or {})
    if strange := (rdt or {}).keys() - _SCHEMAS:
        raise InvalidArgument("is settled when a container is made", field=f"intelRdt.{min(strange)}")
    with Lock(container.directory), contextlib.ExitStack() as undo:
        container.check("update", locked=True)
        spec = container.spec()
        linux = spec.get("linux", {})
        before = linux.get("resources") or {}
        # `exec` and `delete` go by it, and the next update
        changed: Any = {**spec, "linux": {**linux, "resources": merged(before, resources)}}
        if rdt:
            changed["linux"]["intelRdt"] = {**linux.get("intelRdt", {}), **rdt}
        undo.enter_context(_changed_config(container, changed, spec))
        if rdt:
            undo.enter_context(_changed_class(container, changed["linux"]["intelRdt"], rdt, files))
        if resources or not rdt:
            old = with_default_devices(before).get("devices")
            needed(container).update(with_default_devices(resources), devices_before=old)


@contextlib.contextmanager
def _changed_config(container: Container, spec: Spec, before: Spec) -> Iterator[None]:
    container.write_spec(spec)
    try:
        yield
    except BaseException:
        container.write_spec(before)
        raise


@contextlib.contextmanager
def _changed_class(
    container: Container, rdt: IntelRdt, changes: IntelRdt, files: KernelFiles
) -> Iterator[None]:
    from containerlib.runtime.plan import resctrl

    root = files.resctrl or resctrl.find_resctrl()
    group = resctrl.group_of(rdt, container.id, root)
    if rdt.get("closID") or os.path.isdir(group.directory):
        with resctrl.changed_schemata(group, resctrl.lines_of(changes), root):
            yield
        return
    group = resctrl.assign(rdt, container.id, root=root, mkdir=files.mkdir)
    try:
        resctrl.move_tasks(group, lambda: pids(container))
        yield
    except BaseException as error:
        try:
            group.remove()
        except StageError as cleanup:
            error.add_note(str(cleanup))
        raise
