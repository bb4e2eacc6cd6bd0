"""Whose a container's group is: handed to the container's own root, or found as an ordinary user's.

    owner = group_owner(spec, uid_mappings)          # a container that may divide its own group further
    if owner is not None: give_group(cgroup.v2_directory, owner)

    delegation = find_delegation()                   # rootless: None, and the container goes without limits

cgroup v2 alone: on v1 a group's owner could raise its own limits.

Spec: runtime-spec config-linux.md#cgroup-ownership; kernel admin-guide/cgroup-v2.rst#delegation
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Mapping, Sequence

from containerlib._sys.privilege import in_user_namespace
from containerlib.errors import StageError
from containerlib.runtime.cgroups.files import read_or
from containerlib.runtime.cgroups.layout import Layout
from containerlib.runtime.cgroups.path import own_groups
from containerlib.spec.values import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "Delegation",
    "delegated_files",
    "find_delegation",
    "give_group",
    "group_owner",
    "layout_of_caller",
]

_DELEGATE = "/sys/kernel/cgroup/delegate"
_ALWAYS = ("cgroup.procs", "cgroup.subtree_control", "cgroup.threads")


def group_owner(
    spec: Mapping[str, Any], uid_mappings: Sequence[Mapping[str, int]] | None = None
) -> int | None:
    """The host's uid of the user that the container's process runs as, where the group is to be that user's.

    That is: a user namespace, a cgroup namespace of its own, and a writable cgroup mount at /sys/fs/cgroup. None
    otherwise, and where the user is not mapped. `uid_mappings`: of a user namespace that is joined by path.
    """
    linux = spec.get("linux") or {}
    namespaces = {item.get("type"): item.get("path") for item in linux.get("namespaces") or ()}
    new_cgroup_namespace = "cgroup" in namespaces and not namespaces["cgroup"]
    if not new_cgroup_namespace or "user" not in namespaces or not _mounts_writable(spec.get("mounts") or ()):
        return None
    uid = ((spec.get("process") or {}).get("user") or {}).get("uid", 0)
    for mapping in uid_mappings if uid_mappings is not None else linux.get("uidMappings") or ():
        if mapping["containerID"] <= uid < mapping["containerID"] + mapping["size"]:
            return int(mapping["hostID"] + uid - mapping["containerID"])
    return None


def _mounts_writable(mounts: Sequence[Mapping[str, Any]]) -> bool:
    """The last mount at a place is the one that is seen."""
    writable = False
    for mount in mounts:
        if os.path.normpath(mount.get("destination", "")) == "/sys/fs/cgroup":
            is_cgroup = "cgroup" in (mount.get("source"), mount.get("type"))
            writable = is_cgroup and not {"ro", "rro"} & set(mount.get("options") or ())
    return writable


def delegated_files(text: str | None = None) -> tuple[str, ...]:
    """Names of the files that a delegated group's owner may write. `text`: of /sys/kernel/cgroup/delegate."""
    names = (read_or(_DELEGATE) if text is None else text).split()
    return tuple(name for name in names if "/" not in name) or _ALWAYS


def give_group(directory: str, uid: int, names: Sequence[str] | None = None) -> None:
    """Makes `uid` the owner of the v2 group `directory` and of those of its files that may be delegated, no others.

    Needs CAP_CHOWN. Raises: StageError.
    """
    try:
        os.chown(directory, uid, -1, follow_symlinks=False)
        for name in delegated_files() if names is None else names:
            with contextlib.suppress(FileNotFoundError):  # a controller that is not enabled here
                os.chown(f"{directory}/{name}", uid, -1, follow_symlinks=False)
    except OSError as error:
        raise StageError("cgroup", error.errno or 0, f"owner {uid} of {directory}") from error


@frozen
class Delegation:
    """A v2 group that this process may make groups in. `directory`: on the host; `path`: below the mount point.

    `occupied`: it holds processes itself, and so cannot hand controllers down: no limits in groups below it.
    """

    directory: str
    path: str
    controllers: tuple[str, ...]
    occupied: bool

    def layout(self) -> Layout:
        """One in which the delegated group is the root: a path of `ContainerCgroup` is below it."""
        return Layout({}, self.directory)


def find_delegation(layout: Layout | None = None, own: Mapping[str, str] | None = None) -> Delegation | None:
    """The caller's part of the tree: the group above its own where it may write there, else its own; or None.

    A process may be moved between two groups only by who may write the group above both, so a group elsewhere that
    happens to be writable is of no use.
    """
    layout = layout or Layout.host()
    group = (own_groups() if own is None else own).get("")
    if not layout.unified or group is None or ".." in group.split("/"):
        return None
    root = layout.roots.get(layout.unified, "/").rstrip("/")
    if not f"{group.rstrip('/')}/".startswith(f"{root}/"):
        return None
    own_path = group[len(root) :].rstrip("/")
    for path in dict.fromkeys((own_path.rpartition("/")[0], own_path)):
        directory = f"{layout.unified}{path}"
        if _is_ours(directory):
            controllers = tuple(read_or(f"{directory}/cgroup.controllers").split())
            occupied = bool(path and read_or(f"{directory}/cgroup.procs").strip())
            return Delegation(directory, path or "/", controllers, occupied)
    return None


@functools.cache
def layout_of_caller() -> tuple[Layout, bool]:
    """Where this process may make groups, and whether those of devices are among them: the host's, for its root.

    Else what is delegated to it, or nothing at all.
    """
    if not in_user_namespace():
        return Layout.host(), True
    delegation = find_delegation()
    return (Layout() if delegation is None or delegation.occupied else delegation.layout()), False


def _is_ours(directory: str) -> bool:
    files = ("", "cgroup.procs", "cgroup.subtree_control")
    return os.path.isdir(directory) and all(  # noqa: PTH112 - hot path
        os.access(f"{directory}/{name}", os.W_OK, effective_ids=True) for name in files
    )
