"""A layer of a root file system as it lies on disk, ready to be mounted; nobody writes to it.

images/snapshots makes them -> bundles reads files in them -> runtime stacks and mounts them
"""

from __future__ import annotations

from containerlib.spec.values import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    SnapshotKind = Literal["overlay", "erofs", "copy", "fuse-overlayfs"]
    """How layers are kept and stacked: the snapshotter that made them."""

__all__ = ["KINDS", "Layer"]

KINDS: tuple[SnapshotKind, ...] = ("overlay", "erofs", "copy", "fuse-overlayfs")


@frozen
class Layer:
    """`path` is absolute: a directory, or for "erofs" a file that is mounted.

    "overlay" and "fuse-overlayfs" have whiteouts as overlayfs has them. "copy" is all of a root file system: what is
    below it is in it. `userxattr`: what overlay has to know is in "user.overlay." attributes, as it is where whoever
    unpacked it was root of a user namespace alone.
    """

    path: str
    kind: SnapshotKind = "overlay"
    userxattr: bool = False

    @property
    def fstype(self) -> str:
        """The file system that the file has; "" for a directory."""
        return self.kind if self.kind == "erofs" else ""
