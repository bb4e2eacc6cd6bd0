"""What a container is asked to be, as pure values: the common tongue of recipes (fluent), bundles and the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from attrs import fields, frozen

from containerlib.spec.lifetime import NO_RESTART, CheckpointOption, HealthOption, RestartOption
from containerlib.spec.log import ALL_IN_ONE, LogOptions
from containerlib.spec.secret import Secret

if TYPE_CHECKING:
    from socket import socket as Socket  # noqa: N812 - a word of the recipe is called so

__all__ = [
    "COMPRESSIONS",
    "JOIN",
    "MANIFEST_FORMATS",
    "SNAPSHOTTERS",
    "Compression",
    "ContainerOptions",
    "DeviceLimit",
    "DeviceOption",
    "Limits",
    "ManifestFormat",
    "MountOption",
    "NetworkOption",
    "PortOption",
    "Recursion",
    "SnapshotterName",
    "UserNamespace",
    "VolumeOption",
]

Compression = Literal["gzip", "zstd", "none"]
"""How a layer is written."""
COMPRESSIONS: tuple[Compression, ...] = ("gzip", "zstd", "none")
ManifestFormat = Literal["oci", "docker"]
"""In whose words a manifest is written."""
MANIFEST_FORMATS: tuple[ManifestFormat, ...] = ("oci", "docker")
SnapshotterName = Literal["auto", "erofs", "overlay", "fuse-overlayfs", "copy"]
"""How layers are kept, and stacked for a container."""
SNAPSHOTTERS: tuple[SnapshotterName, ...] = ("auto", "erofs", "overlay", "fuse-overlayfs", "copy")


JOIN = "container:"
"""Begins the word of a namespace that is another container's, whose name or id follows."""
Recursion = bool | Literal["writable", "readonly"]
"""Whether a bind shows the mounts below its source; "writable": these stay so; "readonly": these must be so too."""


class _Given:
    """Shows what was given, and not the fifty words that were not."""

    __slots__ = ()
    __attrs_attrs__: ClassVar[Any]

    def __repr__(self) -> str:
        values = ((each.name, getattr(self, each.name), each.default) for each in fields(type(self)))
        given = ", ".join(f"{name}={value!r}" for name, value, default in values if value != default)
        return f"{type(self).__name__}({given})"


