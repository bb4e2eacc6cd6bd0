"""Other limits and another name for a container that is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from attrs import evolve

from containerlib.bundles.resources import CPU_PERIOD, limit_resources
from containerlib.bundles.write import write
from containerlib.engine import events, words_resources
from containerlib.engine.lock import locked
from containerlib.engine.names import check_name
from containerlib.errors import Conflict, InvalidArgument
from containerlib.runtime.cgroups.update import merged
from containerlib.runtime.config.read import read_config
from containerlib.spec.lifecycle import State
from containerlib.spec.options import Limits

if TYPE_CHECKING:
    from containerlib.engine.instance import Instance
    from containerlib.spec.runtime import Resources, Spec
    from containerlib.units import Size

__all__ = ["limits_of", "rename", "update"]


def rename(instance: Instance, name: str) -> None:
    """Gives the container another name. Raises: InvalidArgument; AlreadyExists; NotFound."""
    store, before = instance.core.store, instance.record
    renamed = evolve(before, name=check_name(name))
    with store.database.transaction():
        store.containers.rename(instance.id, name)
        store.events.add(evolve(events.row(instance, "rename", old_name=before.name), name=name))
    instance.record = renamed


def update(
    instance: Instance,
    *,
    memory: Size | None,
    swap: Size | None,
    cpus: float | None,
    pids: int | None,
) -> None:
    """Changes the limits that are given, all or none, now and for each start to come.

    Without `swap`, as much as memory stays as much as memory. Raises: InvalidArgument; Conflict where more is in use;
    Unsupported; NotFound; StageError.
    """
    asked = words_resources.limits(Limits(), memory=memory, swap=swap, cpus=cpus, pids=pids)
    if asked == Limits():
        raise InvalidArgument("there is nothing to change: give memory, swap, cpus or pids", field="update")
    with locked(instance):
        before = read_config(f"{instance.directory}/config.json")
        resources = before["linux"].get("resources", {})
        limits = _changed(limits_of(resources), asked)
        is_alive = instance.state is not State.STOPPED
        if is_alive and asked.memory_bytes is not None:
            _refuse_too_little(instance, asked.memory_bytes)
        changes = limit_resources(limits)
        after = _with_resources(before, cast("Resources", merged(resources, changes)))
        write(instance.directory, after)
        try:
            if is_alive:
                instance.cgroup.update(changes)
        except BaseException:
            write(instance.directory, before)
            raise
        instance.refresh(after)
    events.note(instance, "update")


def limits_of(resources: Resources) -> Limits:
    """The ceilings that a configuration has, in the recipe's terms."""
    known = cast("dict[str, Any]", resources)
    memory, cpu = known.get("memory") or {}, known.get("cpu") or {}
    limit, together, quota = memory.get("limit"), memory.get("swap"), cpu.get("quota")
    return Limits(
        memory_bytes=limit,
        swap_bytes=None if limit is None or together is None else -1 if together < 0 else together - limit,
        cpus=quota / cpu.get("period", CPU_PERIOD) if quota and quota > 0 else None,
        pids=(known.get("pids") or {}).get("limit"),
    )


def _changed(old: Limits, asked: Limits) -> Limits:
    swap = old.swap_bytes if asked.swap_bytes is None else asked.swap_bytes
    if asked.memory_bytes is not None and asked.swap_bytes is None and old.swap_bytes == old.memory_bytes:
        swap = None
    return Limits(
        memory_bytes=old.memory_bytes if asked.memory_bytes is None else asked.memory_bytes,
        swap_bytes=swap,
        cpus=old.cpus if asked.cpus is None else asked.cpus,
        pids=old.pids if asked.pids is None else asked.pids,
    )


def _refuse_too_little(instance: Instance, limit: int) -> None:
    """cgroup v2 would kill a process where v1 refuses the limit. What can be given back at once does not count."""
    memory = instance.cgroup.stats().memory
    if memory is None:
        return
    needed = memory.usage.bytes - memory.stat.get("inactive_file", 0)
    if limit <= needed:
        raise Conflict(
            f"{instance.subject} uses {needed} bytes of memory, which is more than a limit of {limit}",
            state=instance.state.value,
        )


def _with_resources(spec: Spec, resources: Resources) -> Spec:
    return {**spec, "linux": {**spec["linux"], "resources": resources}}
