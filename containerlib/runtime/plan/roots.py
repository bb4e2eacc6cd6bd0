"""Where a container's root comes from. All kinds are mounted in its own mount namespace only, never on the host."""

from __future__ import annotations

from containerlib.spec.layer import Layer
from containerlib.spec.values import frozen

__all__ = ["BindRoot", "FuseRoot", "OverlayRoot", "Root", "shared_mounts"]


@frozen
class OverlayRoot:
    """`lowers` top first; a path is a directory. `upper` and `work` None: what is written lives on a tmpfs and dies
    with the container."""

    lowers: tuple[str | Layer, ...]
    upper: str | None
    work: str | None
    classic: bool = False
    """Mounted by mount(2), as before Linux 6.7; 100 layers or so then, not 500."""
    mapped: bool = False
    """The ids of the lowers are those of the container's user namespace, by id-mapped mounts: an image as it was
    unpacked, none of whose files is anybody else's. `upper` has the ids of the host. Linux 5.19, and root."""
    volatile: bool = False
    """What is written is never synced: at the end of another overlay the kernel syncs all of the file system that
    `upper` is on. It cannot be mounted a second time."""
    mounts: tuple[int, ...] = ()
    """Descriptors of mounts, attached nowhere, of those lowers that are files, in their order; borrowed. Linux 6.15.
    Without them the container mounts the files itself, and shares with nobody what it reads of them."""

    @property
    def pairs(self) -> tuple[str, ...]:
        """File system and path of each of the lowers, one after the other; "" for a directory."""
        return tuple(
            part
            for lower in self.lowers
            for part in (("", lower) if isinstance(lower, str) else (lower.fstype, lower.path))
        )

    @property
    def userxattr(self) -> bool:
        """Whether the lowers have "user.overlay." attributes."""
        return any(isinstance(lower, Layer) and lower.kind == "overlay-userxattr" for lower in self.lowers)

    @property
    def by_loop(self) -> bool:
        """Whether loop devices are made for some of the lowers: a container may open none, its shim may."""
        return any(isinstance(lower, Layer) and lower.kind == "erofs-loop" for lower in self.lowers)

    @property
    def has_files(self) -> bool:
        """Whether some of the lowers are files, which only the host's root can mount."""
        return any(isinstance(lower, Layer) and lower.fstype for lower in self.lowers)


Ids = tuple[tuple[int, int, int], ...]
"""(first id in the container, on the host, how many)"""


@frozen
class FuseRoot:
    """Directories, top first, that a program stacks: fuse-overlayfs, for kernels that will not.

    `program` is its absolute path. It runs on the host for as long as the container does.
    """

    lowers: tuple[str, ...]
    upper: str
    work: str
    program: str
    uids: Ids = ()
    gids: Ids = ()
    """Of the container's user namespace; on disk files have its own ids, and the mount those of the host."""


@frozen
class BindRoot:
    """A directory that is the root as it is, as runtimes use a bundle's rootfs."""

    path: str
    closed: bool = False
    """The root of the container's user namespace cannot pass to it: its shim opens it."""


Root = OverlayRoot | FuseRoot | BindRoot


def shared_mounts(root: Root) -> tuple[int, ...]:
    """Descriptors, as of `OverlayRoot.mounts`; of other kinds there are none."""
    return root.mounts if isinstance(root, OverlayRoot) else ()
