"""What goes on with a container when nobody of ours is there but its shim: set here, done in _native/shim/life.c."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from attrs import evolve

from containerlib import runtime
from containerlib.engine.lock import locked
from containerlib.engine.owner import Owner, is_alive
from containerlib.errors import InvalidArgument
from containerlib.runtime.lifetime import Lifetime, restart_count, write_lifetime, write_policy
from containerlib.spec.lifecycle import State
from containerlib.spec.lifetime import CommandCheck, HealthOption, RestartOption
from containerlib.spec.runtime import Process
from containerlib.spec.values import cast

if TYPE_CHECKING:
    from containerlib.engine.instance import Instance
    from containerlib.spec.image_config import Healthcheck, ImageConfig
    from containerlib.spec.options import ContainerOptions

__all__ = [
    "DEFAULT_GRACE",
    "health_of",
    "is_claimed",
    "is_removed",
    "is_to_run",
    "is_unattended",
    "prepare",
    "refuse_policy",
    "set_restart",
]

DEFAULT_GRACE = 10.0
"""Seconds between the stop signal and SIGKILL, as in Docker."""
_SHELL = ("/bin/sh", "-c")
_DEFAULTS = HealthOption()
_MOST_RETRIES = 2**31 - 1


def health_of(options: ContainerOptions, config: ImageConfig) -> HealthOption | None:
    """The recipe's check, else the image's."""
    if options.health is not None:
        return options.health if options.health.check is not None else None
    return _of_image(config.healthcheck, config.shell or _SHELL) if config.healthcheck else None


def _of_image(check: Healthcheck, shell: tuple[str, ...]) -> HealthOption | None:
    kind, *words = check.test or ("NONE",)
    if kind == "CMD-SHELL":
        words = [*shell, *words]
    elif kind != "CMD" or not words:
        return None
    return HealthOption(
        CommandCheck(tuple(words)),
        every=check.interval or _DEFAULTS.every,
        timeout=check.timeout or _DEFAULTS.timeout,
        retries=min(check.retries or _DEFAULTS.retries, _MOST_RETRIES),
        start_period=check.start_period,
        start_every=check.start_interval or _DEFAULTS.start_every,
    )


def prepare(instance: Instance) -> None:
    """Tells the shim that is about to be started.

    Raises: StageError; Unsupported where the driver cannot check, or nobody could make the checkpoints.
    """
    lifetime = _lifetime(instance)
    if lifetime.is_plain:
        return
    plan, keeper = b"", None
    if instance.memo.checkpoints is not None:
        from containerlib.engine.checkpoints import keeping  # noqa: PLC0415 - which knows starts

        keeper = keeping.keeper(instance)
    if isinstance(lifetime.health.check, CommandCheck):
        own = instance.spec["process"]
        process = cast(Process, {**own, "args": list(lifetime.health.check.argv), "terminal": False})
        plan = instance.driver.exec_plan(
            instance.directory,
            instance.spec,
            process,
            cgroup=instance.cgroup,
            seccomp_cache=instance.core.seccomp_cache,
        )
    write_lifetime(instance.directory, lifetime, plan, keeper)


def refuse_policy(instance: Instance, restart: RestartOption) -> None:
    """Raises: InvalidArgument where the container is to be removed at its end."""
    if restart.policy == "no":
        return
    if instance.memo.remove:
        raise InvalidArgument("what is removed at its end is not started again", field="restart")


def set_restart(instance: Instance, restart: RestartOption) -> None:
    """Another restart policy, also for a container that runs.

    Raises: NotFound where the container has been removed; as `refuse_policy`.
    """
    refuse_policy(instance, restart)
    with locked(instance):
        memo = evolve(instance.memo, restart=restart)
        instance.core.store.containers.set_options(instance.id, memo.to_json())
        instance.memo = memo
        write_policy(instance.directory, _lifetime(instance))


def is_removed(instance: Instance) -> bool:
    """Whether its shim has removed it: what is left of it is its record."""
    return (
        instance.memo.remove and instance.record.owner_pid is None and not os.path.isdir(instance.directory)  # noqa: PTH112 - hot path
    )


def is_unattended(instance: Instance) -> bool:
    """Whether a container that its shim was to remove has lost it, or has been removed."""
    if not os.path.isdir(instance.directory):  # noqa: PTH112
        return True
    if runtime.state(instance.directory) is not State.STOPPED:
        return False
    supervisor = runtime.connect(instance.directory)
    if supervisor is not None:
        supervisor.close()
    return supervisor is None


def is_claimed(instance: Instance) -> bool:
    """Whether a process that lives is making the container, or removes it at its end: run() and spawn().

    For who holds the container, the first is exact: its configuration is written by who has it then.
    """
    record = instance.record
    if record.owner_pid is None or record.owner_start_time is None:
        return record.auto_remove and not is_unattended(instance)
    is_whole = os.path.lexists(f"{instance.directory}/config.json")
    if is_whole and not record.auto_remove:
        return False
    return is_alive(Owner(record.owner_pid, record.owner_start_time))


def is_to_run(instance: Instance) -> bool:
    """Whether its shim was killed, or the machine, though its policy is to start it again."""
    restart, directory = instance.memo.restart, instance.directory
    if restart.policy == "no" or not instance.memo.detached or not os.path.isdir(directory):  # noqa: PTH112
        return False
    over = any(os.path.lexists(f"{directory}/{name}") for name in ("exit", "stopped"))
    if over or runtime.read_record(directory, "started") is None:
        return False
    spent = restart.policy == "on-failure" and restart.retries is not None
    if spent and restart_count(directory) >= cast(int, restart.retries):
        return False
    return instance.state is State.STOPPED


def _lifetime(instance: Instance) -> Lifetime:
    memo = instance.memo
    return Lifetime(
        restart=memo.restart,
        health=memo.health or _DEFAULTS,
        remove=memo.remove,
        stop_signal=int(memo.stop_signal or signal.SIGTERM),
        grace=DEFAULT_GRACE if memo.stop_timeout is None else memo.stop_timeout,
        checkpoint_every=0.0 if memo.checkpoints is None else memo.checkpoints.every,
    )
