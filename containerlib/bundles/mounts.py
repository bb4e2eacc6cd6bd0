"""The mounts of a container: Docker's default ones, the engine's files, and those that were asked for.

Spec: runtime-spec config.md#mounts
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from containerlib.errors import InvalidArgument, Unsupported
from containerlib.runtime.plan.mounts import PROC_FILES
from containerlib.spec.options import JOIN, ContainerOptions, MountOption
from containerlib.spec.runtime import IDMapping, Mount, Spec

__all__ = ["check_target", "mounts_of", "with_secrets"]

_RECURSIVE_READ_ONLY = (5, 12)
"""mount_setattr(2), which a read-only bind needs to cover the mounts below its source too."""
_SAFE = ("nosuid", "noexec", "nodev")
_SHM = "/dev/shm"  # noqa: S108 - a path in the container

_DEFAULT: tuple[Mount, ...] = (
    {"destination": "/proc", "type": "proc", "source": "proc", "options": [*_SAFE]},
    {
        "destination": "/dev",
        "type": "tmpfs",
        "source": "tmpfs",
        "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
    },
    {
        "destination": "/dev/pts",
        "type": "devpts",
        "source": "devpts",
        "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
    },
    {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*_SAFE, "ro"]},
    {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro", *_SAFE]},
    {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": [*_SAFE]},
    {
        "destination": _SHM,
        "type": "tmpfs",
        "source": "shm",
        "options": [*_SAFE, "mode=1777", "size=67108864"],
    },
)


def mounts_of(options: ContainerOptions, extra: Sequence[Mount], kernel: tuple[int, int]) -> list[Mount]:
    """All mounts, in the order in which they are to be made.

    A mount that was asked for takes the place of a default one with the same destination, and one on /dev
    of all that lie below it. Default mounts come first, then `extra`, then the others, parents before
    children.

    Raises: InvalidArgument(field="mounts").
    """
    defaults: Iterable[Mount] = _writable(_DEFAULT) if options.privileged else _DEFAULT
    if options.ipc in ("host", "none") or options.ipc.startswith(JOIN):
        shared = [] if options.ipc == "none" else [_shared_memory(options.ipc)]
        defaults = [*(mount for mount in defaults if mount["destination"] != _SHM), *shared]
    if options.shm_bytes is not None:
        defaults = [_sized(mount, options.shm_bytes) for mount in defaults]
    if not options.mounts:
        return [*defaults, *extra]
    asked = [_mount(option, kernel) for option in options.mounts]
    targets = [mount["destination"] for mount in asked]
    if len(set(targets)) < len(targets):
        twice = next(target for target in targets if targets.count(target) > 1)
        raise InvalidArgument(f"two mounts on {twice}", field="mounts")
    hidden = set(targets)
    kept = [m for m in (*defaults, *extra) if not _is_hidden(m["destination"], hidden)]
    return [*kept, *sorted(asked, key=lambda mount: mount["destination"].count("/"))]


def with_secrets(spec: Spec, sources: Mapping[str, str]) -> Spec:
    """`spec` with a bind of each of the secrets' `sources` on its place, above all other mounts.

    Raises: InvalidArgument where something else is mounted on one of these places.
    """
    taken = sources.keys() & {mount["destination"] for mount in spec["mounts"]}
    if taken:
        raise InvalidArgument(f"{min(taken)} has a mount, and a secret is to be there", field="secret")
    options = ["bind", "rprivate", "ro", *_SAFE]
    own: list[Mount] = [
        {"destination": place, "type": "bind", "source": source, "options": options}
        for place, source in sources.items()
    ]
    return {**spec, "mounts": [*spec["mounts"], *own]}


def check_target(target: str, *, field: str) -> str:
    """`target`, normalised, where a mount may be asked for.

    Raises: InvalidArgument for a relative path, the root, and /proc and what is below it: who writes to a false
    /proc/self/attr/exec has the container's confinement lifted (CVE-2019-16884).
    """
    normal = "/" + posixpath.normpath(target).lstrip("/")
    if not target.startswith("/") or normal == "/" or "\0" in target:
        raise InvalidArgument(
            f"{target!r} is not a place for a mount: it is absolute, not the root, and without NUL bytes",
            field=field,
        )
    if (normal == "/proc" or normal.startswith("/proc/")) and normal not in PROC_FILES:
        raise InvalidArgument(
            f"{target!r} is not a place for a mount: /proc and what is below it are the container's own",
            field=field,
        )
    return normal


def _is_hidden(destination: str, targets: set[str]) -> bool:
    return destination in targets or ("/dev" in targets and destination.startswith("/dev/"))


def _shared_memory(word: str) -> Mount:
    """Of the host, or of another container: that one's word is in place of a path, which is known at the start."""
    source = _SHM if word == "host" else word
    options = ["rbind", "rprivate", "rw", *_SAFE]
    return {"destination": _SHM, "type": "bind", "source": source, "options": options}


def _sized(mount: Mount, size_bytes: int) -> Mount:
    """The shared memory's mount with another size; any other as it is."""
    if mount["destination"] != _SHM:
        return mount
    return {
        **mount,
        "options": [*(o for o in mount["options"] if not o.startswith("size=")), f"size={size_bytes}"],
    }


def _writable(mounts: Iterable[Mount]) -> list[Mount]:
    return [{**mount, "options": [o for o in mount["options"] if o != "ro"]} for mount in mounts]


def _mount(option: MountOption, kernel: tuple[int, int]) -> Mount:
    target = check_target(option.target, field="mounts")
    if option.kind == "tmpfs":
        return {"destination": target, "type": "tmpfs", "source": "tmpfs", "options": _tmpfs_options(option)}
    if not option.source.startswith("/"):
        raise InvalidArgument(
            f"{option.source!r}: the source of a bind is an absolute host path", field="mounts"
        )
    recursive = "bind" if option.recursive is False else "rbind"
    options = [recursive, option.propagation, *_access(option, kernel), *option.options]
    mount: Mount = {"destination": target, "type": "bind", "source": option.source, "options": options}
    if option.id_map is not None:
        options.append("idmap")
        if option.id_map:
            ids = [
                {"containerID": first, "hostID": host, "size": size} for first, host, size in option.id_map
            ]
            mount = {
                **mount,
                "uidMappings": cast(list[IDMapping], ids),
                "gidMappings": cast(list[IDMapping], ids),
            }
    return mount


def _access(option: MountOption, kernel: tuple[int, int]) -> tuple[str, ...]:
    if not option.read_only:
        return ()  # not "rw", which would make writable what the host has mounted read-only
    able = kernel >= _RECURSIVE_READ_ONLY
    if option.recursive == "readonly" and not able:
        raise Unsupported(
            f"a bind whose mounts below are read-only too takes Linux 5.12, for {option.target}"
        )
    return ("ro", "rro") if able and option.recursive in (True, "readonly") else ("ro",)


def _tmpfs_options(option: MountOption) -> list[str]:
    options = [*_SAFE, "ro" if option.read_only else "rw"]
    if option.size_bytes is not None:
        options.append(f"size={option.size_bytes}")
    return [*options, *option.options]