@frozen(repr=False)
class VolumeOption(_Given):
    """How a volume is made that is not there."""

    driver: str = "local"
    options: tuple[tuple[str, str], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()


@frozen(repr=False)
class MountOption(_Given):
    """One mount beyond the default ones.

    `kind` "bind": `source` is an absolute host path; "tmpfs": no source, `size_bytes` bounds it; "volume": `source` is
    the volume's name, which the engine turns into a bind of its directory, and "" is a new one of this container's;
    "image": `source` is an image's reference or id, whose files are shown.
    """

    kind: Literal["bind", "tmpfs", "volume", "image"]
    target: str
    source: str = ""
    read_only: bool = False
    size_bytes: int | None = None
    options: tuple[str, ...] = ()
    propagation: str = "rprivate"
    recursive: Recursion = True
    id_map: tuple[tuple[int, int, int], ...] | None = None
    """(id in the source, id on the host that it becomes, how many); empty: as the container's user namespace."""
    subpath: str = ""
    """What of a volume is shown."""
    copy: bool = True
    """An empty volume gets what the image has at `target`."""
    volume: VolumeOption = VolumeOption()


@frozen
class DeviceOption:
    """A device node of the host, or a directory with such."""

    path: str
    target: str
    access: str = "rwm"


@frozen(repr=False)
class DeviceLimit(_Given):
    """How much a container may read and write on the block device at the host's `path`. None: no ceiling."""

    path: str
    weight: int | None = None
    """Its share of the device, from 10 to 1000, where others want it too."""
    read_bps: int | None = None
    write_bps: int | None = None
    read_iops: int | None = None
    write_iops: int | None = None


@frozen(repr=False)
class Limits(_Given):
    """What the container may use. None: no ceiling, and the kernel's default share."""

    memory_bytes: int | None = None
    swap_bytes: int | None = None
    """Swap on top of memory, as cgroup v2 counts it; -1: as much as there is."""
    cpus: float | None = None
    pids: int | None = None
    memory_reservation_bytes: int | None = None
    """What is left to it when memory runs short on the host."""
    swappiness: int | None = None
    oom_kill_disable: bool = False
    cpu_shares: int | None = None
    """Its weight against other containers, where the kernel's own is 1024."""
    cpu_quota: int | None = None
    """Microseconds in each `cpu_period`; -1: no ceiling."""
    cpu_period: int | None = None
    cpu_rt_runtime: int | None = None
    cpu_rt_period: int | None = None
    cpuset: str = ""
    """Processors by number, e.g. `"0-3,7"`."""
    mems: str = ""
    """Memory nodes by number, likewise."""
    blkio_weight: int | None = None
    devices: tuple[DeviceLimit, ...] = ()
    hugepages: tuple[tuple[str, int], ...] = ()
    """(page size such as `"2MB"`, bytes)"""
    unified: tuple[tuple[str, str], ...] = ()
    """Files of cgroup v2 and what is written to them."""


@frozen(repr=False)
class UserNamespace(_Given):
    """Whose ids a container has.

    `kind` "host": the host's; "auto": a range of `size` ids of its own; "keep-id": a namespace in which they are the
    host's; "maps": those of `uids` and `gids`, each (first id in the container, on the host, how many); or
    `"container:ID"`.
    """

    kind: Literal["host", "auto", "keep-id", "maps"] | str = "host"
    size: int = 65_536
    uids: tuple[tuple[int, int, int], ...] = ()
    gids: tuple[tuple[int, int, int], ...] = ()


@frozen(repr=False)
class NetworkOption(_Given):
    """A network that a container is on, by its name or id. `aliases`: names of the container on it, beside its own."""

    network: str
    aliases: tuple[str, ...] = ()
    address: str | None = None
    address6: str | None = None
    mac: str | None = None


@frozen(repr=False)
class PortOption(_Given):
    """A published port. `host_port` 0: whichever is free. `host_address` None: every address of the host.

    `host_last`: whichever is free of those from `host_port` to it. `socket`: what the caller has bound to it; such a
    value does not pickle.
    """

    port: int
    protocol: Literal["tcp", "udp", "sctp"] = "tcp"
    host_port: int = 0
    host_address: str | None = None
    socket: Socket | None = None
    host_last: int | None = None


@frozen(repr=False)
class ContainerOptions(_Given):
    """Every word of a container recipe but its image. None or empty: the image's value, else Docker's default."""

    name: str | None = None
    command: tuple[str, ...] | None = None
    """Replaces the image's Cmd."""
    entrypoint: tuple[str, ...] | None = None
    """Replaces the image's Entrypoint, and drops its Cmd, as with docker."""
    env: tuple[tuple[str, str], ...] = ()
    workdir: str | None = None
    user: str | None = None
    """`"name"`, `"uid"`, `"user:group"`, in any mix, resolved in the image's own /etc/passwd and /etc/group."""
    hostname: str | None = None
    domainname: str | None = None
    labels: tuple[tuple[str, str], ...] = ()
    label_files: tuple[str, ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()
    hosts: tuple[tuple[str, str], ...] = ()
    """(name, address) for /etc/hosts"""
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    env_files: tuple[str, ...] = ()
    group_add: tuple[str, ...] = ()
    """Supplementary groups by name or number, beside those of the user."""
    secrets: tuple[Secret, ...] = ()
    init: bool = False
    """Its first process hands signals on and reaps, and the program is that one's child."""
    umask: int | None = None
    timezone: str | None = None
    """A name of the host's zoneinfo, or "local": the host's own."""
    personality: str | None = None
    """The runtime-spec's domain: LINUX or LINUX32."""
    tty: bool = False
    stdin: bool = False
    read_only: bool = False
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    privileged: bool = False
    devices: tuple[DeviceOption, ...] = ()
    device_rules: tuple[tuple[str, int | None, int | None, str], ...] = ()
    """(a, b or c; major; minor; of "rwm") beyond the devices; None: any number"""
    cdi: tuple[str, ...] = ()
    """Devices by their qualified names, `"vendor/class=name"`."""
    cdi_directories: tuple[str, ...] = ("/etc/cdi", "/var/run/cdi")
    """Where their specifications are; what is in a later one counts more."""
    gpus: int | None = None
    """How many of NVIDIA's, by CDI; -1: all."""
    network: Literal["none", "host"] | str = "none"
    """"none", "host", or `"container:ID"`, as for the namespaces below."""
    networks: tuple[NetworkOption, ...] = ()
    """What its own network namespace is connected to, beside loopback."""
    ports: tuple[PortOption, ...] = ()
    pid: Literal["private", "host"] | str = "private"
    ipc: Literal["private", "host", "none", "shareable"] | str = "private"
    uts: Literal["private", "host"] | str = "private"
    cgroupns: Literal["private", "host"] = "private"
    mounts: tuple[MountOption, ...] = ()
    volumes_from: tuple[tuple[str, bool], ...] = ()
    """(container's name or id, whether read-only)"""
    limits: Limits = Limits()
    shm_bytes: int | None = None
    """The size of /dev/shm; None: Docker's 64 MiB."""
    oom_score_adj: int | None = None
    memory_policy: tuple[str, str, tuple[str, ...]] | None = None
    """(MPOL_* mode, nodes such as `"0-1"`, MPOL_F_* flags)"""
    sysctls: tuple[tuple[str, str], ...] = ()
    rlimits: tuple[tuple[str, int, int], ...] = ()
    """(RLIMIT_* name, soft, hard)"""
    seccomp: Literal["default", "unconfined"] | str = "default"
    """"default", "unconfined", or the JSON text of a profile in Docker's or the runtime-spec's form."""
    seccomp_file: str | None = None
    """A file that has such a profile."""
    no_new_privileges: bool = False
    apparmor: str | None = None
    selinux: str | None = None
    """The label of its processes."""
    mount_label: str | None = None
    """SELinux's of its files."""
    masked: tuple[str, ...] = ()
    """Paths that it cannot see, beyond the default ones."""
    unmasked: tuple[str, ...] = ()
    """Default paths that it can see and write after all; "ALL": each."""
    userns: UserNamespace = UserNamespace()
    stop_signal: str | None = None
    stop_timeout: float | None = None
    log: LogOptions = ALL_IN_ONE
    restart: RestartOption = NO_RESTART
    checkpoints: CheckpointOption | None = None
    health: HealthOption | None = None
    """One without a check: none, whatever the image says."""

    @property
    def joined(self) -> tuple[tuple[str, str], ...]:
        """(the runtime-spec's kind of namespace, the container that it is of) for each that is another container's."""
        chosen = (
            ("user", self.userns.kind),
            ("network", self.network),
            ("pid", self.pid),
            ("ipc", self.ipc),
            ("uts", self.uts),
        )
        return tuple((kind, word.removeprefix(JOIN)) for kind, word in chosen if word.startswith(JOIN))
