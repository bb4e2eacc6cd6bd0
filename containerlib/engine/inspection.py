"""Everything that is known of one container, as a value."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal

from attrs import asdict, evolve, frozen

from containerlib import runtime, shim
from containerlib.engine.failed import last_failure
from containerlib.engine.history import is_lost
from containerlib.engine.kept import device_limits, facts
from containerlib.engine.places import PublishedPort, addresses_of, networks_of, published
from containerlib.engine.update import limits_of
from containerlib.runtime.lifetime import read_health, restart_count
from containerlib.runtime.supervisor import LOST
from containerlib.spec.lifecycle import State
from containerlib.spec.log import LogOptions
from containerlib.spec.options import JOIN, DeviceOption, Limits
from containerlib.spec.status import ExitStatus

if TYPE_CHECKING:
    from containerlib.engine.instance import Instance, Memo, Shared
    from containerlib.spec.lifetime import CheckpointOption, Health, HealthOption, RestartOption
    from containerlib.spec.runtime import IDMapping, Mount, Spec

__all__ = ["ContainerInfo", "MountInfo", "inspect"]

_SHM = "/dev/shm"  # noqa: S108 - a path in the container
_KINDS = ("network", "pid", "ipc", "uts", "cgroup", "user")


@frozen
class MountInfo:
    """One mount that was asked for. `volume`: its name, where the source is one; of an image the source is its id.

    `subpath`: what of the volume is shown.
    """

    kind: Literal["bind", "tmpfs", "volume", "image"]
    target: str
    source: str
    read_only: bool
    options: tuple[str, ...] = ()
    volume: str | None = None
    subpath: str = ""


@frozen
class ContainerInfo:
    """A container at one moment; `document` is the same as JSON's types.

    `pid` is the host's number of its first process, None where it is not alive. `image` is the reference that it was
    made from, `image_id` the image. `argv`, `env`, `workdir` and `user` are those of its first process, `groups` are
    its supplementary ones. `network` is "none", "host" or "container:ID"; `networks` are the names of those that its
    own namespace is on, `addresses` what it has on each, `ports` what the host has of them; `namespaces` has the
    other kinds too, where "private" is its own. `uids` and `gids`: (first id in the container, on the host, how
    many), with a user namespace of its own. `error`: why its supervisor's last start of it failed, where that was no
    first one. `health_check` is what is asked, `health` what was answered. `secrets` are names.
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
    error: str | None
    detached: bool
    auto_remove: bool
    owner_pid: int | None
    argv: tuple[str, ...]
    env: Mapping[str, str]
    workdir: str
    user: str
    tty: bool
    hostname: str
    domainname: str | None
    groups: tuple[int, ...]
    umask: int
    init: bool
    stdin: bool
    timezone: str | None
    personality: str | None
    secrets: tuple[str, ...]
    network: str
    networks: tuple[str, ...]
    addresses: Mapping[str, tuple[str, ...]]
    ports: tuple[PublishedPort, ...]
    namespaces: Mapping[str, str]
    uids: tuple[tuple[int, int, int], ...]
    gids: tuple[tuple[int, int, int], ...]
    hosts: tuple[tuple[str, str], ...]
    dns: tuple[str, ...]
    dns_search: tuple[str, ...]
    dns_options: tuple[str, ...]
    limits: Limits
    shm_bytes: int | None
    oom_score_adj: int | None
    memory_policy: tuple[str, str, tuple[str, ...]] | None
    rlimits: tuple[tuple[str, int, int], ...]
    sysctls: Mapping[str, str]
    devices: tuple[DeviceOption, ...]
    device_rules: tuple[tuple[str, int | None, int | None, str], ...]
    cdi: tuple[str, ...]
    gpus: int | None
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    mounts: tuple[MountInfo, ...]
    read_only: bool
    privileged: bool
    capabilities: tuple[str, ...]
    seccomp: Literal["default", "unconfined", "custom"]
    no_new_privileges: bool
    apparmor: str | None
    selinux: str | None
    mount_label: str | None
    masked: tuple[str, ...]
    read_only_paths: tuple[str, ...]
    restart: RestartOption
    restart_count: int
    checkpointing: CheckpointOption | None
    health_check: HealthOption | None
    health: Health | None
    log: LogOptions
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
        stdin=memo.stdin,
        init=memo.init,
        secrets=memo.secrets,
        restart=memo.restart,
        restart_count=restart_count(instance.directory),
        checkpointing=memo.checkpoints,
        health_check=memo.health,
        health=read_health(instance.directory),
        log=memo.log,
        networks=networks_of(instance),
        addresses=addresses_of(instance),
        ports=published(instance),
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
        **_limited(instance.spec, memo),
        **_shared(instance.spec, memo),
        **_secured(instance.spec),
        **facts(memo),
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
        "error": last_failure(instance),
    }


