"""A layer of a root file system as it lies on disk, ready to be mounted; nobody writes to it.

images/snapshots makes them -> bundles reads files in them -> runtime stacks and mounts them
"""

from __future__ import annotations

from containerlib.spec.values import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    LayerKind = Literal["overlay", "overlay-userxattr", "erofs", "copy", "fuse-overlayfs"]

__all__ = ["MAX_LAYERS", "Layer"]

MAX_LAYERS = 500
"""What the kernel's overlay can stack (OVL_MAX_STACK)."""


@frozen
class Layer:
    """`path` is absolute: a directory, or for "erofs" a file that is mounted.

    Directories have whiteouts as overlayfs has them, and what else it has to know in "trusted.overlay." attributes,
    or with "overlay-userxattr", where a user namespace's root unpacked them, in "user.overlay." ones. A "copy" has
    none: it is all of a root file system, with what would be below it.
    """

    path: str
    kind: LayerKind = "overlay"

    @property
    def fstype(self) -> str:
        """The file system that the file has; "" for a directory."""
        return "erofs" if self.kind == "erofs" else ""
