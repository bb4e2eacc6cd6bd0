"""Which control groups a container has, by its configuration and by its record."""

from __future__ import annotations

from containerlib.errors import Unsupported
from containerlib.runtime.cgroups.path import Place, resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, NoReturn

    from containerlib.runtime.cgroups.cgroup import ContainerCgroup
    from containerlib.runtime.containers.containers import Container
    from containerlib.runtime.containers.record import Record
    from containerlib.spec.runtime import Spec

__all__ = [
    "cgroup_of",
    "freezer_file",
    "make_groups",
    "needed",
    "place",
    "place_of",
    "resources_of",
    "with_default_devices",
]

_DEVICES = (
    ("c", None, None, "m"),
    ("b", None, None, "m"),
    ("c", 1, 3, "rwm"),  # null
    ("c", 1, 5, "rwm"),  # zero
    ("c", 1, 7, "rwm"),  # full
    ("c", 1, 8, "rwm"),  # random
    ("c", 1, 9, "rwm"),  # urandom
    ("c", 5, 0, "rwm"),  # tty
    ("c", 5, 1, "rwm"),  # console
    ("c", 5, 2, "rwm"),  # ptmx
    ("c", 10, 200, "rwm"),  # net/tun
    ("c", 136, None, "rwm"),  # pts/*
)


def place_of(
    spec: Spec,
    container_id: str,
    *,
    systemd: bool,
    rootless: bool,
    warn: Callable[[str], None],
    groups: bool = True,
) -> dict[str, Any] | None:
    """Where the groups will be, as it is written down; None where the caller cannot have any, or wants none (`groups`).

    Raises: InvalidArgument, Unsupported. Spec: config-linux.md#cgroups-path
    """
    if not groups:
        _warn_of_limits(spec, warn)
        return None
    if rootless and not systemd:
        from containerlib.runtime.containers.rootless import delegated_place

        place = delegated_place(spec, container_id, warn)
        return None if place is None else place.document()
    path = spec.get("linux", {}).get("cgroupsPath")
    return resolve(path, container_id, systemd=systemd, user=rootless).document()


def _warn_of_limits(spec: Spec, warn: Callable[[str], None]) -> None:
    """Tells `warn` what a container goes without that has no control groups."""
    limits = sorted(name for name, value in (spec.get("linux", {}).get("resources") or {}).items() if value)
    if limits:
        warn(
            f"this container has no control groups, and no limits of resources.{', resources.'.join(limits)}"
        )


def cgroup_of(record: Record) -> ContainerCgroup | None:
    """The groups of a container; None for one that was made without."""
    if record.cgroup is None:
        return None
    # in every hierarchy of v1: engines ask the kernel for the figures of a container by its first process's groups
    cgroup = Place.of(record.cgroup).cgroup(every=True, enforce_devices=not record.rootless)
    cgroup.adopted = tuple(record.adopted)
    return cgroup


def needed(container: Container) -> ContainerCgroup:
    """Raises: Unsupported where there are none."""
    cgroup = container.cgroup()
    return cgroup or _refuse(container)


def place(container: Container) -> Place:
    """Where its groups are. Raises: Unsupported where there are none."""
    record = container.record
    return Place.of(record.cgroup) if record.cgroup is not None else _refuse(container)


def _refuse(container: Container) -> NoReturn:
    raise Unsupported(f"{container.subject} was made without control groups: this cannot be done")


def make_groups(cgroup: ContainerCgroup, spec: Spec) -> None:
    """Makes them with their limits, and gives them to the container's root where it may divide them further.

    Raises: as `create` of ContainerCgroup.
    """
    from containerlib.runtime.cgroups.owner import give_group, group_owner

    cgroup.create(resources_of(spec))
    owner = group_owner(spec) if cgroup.v2_directory is not None else None
    if owner is not None and cgroup.v2_directory is not None:
        give_group(cgroup.v2_directory, owner)


def resources_of(spec: Spec) -> dict[str, Any]:
    """`linux.resources`, with the devices that every container may use."""
    return with_default_devices(spec.get("linux", {}).get("resources") or {})


def with_default_devices(resources: Mapping[str, Any]) -> dict[str, Any]:
    """Engines write "deny all" and count on it. Without rules nothing is denied, and none are added.

    Spec: config-linux.md#default-devices
    """
    rules = resources.get("devices")
    if not rules:
        return dict(resources)
    return {**resources, "devices": [*rules, *(_allowed(*device) for device in _DEVICES)]}


def _allowed(kind: str, major: int | None, minor: int | None, access: str) -> dict[str, Any]:
    numbers = {name: number for name, number in (("major", major), ("minor", minor)) if number is not None}
    return {"allow": True, "type": kind, **numbers, "access": access}


def freezer_file(place: Mapping[str, Any]) -> str | None:
    """The file that says whether the processes of the groups at `place` are frozen; None where they cannot be."""
    if not place["v1"]:
        return f"{place['v2']}{place['path']}/cgroup.freeze" if place["v2"] else None
    mount = place["v1"].get("freezer")
    return f"{mount}{place['path']}/freezer.state" if mount else None
