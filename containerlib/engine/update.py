"""Other limits and another name for a container that is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from attrs import evolve

from containerlib.bundles.resources import CPU_PERIOD, limit_resources
from containerlib.bundles.write import write
from containerlib.engine import history, network_names
from containerlib.engine.lifetime import refuse_policy, set_restart
from containerlib.engine.lock import locked
from containerlib.engine.names import check_name
from containerlib.errors import Conflict, InvalidArgument
from containerlib.runtime.cgroups.update import merged
from containerlib.runtime.config.read import read_config
from containerlib.spec.lifecycle import State
from containerlib.spec.options import Limits

if TYPE_CHECKING:
    from containerlib.engine.instance import Instance
    from containerlib.spec.lifetime import RestartOption
    from containerlib.spec.runtime import Resources, Spec

__all__ = ["limits_of", "rename", "update"]


def rename(instance: Instance, name: str) -> None:
    """Gives the container another name. Raises: InvalidArgument; AlreadyExists; NotFound."""
    store, before = instance.core.store, instance.record
    renamed = evolve(before, name=check_name(name))
    with store.database.transaction():
        store.containers.rename(instance.id, name)
        network_names.rename(instance, name)
        store.events.add(evolve(history.row(instance, "rename", old_name=before.name), name=name))
    instance.record = renamed


def update(instance: Instance, asked: Limits, restart: RestartOption | None = None) -> None:
    """Changes the limits that are given, all or none, now and for each start to come; then the restart policy.

    Without `swap`, as much as memory stays as much as memory. Raises: InvalidArgument; Conflict where more is in use;
    Unsupported; NotFound; StageError.
    """
    if asked == Limits() and restart is None:
        raise InvalidArgument(
            "there is nothing to change: give memory, cpus, pids, restart, ...", field="update"
        )
    if restart is not None:
        refuse_policy(instance, restart)
    if asked != Limits():
        _limit(instance, asked)
    if restart is not None:
        set_restart(instance, restart)
    history.note(instance, "update")


def _limit(instance: Instance, asked: Limits) -> None:
    with locked(instance):
        before = read_config(f"{instance.directory}/config.json")
        resources = before["linux"].get("resources", {})
        changes = limit_resources(_whole(limits_of(resources), asked))
        after = _with_resources(before, cast("Resources", merged(resources, changes)))
        is_alive = instance.state is not State.STOPPED
        if is_alive and asked.memory_bytes is not None:
            _refuse_too_little(instance, asked.memory_bytes)
        write(instance.directory, after)
        try:
            if is_alive:
                instance.cgroup.update(changes)
        except BaseException:
            write(instance.directory, before)
            raise
        instance.refresh(after)


def limits_of(resources: Resources) -> Limits:
    """What a configuration has, in the recipe's terms, but for devices, which it has by number."""
    known = cast("dict[str, Any]", resources)
    memory, cpu = known.get("memory") or {}, known.get("cpu") or {}
    limit, together = memory.get("limit"), memory.get("swap")
    pids = (known.get("pids") or {}).get("limit")
    return Limits(
        memory_bytes=limit,
        swap_bytes=None if limit is None or together is None else -1 if together < 0 else together - limit,
        pids=pids if pids is not None and pids > 0 else None,
        memory_reservation_bytes=memory.get("reservation"),
        swappiness=memory.get("swappiness"),
        oom_kill_disable=bool(memory.get("disableOOMKiller")),
        cpu_shares=cpu.get("shares"),
        cpu_rt_runtime=cpu.get("realtimeRuntime"),
        cpu_rt_period=cpu.get("realtimePeriod"),
        cpuset=cpu.get("cpus") or "",
        mems=cpu.get("mems") or "",
        blkio_weight=(known.get("blockIO") or {}).get("weight"),
        hugepages=tuple((each["pageSize"], each["limit"]) for each in known.get("hugepageLimits") or ()),
        unified=tuple((known.get("unified") or {}).items()),
        **_time_of(cpu),
    )


def _time_of(cpu: dict[str, Any]) -> dict[str, Any]:
    """`cpus`, or what it would not say."""
    quota, period = cpu.get("quota"), cpu.get("period")
    if quota and quota > 0 and period in (None, CPU_PERIOD):
        return {"cpus": quota / CPU_PERIOD}
    return {"cpu_quota": quota, "cpu_period": period}


def _whole(old: Limits, asked: Limits) -> Limits:
    """What is asked, with what it hangs together with: memory and swap are written both, and checked as one."""
    made = asked
    if asked.hugepages:  # a list, which is replaced
        made = evolve(asked, hugepages=tuple({**dict(old.hugepages), **dict(asked.hugepages)}.items()))
    if (asked.memory_bytes, asked.swap_bytes, asked.memory_reservation_bytes) == (None, None, None):
        return made
    swap = old.swap_bytes if asked.swap_bytes is None else asked.swap_bytes
    if asked.memory_bytes is not None and asked.swap_bytes is None and old.swap_bytes == old.memory_bytes:
        swap = None
    reservation = asked.memory_reservation_bytes
    return evolve(
        made,
        memory_bytes=old.memory_bytes if asked.memory_bytes is None else asked.memory_bytes,
        swap_bytes=swap,
        memory_reservation_bytes=old.memory_reservation_bytes if reservation is None else reservation,
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
