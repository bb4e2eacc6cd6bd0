"""Everything that is known of one container, as a value."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal

from attrs import asdict, frozen

from containerlib import runtime, shim
from containerlib.engine.events import is_lost
from containerlib.engine.update import limits_of
from containerlib.runtime.supervisor import LOST
from containerlib.spec.lifecycle import State
from containerlib.spec.options import Limits
from containerlib.spec.status import ExitStatus

if TYPE_CHECKING:
    from containerlib.engine.instance import Instance
    from containerlib.spec.runtime import Mount, Spec

__all__ = ["ContainerInfo", "MountInfo", "inspect"]


@frozen
class MountInfo:
    """One mount that was asked for. `volume`: its name, where the source is one."""

    kind: Literal["bind", "tmpfs", "volume"]
    target: str
    source: str
    read_only: bool
    options: tuple[str, ...] = ()
    volume: str | None = None


@frozen
class ContainerInfo:
    """A container at one moment; `document` is the same as JSON's types.

    `pid` is the host's number of its first process, None where it is not alive. `image` is the reference that it was
    made from, `image_id` the image. `argv`, `env`, `workdir` and `user` are those of its first process.
    """

    id: str
    name: str
    image: str
    image_id: str
    created_at: datetime
    state: State
    exit: ExitStatus | None
    pid: int | None
    started_at: datetime | None
    finished_at: datetime | None
    oom_killed: bool
    detached: bool
    auto_remove: bool
    owner_pid: int | None
    argv: tuple[str, ...]
    env: Mapping[str, str]
    workdir: str
    user: str
    tty: bool
    hostname: str
    network: Literal["none", "host"]
    limits: Limits
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    mounts: tuple[MountInfo, ...]
    read_only: bool
    privileged: bool
    capabilities: tuple[str, ...]
    stop_signal: str | None
    stop_timeout: float | None
    driver: str
    layers: str
    cgroup_path: str
    directory: str
    log_path: str

    def document(self) -> dict[str, Any]:
        """As `json.dumps` takes it: times in ISO 8601, the state as OCI's word."""
        return asdict(self, value_serializer=lambda _, __, value: _plain(value))


def inspect(instance: Instance) -> ContainerInfo:
    """What is known of it now. Raises: NotFound."""
    instance.refresh()
    record, memo = instance.record, instance.memo
    return ContainerInfo(
        id=record.id,
        name=record.name,
        image=record.image_reference,
        image_id=record.image_id,
        created_at=record.created_at,
        detached=memo.detached,
        auto_remove=record.auto_remove,
        owner_pid=None if memo.detached else record.owner_pid,
        tty=memo.tty,
        labels=dict(memo.labels),
        mounts=tuple(_mounts(instance, instance.spec)),
        stop_signal=memo.stop_signal,
        stop_timeout=memo.stop_timeout,
        driver=memo.driver,
        layers=memo.layers,
        cgroup_path=instance.core.cgroup_path(record.id),
        directory=instance.directory,
        log_path=f"{instance.directory}/log",
        **_life(instance),
        **_configured(instance.spec),
    )


def _life(instance: Instance) -> dict[str, Any]:
    state = instance.state
    status = shim.read_exit(instance.directory)
    started = runtime.read_record(instance.directory, "started")
    if status is None and started and is_lost(instance):
        status = LOST
    return {
        "state": state,
        "exit": status,
        "pid": started.value[0] if started and state is not State.STOPPED else None,
        "started_at": None if state is State.CREATED else _written_at(f"{instance.directory}/started"),
        "finished_at": status.finished_at if status else None,
        "oom_killed": bool(status and status.oom_killed),
    }


def _configured(spec: Spec) -> dict[str, Any]:
    """What config.json says."""
    process, linux = spec["process"], spec.get("linux", {})
    user = process.get("user", {})
    own_network = any(each["type"] == "network" for each in linux.get("namespaces", ()))
    return {
        "argv": tuple(process["args"]),
        "env": dict(entry.partition("=")[::2] for entry in process.get("env", ())),
        "workdir": process.get("cwd", "/"),
        "user": f"{user.get('uid', 0)}:{user.get('gid', 0)}",
        "hostname": spec.get("hostname", ""),
        "network": "none" if own_network else "host",
        "limits": limits_of(linux.get("resources", {})),
        "annotations": dict(spec.get("annotations", {})),
        "read_only": bool(spec.get("root", {}).get("readonly", False)),
        "privileged": "maskedPaths" not in linux,
        "capabilities": tuple(process.get("capabilities", {}).get("bounding", ())),
    }


def _mounts(instance: Instance, spec: Spec) -> list[MountInfo]:
    """Those that the recipe names: not Docker's default ones, nor the files that the engine writes."""
    volumes = {f"{instance.core.root}/volumes/{name}": name for name in instance.memo.volumes}
    found = []
    for mount in spec.get("mounts", ()):
        source = mount.get("source", "")
        is_own = os.path.dirname(source) == instance.directory  # noqa: PTH120 - paths are text here
        if (mount.get("type") == "bind" and not is_own) or _is_asked_for(mount):
            found.append(_mount(mount, volumes.get(source)))
    return found


def _is_asked_for(mount: Mount) -> bool:
    return mount.get("type") == "tmpfs" and not mount["destination"].startswith("/dev")


def _mount(mount: Mount, volume: str | None) -> MountInfo:
    kind: Literal["bind", "tmpfs", "volume"] = "tmpfs" if mount.get("type") == "tmpfs" else "bind"
    options = tuple(mount.get("options", ()))
    source = "" if kind == "tmpfs" else mount.get("source", "")
    return MountInfo(
        "volume" if volume else kind, mount["destination"], source, "ro" in options, options, volume
    )


def _written_at(path: str) -> datetime | None:
    """The shim writes its record when the program has started."""
    try:
        return datetime.fromtimestamp(os.stat(path).st_mtime, UTC)  # noqa: PTH116
    except FileNotFoundError:
        return None


def _plain(value: object) -> object:
    if isinstance(value, ExitStatus):
        return {name: _plain(getattr(value, name)) for name in ExitStatus.__match_args__}
    if isinstance(value, datetime):
        return value.isoformat()
    return value.value if isinstance(value, Enum) else value
