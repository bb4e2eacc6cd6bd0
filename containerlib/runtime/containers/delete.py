"""The removal of all that a container has. Spec: runtime-spec runtime.md#delete"""

from __future__ import annotations

import contextlib
import os

from containerlib.errors import Error, NotFound, StageError, Timeout, Unsupported
from containerlib.runtime.containers.containers import Container, Containers
from containerlib.runtime.containers.kill import end
from containerlib.runtime.containers.lock import Lock
from containerlib.runtime.containers.warning import silent
from containerlib.spec.lifecycle import State

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from containerlib.spec.runtime import Spec

__all__ = ["delete", "remove"]

PATIENCE = 10.0


def delete(
    containers: Containers, container_id: str, *, force: bool = False, warn: Callable[[str], None] = silent
) -> None:
    """Removes a stopped container, or ends and removes one that was not started, as runc does.

    `force`: kills one that runs first, and takes what a killed command left, or nothing at all.

    `warn` hears of poststop hooks that failed.

    Raises: NotFound and Conflict, not by force; Timeout where its process does not end.
    """
    directory = containers.directory(container_id)
    try:
        with Lock(directory):
            try:
                container = containers.get(container_id)
            except Error:
                if not force:
                    raise
                remove_tree(directory)
                return
            if not force:
                container.check("delete", locked=True, also=(State.CREATED,))
            remove(container, warn)
    except NotFound:
        if not force:
            raise


def remove(container: Container, warn: Callable[[str], None] = silent) -> None:
    """Ends and removes all of a container, whatever its state; the caller has its lock. Raises: Timeout, Conflict."""
    if not end(container, patience=PATIENCE):
        raise Timeout(
            f"container init still running: {container.subject} did not end within {PATIENCE} s of SIGKILL"
        )
    _remove_groups(container)
    _run_hooks(container, warn)
    remove_tree(container.directory)


def _remove_groups(container: Container) -> None:
    cgroup = container.cgroup()
    if cgroup is not None:
        cgroup.kill()
        cgroup.remove()


def _run_hooks(container: Container, warn: Callable[[str], None]) -> None:
    """Each one, also where another fails, of which `warn` hears. Spec: runtime.md#lifecycle, poststop"""
    try:
        spec = container.spec()
    except Error:  # it was never made whole
        return
    _remove_class(container, spec)
    hooks = (spec.get("hooks") or {}).get("poststop") or ()
    if not hooks:
        return
    from containerlib.runtime.unsupervised import run_hooks

    for index, hook in enumerate(hooks):
        alone: Spec = {**spec, "hooks": {"poststop": [hook]}}
        try:
            run_hooks("poststop", alone, container_id=container.id, bundle=container.record.bundle)
        except StageError as error:
            warn(f"error running poststop hook #{index}: {error}")


def _remove_class(container: Container, spec: Spec) -> None:
    """What is its own in resctrl. Spec: runtime-spec config-linux.md#intelrdt"""
    rdt = spec.get("linux", {}).get("intelRdt")
    if rdt is None:
        return
    from containerlib.runtime.plan.resctrl import find_resctrl, group_of

    with contextlib.suppress(Unsupported):  # it is not mounted any more, and nothing is left in it
        group_of(rdt, container.id, find_resctrl()).remove()


def remove_tree(directory: str) -> None:
    """What is in a state directory is the runtime's alone: a handful of files and sockets."""
    with os.scandir(directory) as entries:
        listing = list(entries)
    for entry in listing:
        if entry.is_dir(follow_symlinks=False):
            remove_tree(entry.path)
        else:
            os.unlink(entry.path)
    os.rmdir(directory)
