"""Which snapshotter can work here, and which of them is the best.

auto:  erofs           the kernel mounts EROFS files, for root: one file a layer, nothing unpacked
       overlay         the kernel has overlayfs, and the state directory can hold what a container writes
       fuse-overlayfs  the same by a program, where the kernel will not
       copy            always, and slow: each container has a copy of all its image's files
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Protocol

from attrs import field, frozen

from containerlib._sys import filesystem
from containerlib._sys.privilege import in_user_namespace
from containerlib._sys.trees import remove_tree
from containerlib.errors import Error, NotFound, Unsupported
from containerlib.images.snapshots.copies import CopySnapshotter
from containerlib.images.snapshots.directories import DirectorySnapshotter
from containerlib.images.snapshots.erofs import ErofsSnapshotter
from containerlib.images.snapshots.snapshotter import Snapshotter
from containerlib.spec.options import SNAPSHOTTERS, SnapshotterName

if TYPE_CHECKING:
    from containerlib.spec.layer import LayerKind

__all__ = ["Ground", "find_snapshotter", "fuse_overlayfs", "name_of", "snapshotter_of"]

_FUSE = "fuse-overlayfs"
_BY_KIND: dict[LayerKind, Snapshotter] = {
    "overlay": DirectorySnapshotter("overlay"),
    "overlay-userxattr": DirectorySnapshotter("overlay-userxattr", ".userxattr"),
    "erofs": ErofsSnapshotter("erofs", ".erofs"),
    "erofs-loop": ErofsSnapshotter("erofs-loop", ".loop"),
    "fuse-overlayfs": DirectorySnapshotter("fuse-overlayfs", ".fuse"),
    "copy": CopySnapshotter(),
}
_NO_UPPER = frozenset(
    {"overlay", "aufs", "ecryptfs", "nfs", "nfs4", "cifs", "smb3", "9p", "vfat", "exfat", "fuse"}
)
"""File systems on which overlayfs cannot write, or not rightly."""


def fuse_overlayfs() -> str:
    """Where the program is. Raises: NotFound."""
    path = _program()
    if path is None:
        raise NotFound("the program fuse-overlayfs is not on PATH: apt-get install fuse-overlayfs")
    return os.path.abspath(path)


def _program() -> str | None:
    return shutil.which(_FUSE)


def _lacks_files(place: str, *, loop: bool) -> str | None:
    """Why no EROFS file can be mounted, by an empty one at `place`; None where one can."""
    from containerlib._sys.erofs import ErofsWriter, mount_erofs  # noqa: PLC0415 - loads the extension

    try:
        with ErofsWriter(place) as writer:
            writer.finish()
        os.close(mount_erofs(place, loop=loop))
    except (Error, OSError) as error:
        return str(error)
    finally:
        remove_tree(place)
    return None


class _Try(Protocol):
    def __call__(self, *, loop: bool) -> str | None: ...


@frozen
class Ground:
    """What the snapshotters stand on."""

    state: str
    """The type of file system that the state directory is on."""
    lacks_files: _Try
    """Why the kernel mounts no EROFS file there, with or without a loop device; None where it does."""
    user_namespace: bool = field(factory=in_user_namespace)
    knows: Callable[[str], bool] = filesystem.knows
    """Whether the kernel has such a file system."""
    program: Callable[[], str | None] = _program
    """Where fuse-overlayfs is."""

    @classmethod
    def of(cls, place: str) -> Ground:
        """For layers in the directory of `place`, a name there that is free for a try."""
        return cls(filesystem.type_of(os.path.dirname(place)), partial(_lacks_files, place))

    def lack(self, name: str) -> str | None:
        """Why that snapshotter cannot work; None where it can."""
        if name == "erofs":
            return self._lack_of_overlay() or self._lack_of_erofs()
        if name == "overlay":
            return self._lack_of_overlay()
        return self._lack_of_fuse() if name == _FUSE else None

    def _lack_of_overlay(self) -> str | None:
        if not self.knows("overlay"):
            return "this kernel has no overlayfs: modprobe overlay"
        if self.state in _NO_UPPER or self.state.startswith("fuse."):
            return f"overlayfs cannot write to {self.state}, which the state directory is on: choose another root"
        return None

    def _lack_of_erofs(self) -> str | None:
        if self.user_namespace:
            return "only the host's root mounts EROFS, and this process is root of a user namespace"
        return self.lacks_files(loop=True)

    def _lack_of_fuse(self) -> str | None:
        if self.program() is None:
            return "the program is not on PATH: apt-get install fuse-overlayfs"
        return None if self.knows("fuse") else "this kernel has no FUSE: modprobe fuse"


def find_snapshotter(name: SnapshotterName, ground: Ground) -> Snapshotter:
    """The snapshotter of that name, or with "auto" the first of the list that works on that ground.

    Raises: Unsupported where it cannot work, with what it lacks.
    """
    for each in SNAPSHOTTERS[1:] if name == "auto" else (name,):
        lack = ground.lack(each)
        kind = _kind(each, ground) if lack is None else None
        # a loop device for each layer at each start costs more than directories do
        if kind and (name != "auto" or kind != "erofs-loop"):
            return _BY_KIND[kind]
    raise Unsupported(f"the snapshotter {name!r} cannot work here: {lack}")


def snapshotter_of(kind: LayerKind) -> Snapshotter:
    """Who made the layers of that kind."""
    return _BY_KIND[kind]


def name_of(kind: LayerKind) -> str:
    """What the snapshotter that makes layers of that kind is called: some have several, for several grounds."""
    return kind.removesuffix("-userxattr").removesuffix("-loop")


def _kind(name: str, ground: Ground) -> LayerKind:
    if name == "overlay" and ground.user_namespace:
        return "overlay-userxattr"
    if name == "erofs" and ground.lacks_files(loop=False) is not None:
        return "erofs-loop"
    return name  # type: ignore[return-value]  # each name but "auto" is a kind