def _configured(spec: Spec) -> dict[str, Any]:
    """What config.json says of the first process."""
    process, linux = spec["process"], spec.get("linux", {})
    user = process.get("user", {})
    return {
        "argv": tuple(process["args"]),
        "env": dict(entry.partition("=")[::2] for entry in process.get("env", ())),
        "workdir": process.get("cwd", "/"),
        "user": f"{user.get('uid', 0)}:{user.get('gid', 0)}",
        "groups": tuple(user.get("additionalGids", ())),
        "umask": user.get("umask", 0o022),
        "hostname": spec.get("hostname", ""),
        "domainname": spec.get("domainname"),
        "personality": linux.get("personality", {}).get("domain"),
        "annotations": dict(spec.get("annotations", {})),
    }


def _limited(spec: Spec, memo: Memo) -> dict[str, Any]:
    process, linux = spec["process"], spec.get("linux", {})
    policy = linux.get("memoryPolicy")
    rlimits = ((each["type"], each["soft"], each["hard"]) for each in process.get("rlimits", ()))
    return {
        "limits": evolve(limits_of(linux.get("resources", {})), devices=device_limits(memo)),
        "shm_bytes": next(_sizes(spec), None),
        "oom_score_adj": process.get("oomScoreAdj"),
        "memory_policy": (policy["mode"], policy["nodes"], tuple(policy["flags"])) if policy else None,
        "rlimits": tuple(rlimits),
        "sysctls": dict(linux.get("sysctl", {})),
    }


def _sizes(spec: Spec) -> Iterator[int]:
    """Of its shared memory, if it has its own."""
    for mount in spec.get("mounts", ()):
        if mount["destination"] == _SHM and mount.get("type") == "tmpfs":
            words = (word.partition("=") for word in mount.get("options", ()))
            yield from (int(size) for name, _, size in words if name == "size" and size.isdecimal())


def _shared(spec: Spec, memo: Memo) -> dict[str, Any]:
    """Whose namespaces it has."""
    linux = spec.get("linux", {})
    own, joined = {each["type"] for each in linux.get("namespaces", ())}, dict(memo.joined)
    words = {"network": "none", "ipc": "private" if memo.ipc.startswith(JOIN) else memo.ipc}
    namespaces = {
        kind: f"{JOIN}{joined[kind]}"
        if kind in joined
        else words.get(kind, "private")
        if kind in own
        else "host"
        for kind in _KINDS
    }
    return {
        "namespaces": namespaces,
        "network": namespaces["network"],
        "uids": _ids(linux.get("uidMappings", ())),
        "gids": _ids(linux.get("gidMappings", ())),
    }


def _ids(mappings: Sequence[IDMapping]) -> tuple[tuple[int, int, int], ...]:
    return tuple((each["containerID"], each["hostID"], each["size"]) for each in mappings)


def _secured(spec: Spec) -> dict[str, Any]:
    process, linux = spec["process"], spec.get("linux", {})
    return {
        "read_only": bool(spec.get("root", {}).get("readonly", False)),
        "privileged": "maskedPaths" not in linux,
        "capabilities": tuple(process.get("capabilities", {}).get("bounding", ())),
        "no_new_privileges": bool(process.get("noNewPrivileges")),
        "apparmor": process.get("apparmorProfile"),
        "selinux": process.get("selinuxLabel"),
        "mount_label": linux.get("mountLabel"),
        "masked": tuple(linux.get("maskedPaths", ())),
        "read_only_paths": tuple(linux.get("readonlyPaths", ())),
    }


def _mounts(instance: Instance, spec: Spec) -> Iterator[MountInfo]:
    """Those that were asked for: not Docker's default ones, nor the files that the engine writes."""
    known = {mount.target: mount for mount in instance.memo.mounts}
    for mount in spec.get("mounts", ()):
        asked = known.get(mount["destination"])
        if asked is not None:
            yield _bind(instance, mount, asked)
        elif mount.get("type") == "tmpfs" and _is_asked_for(mount):
            options = tuple(mount.get("options", ()))
            yield MountInfo("tmpfs", mount["destination"], "", "ro" in options, options)
    for target, image, _ in instance.memo.images:
        yield MountInfo("image", target, image, read_only=True)


def _is_asked_for(mount: Mount) -> bool:
    """A default one is on /dev, or has a source of its own."""
    return mount["destination"] != "/dev" and mount.get("source") == "tmpfs"


def _bind(instance: Instance, mount: Mount, asked: Shared) -> MountInfo:
    is_volume = asked.kind == "volume"
    options = tuple(mount.get("options", ()))
    return MountInfo(
        asked.kind,
        asked.target,
        instance.core.volumes.path(asked.source) if is_volume else asked.source,
        "ro" in options,
        options,
        asked.source if is_volume else None,
        asked.subpath,
    )


def _written_at(path: str) -> datetime | None:
    """The shim writes its record when the program has started."""
    try:
        return datetime.fromtimestamp(os.stat(path).st_mtime, UTC)  # noqa: PTH116
    except FileNotFoundError:
        return None


def _plain(value: object) -> object:
    if isinstance(value, ExitStatus | LogOptions):
        return {name: _plain(getattr(value, name)) for name in value.__match_args__}
    if isinstance(value, datetime):
        return value.isoformat()
    return value.value if isinstance(value, Enum) else value
