"""Where a container's groups are: `linux.cgroupsPath` to a place in each hierarchy.

    place = resolve(spec["linux"].get("cgroupsPath"), container_id)             # cgroupfs
    place = resolve("system.slice:docker:web", container_id, systemd=True)      # a scope unit
    cgroup = place.cgroup()
    json.dumps(place.document())                                                # the same place for a later command

An absolute path is below each hierarchy's mount point, which in a container is the container's own group. A relative
one is below the group that the caller is in; on v2 beside that group instead, because a group with processes of its
own cannot hand controllers down. No path at all is the container's id as a relative one. So does runc, and engines
count on it. No path leads outside: `..` is refused, and so is the mount point itself.

Spec: runtime-spec config-linux.md#cgroups-path; cgroups(7), cgroup_namespaces(7), systemd.slice(5)
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from containerlib.errors import InvalidArgument, Unsupported
from containerlib.runtime.cgroups.layout import Layout
from containerlib.spec.values import evolve, field, frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from containerlib.runtime.cgroups.cgroup import ContainerCgroup

__all__ = ["Place", "ScopeName", "expand_slice", "own_groups", "resolve", "scope_name"]

_FIELD = "linux.cgroupsPath"
_UNIT = re.compile(r"[A-Za-z0-9:_.\\@-]+")
"""The characters of a unit's name. Spec: systemd.unit(5)"""
_MAX_UNIT = 255
_PREFIX = "containerlib"


@frozen
class ScopeName:
    """A scope unit and the slice that it is in."""

    unit: str
    slice: str
    user: bool = False

    @property
    def path(self) -> str:
        """Below the group of its manager: /a.slice/a-b.slice/UNIT."""
        return f"{expand_slice(self.slice).rstrip('/')}/{self.unit}"


@frozen
class Place:
    """`path`: below the directory that `layout` has for each controller. `scope`: the unit that makes the group."""

    path: str
    layout: Layout = field(repr=False)
    scope: ScopeName | None = None

    def cgroup(self, annotations: Mapping[str, str] | None = None, **words: Any) -> ContainerCgroup:
        """The groups there, of which others may have made some (`words`: of `ContainerCgroup`). Does no I/O.

        `annotations` of the container: org.systemd.property.* are for its scope.
        """
        from containerlib.runtime.cgroups.cgroup import ContainerCgroup  # noqa: PLC0415 - it imports what this does

        if self.scope:
            from containerlib.runtime.cgroups.systemd import Scope  # noqa: PLC0415 - only where systemd is asked for
            from containerlib.runtime.cgroups.systemd_properties import annotated_properties  # noqa: PLC0415

            words["scope"] = Scope(self.scope, properties=annotated_properties(annotations or {}))
        return ContainerCgroup(self.path, self.layout, **{"adopt": True, **words})

    def document(self) -> dict[str, Any]:
        scope = self.scope and {"unit": self.scope.unit, "slice": self.scope.slice, "user": self.scope.user}
        layout = self.layout
        return {
            "path": self.path,
            "v1": dict(layout.v1),
            "v2": layout.v2,
            "systemd": layout.systemd,
            "scope": scope,
        }

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Place:
        scope = document.get("scope")
        layout = Layout(dict(document["v1"]), document["v2"], systemd=document.get("systemd"))
        return cls(document["path"], layout, ScopeName(**scope) if scope else None)


def resolve(
    cgroups_path: str | None,
    container_id: str,
    *,
    layout: Layout | None = None,
    own: Mapping[str, str] | None = None,
    systemd: bool = False,
    user: bool = False,
    manager_group: str = "",
) -> Place:
    """`own`: as `own_groups`. `user`: systemd's user manager, which is in `manager_group` (see `Manager`).

    Raises: InvalidArgument(field="linux.cgroupsPath"); Unsupported where the caller's own group is not to be seen.
    """
    layout = layout or Layout.host()
    if systemd:
        if user and not layout.unified:
            raise Unsupported(
                "cgroup v1 cannot be delegated to an ordinary user: systemd's user manager has no groups"
            )
        name = scope_name(cgroups_path, container_id, user=user)
        return Place(f"{manager_group.rstrip('/')}{name.path}", layout, name)
    path = cgroups_path or container_id
    parts = _parts(path)
    if path.startswith("/"):
        return Place(f"/{'/'.join(parts)}", layout)
    return Place(f"/{'/'.join(parts)}", _below_own(layout, own_groups() if own is None else own))


