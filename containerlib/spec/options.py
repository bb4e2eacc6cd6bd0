"""What a container is asked to be, as pure values: the common tongue of recipes (fluent), bundles and the engine."""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen

from containerlib.spec.log import ALL_IN_ONE, LogOptions

__all__ = [
    "COMPRESSIONS",
    "MANIFEST_FORMATS",
    "SNAPSHOTTERS",
    "Compression",
    "ContainerOptions",
    "Limits",
    "ManifestFormat",
    "MountOption",
    "SnapshotterName",
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


@frozen
class MountOption:
    """One mount beyond the default ones.

    `kind` "bind": `source` is an absolute host path; "tmpfs": no source, `size_bytes` bounds it; "volume": `source` is
    the volume's name, which the engine turns into a bind of its directory.
    """

    kind: Literal["bind", "tmpfs", "volume"]
    target: str
    source: str = ""
    read_only: bool = False
    size_bytes: int | None = None
    options: tuple[str, ...] = ()


@frozen
class Limits:
    """Ceilings on what the container may use. None: no ceiling."""

    memory_bytes: int | None = None
    swap_bytes: int | None = None
    """Swap on top of memory, as cgroup v2 counts it."""
    cpus: float | None = None
    pids: int | None = None


@frozen
class ContainerOptions:
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
    labels: tuple[tuple[str, str], ...] = ()
    tty: bool = False
    stdin: bool = False
    read_only: bool = False
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    privileged: bool = False
    network: Literal["none", "host"] = "none"
    mounts: tuple[MountOption, ...] = ()
    limits: Limits = field(factory=Limits)
    sysctls: tuple[tuple[str, str], ...] = ()
    rlimits: tuple[tuple[str, int, int], ...] = ()
    """(RLIMIT_* name, soft, hard)"""
    seccomp: Literal["default", "unconfined"] | str = "default"
    """"default", "unconfined", or the JSON text of a profile in Docker's or the runtime-spec's form."""
    no_new_privileges: bool = False
    stop_signal: str | None = None
    stop_timeout: float | None = None
    log: LogOptions = ALL_IN_ONE
