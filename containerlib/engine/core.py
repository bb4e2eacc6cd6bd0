"""The state that every use case works on: one directory, its database and the stores over it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from containerlib._sys.privilege import in_user_namespace
from containerlib.engine.layer_mounts import LayerMounts
from containerlib.engine.mountpoints import ensure_mountpoints
from containerlib.engine.owner import Owner, this_process
from containerlib.errors import StageError
from containerlib.images import ImageStore
from containerlib.networking.names import NameFiles
from containerlib.networking.netlink import FilterSockets, KeptNetlink, Netlink
from containerlib.runtime import NATIVE, Driver, find_driver
from containerlib.runtime.cgroups.cgroup import ContainerCgroup, remove_if_empty
from containerlib.runtime.cgroups.owner import layout_of_caller
from containerlib.store import Store
from containerlib.volumes import VolumeStore

if TYPE_CHECKING:
    from containerlib.engine.instance import Instance
    from containerlib.engine.network_drivers import AnyNetwork
    from containerlib.spec.options import SnapshotterName

__all__ = ["Core", "default_root"]


_CGROUP_PARENT = "/containerlib"


class Core:
    """An open state directory. Safe to use from many threads; other processes may have it open too.

    `owned` are the containers that were started with this object and are to end with it. After a fork the child may go
    on with its copy: the database opens again by itself, and `owner` is the child.

    `driver` makes the containers that are new; one that is there keeps its own. `snapshotter`, likewise, makes the
    layers of the images that come.

    Raises: StageError(stage="state") where the directory cannot be made or written; NotFound and Unsupported for a
    driver that is not installed.
    """

    def __init__(self, root: str, driver: str = NATIVE, snapshotter: SnapshotterName = "auto") -> None:
        self.driver: Driver = find_driver(driver)
        self.root = root
        self.containers = f"{root}/containers"
        self.seccomp_cache = f"{root}/seccomp"
        self.mountpoints = f"{root}/mountpoints"
        _make_state(root, self.containers, self.seccomp_cache, mountpoints=self.mountpoints)
        self.store = Store(Path(root))
        self.images = ImageStore(Path(root), self.store, snapshotter=snapshotter)
        self.volumes = VolumeStore(Path(root), self.store)
        # Several roots share the host's one cgroup tree: the tag keeps the prune of one away from the others.
        self.cgroup_tag = hashlib.sha256(os.path.realpath(root).encode()).hexdigest()[:8]
        self.filter = KeptNetlink(Netlink.NETFILTER)
        self.filter_sockets = FilterSockets()
        self.names = NameFiles(f"{root}/networks")
        self.networks: dict[str, AnyNetwork] = {}
        self.namespaces = f"{root}/netns"
        self.layer_mounts = LayerMounts()
        self.owned: dict[str, Instance] = {}

    @property
    def owner(self) -> Owner:
        """The process whose end ends the containers that are started now."""
        return this_process()

    def directory(self, container_id: str) -> str:
        """Where all that a container has on disk is."""
        return f"{self.containers}/{container_id}"

    def cgroup_path(self, container_id: str) -> str:
        """The container's cgroup below the mount of each hierarchy."""
        return f"{_CGROUP_PARENT}/{self.cgroup_tag}-{container_id}"

    def cgroup(self, container_id: str, *, every: bool = False) -> ContainerCgroup:
        """The container's control groups: none, where this process may make none."""
        layout, devices = layout_of_caller()
        return ContainerCgroup(self.cgroup_path(container_id), layout, every=every, enforce_devices=devices)

    def close(self) -> None:
        """Lets go of the database, and of what is mounted for the next containers. Containers stay as they are."""
        self.layer_mounts.close()
        self.filter.close()
        self.filter_sockets.close()
        remove_if_empty(_CGROUP_PARENT, layout_of_caller()[0])
        self.store.close()


def default_root() -> str:
    """`/var/lib/containerlib` for the host's root, `$XDG_DATA_HOME/containerlib` for everybody else."""
    if os.geteuid() == 0 and not in_user_namespace():
        return "/var/lib/containerlib"
    data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")  # noqa: PTH111
    return f"{data}/containerlib"


def _make_state(root: str, *directories: str, mountpoints: str) -> None:
    try:
        for directory in (root, *directories):
            os.makedirs(directory, mode=0o700, exist_ok=True)  # noqa: PTH103
        ensure_mountpoints(mountpoints)
    except OSError as error:
        raise StageError(
            "state",
            error.errno or 0,
            str(error.filename or root),
            advice="choose another place with Engine(root=...)",
        ) from error