def own_groups(text: str | None = None) -> dict[str, str]:
    """The group of this process by controller, on v2 by "". `text`: of a /proc/PID/cgroup."""
    groups: dict[str, str] = {}
    if text is None:
        with open("/proc/self/cgroup", encoding="utf-8", errors="surrogateescape") as file:
            text = file.read()
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        for name in controllers.split(","):
            groups[name] = path
    return groups


def scope_name(cgroups_path: str | None, container_id: str, *, user: bool = False) -> ScopeName:
    """`slice:prefix:name` as a unit. Raises: InvalidArgument(field="linux.cgroupsPath")."""
    default = "user.slice" if user else "system.slice"
    parts = cgroups_path.split(":") if cgroups_path else ["", _PREFIX, container_id]
    if len(parts) != 3:
        raise InvalidArgument(
            f"{cgroups_path!r} is not slice:prefix:name, as systemd's cgroup driver wants it, e.g. "
            "system.slice:containerlib:web",
            field=_FIELD,
        )
    slice_name, prefix, name = parts
    unit = f"{prefix}-{name}.scope"
    if not name or name.endswith(".slice") or not _UNIT.fullmatch(unit) or len(unit) > _MAX_UNIT:
        raise InvalidArgument(f"{unit!r} is not the name of a scope unit", field=_FIELD)
    expand_slice(slice_name or default)
    return ScopeName(unit, slice_name or default, user)


def expand_slice(name: str) -> str:
    """a-b.slice is in a.slice: /a.slice/a-b.slice; -.slice is the root. Spec: systemd.slice(5)

    Raises: InvalidArgument(field="linux.cgroupsPath").
    """
    stem = name.removesuffix(".slice")
    if stem == "-" and name == "-.slice":
        return "/"
    parts = stem.split("-")
    if stem == name or not all(parts) or not _UNIT.fullmatch(stem) or len(name) > _MAX_UNIT:
        raise InvalidArgument(f"{name!r} is not the name of a slice, e.g. a-b.slice", field=_FIELD)
    return "".join(f"/{'-'.join(parts[: count + 1])}.slice" for count in range(len(parts)))


def _parts(path: str) -> list[str]:
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts or not parts or any(ord(character) < 0x20 for character in path):
        why = "leads out of its hierarchy" if ".." in parts else "is not a path below the root of a hierarchy"
        raise InvalidArgument(f"{path!r} {why}", field=_FIELD)
    long = next((part for part in parts if len(part.encode(errors="surrogateescape")) > 255), None)
    if long:
        raise InvalidArgument(f"{long!r} is longer than 255 bytes", field=_FIELD)
    return parts


def _below_own(layout: Layout, own: Mapping[str, str]) -> Layout:
    v1 = {name: _directory(mount, layout, own.get(name), name) for name, mount in layout.v1.items()}
    v2 = layout.v2
    if v2 and layout.unified:
        v2 = _directory(v2, layout, _beside(own.get("")), "")
    return evolve(layout, v1=v1, v2=v2, roots={})


def _beside(group: str | None) -> str | None:
    return None if group is None else group.rpartition("/")[0] or "/"


def _directory(mount: str, layout: Layout, group: str | None, name: str) -> str:
    """The directory of `group` (of /proc/PID/cgroup, from the hierarchy's root) below `mount`."""
    root = layout.roots.get(mount, "/").rstrip("/")
    if group is None or ".." in group.split("/") or ".." in root.split("/"):
        below = None
    elif f"{group.rstrip('/')}/".startswith(f"{root}/"):
        below = group[len(root) :].rstrip("/")
    else:
        below = None
    if below is None:
        raise Unsupported(
            f"a relative cgroupsPath is below the group of this process, and {mount} does not show that "
            f"({name or 'cgroup v2'}: {group}); use an absolute one"
        )
    return f"{mount}{below}"
