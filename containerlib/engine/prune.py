"""Back to clean: everything under one root that nothing refers to any more."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from attrs import frozen

from containerlib._sys.trees import remove_tree
from containerlib.engine.instance import Instance
from containerlib.engine.kept_networks import take_back_orphans
from containerlib.engine.mounting import ANONYMOUS
from containerlib.engine.reconcile import discard_left_over, is_left_over, remaining
from containerlib.engine.removal import remove_volume
from containerlib.engine.volume_use import release
from containerlib.errors import Conflict, Error, NotFound
from containerlib.runtime.cgroups.owner import layout_of_caller

if TYPE_CHECKING:
    from collections.abc import Sequence

    from containerlib.engine.core import Core
    from containerlib.images import PruneReport as ImagePruneReport

__all__ = ["PruneReport", "prune"]


@frozen
class PruneReport:
    """What was removed. `failures` are sentences on what could not be."""

    containers: tuple[str, ...]
    """Names of containers that should have ended with their owners."""
    directories: tuple[str, ...]
    """Paths that belonged to no container."""
    cgroups: tuple[str, ...]
    """Control groups that belonged to no container."""
    volumes: tuple[str, ...]
    """Directories that belonged to no volume, and unnamed volumes of containers that are gone."""
    images: ImagePruneReport
    failures: tuple[str, ...] = ()


def prune(core: Core) -> PruneReport:
    """Removes what dead processes left. Containers, images and volumes that are in order are not touched."""
    failures: list[str] = []
    containers = _containers(core, failures)
    failures += take_back_orphans(core)
    failures += _collected(core)
    # The records before and after: a container that appears has its record first, one that goes away has it last.
    known = {record.id for record in core.store.containers.list()}
    directories = _names(core.containers)
    groups = layout_of_caller()[0].children(os.path.dirname(core.cgroup_path("")))  # noqa: PTH120
    known |= {record.id for record in core.store.containers.list()}
    try:
        release(core)
    except (Error, OSError) as error:
        failures.append(f"volumes: {error}")
    return PruneReport(
        containers=tuple(containers),
        directories=tuple(_directories(core, directories - known, failures)),
        cgroups=tuple(_cgroups(core, groups, known, failures)),
        volumes=(*core.volumes.prune(), *_anonymous(core)),
        images=core.images.prune(),
        failures=tuple(failures),
    )


def _collected(core: Core) -> Sequence[str]:
    if not any(network.driver == "cni" for network in core.store.networks.list()):
        return ()
    from containerlib.engine.attachments import collect  # noqa: PLC0415 - it runs programs

    return collect(core)


def _containers(core: Core, failures: list[str]) -> list[str]:
    removed = []
    for record in remaining(core):
        if is_left_over(core, record):
            try:
                discard_left_over(core, record)
            except (Error, OSError) as error:
                failures.append(f"container {record.name!r}: {error}")
            else:
                removed.append(record.name)
    return removed


def _directories(core: Core, names: set[str], failures: list[str]) -> list[str]:
    removed = []
    for path in sorted(core.directory(name) for name in names):
        try:
            remove_tree(path)
        except OSError as error:
            failures.append(f"directory {path}: {error}")
        else:
            removed.append(path)
    return removed


def _cgroups(core: Core, names: set[str], known: set[str], failures: list[str]) -> list[str]:
    prefix = os.path.basename(core.cgroup_path(""))  # noqa: PTH119 - a cgroup's path is no file's
    removed = []
    for container_id in sorted(name.removeprefix(prefix) for name in names if name.startswith(prefix)):
        if container_id in known:
            continue
        group = core.cgroup(container_id)
        try:
            group.kill()
            group.remove()
        except (Error, OSError) as error:
            failures.append(f"cgroup {group.path}: {error}")
        else:
            removed.append(group.path)
    return removed


def _anonymous(core: Core) -> list[str]:
    """Volumes that were made for a container that is gone, and whose removal was cut short."""
    volumes = [volume for volume in core.volumes.list() if dict(volume.labels).get(ANONYMOUS)]
    known = {record.id: Instance.of(core, record) for record in core.store.containers.list()}
    used = {name for instance in known.values() for name in instance.memo.volumes}
    removed = []
    for volume in volumes:
        owner = dict(volume.labels)[ANONYMOUS]
        if owner not in known and volume.name not in used:
            with contextlib.suppress(NotFound, Conflict):
                remove_volume(core, volume.name)
                removed.append(volume.name)
    return removed


def _names(directory: str) -> set[str]:
    with os.scandir(directory) as entries:
        return {entry.name for entry in entries}
