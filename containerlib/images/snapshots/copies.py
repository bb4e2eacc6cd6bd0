"""Layers as whole root file systems: for kernels and file systems without any overlay.

    <hex>.copy        hard links to the files of the copy below, which nobody writes to, and the layer's own over them

The layer is unpacked by itself first, with whiteouts as overlayfs has them, and then moved over the copy: what it says
of deleted files is done here once, and not by the kernel at each look-up.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from attrs import frozen

from containerlib._sys.copies import copy_tree, opened, replace_status
from containerlib._sys.opening import OpenLayers
from containerlib._sys.trees import remove_tree
from containerlib.errors import StageError
from containerlib.images.snapshots.directories import DirectoryDraft, make_directory
from containerlib.images.snapshots.merged import is_opaque, is_whiteout
from containerlib.images.snapshots.snapshotter import Draft
from containerlib.spec.layer import Layer

if TYPE_CHECKING:
    from containerlib.spec.layer import LayerKind

__all__ = ["CopySnapshotter"]


class _CopyDraft:
    """`path` has the layer by itself in "layer" until it is finished, and then all of it in "root"."""

    def __init__(self, path: str, lowers: Sequence[Layer], ready: int | None) -> None:
        self._path = path
        self._below = lowers[0].path if lowers else None
        make_directory(path)
        self._layer = DirectoryDraft(f"{path}/layer", [layer.path for layer in lowers], ready)
        self.feed = self._layer.feed
        self.close = self._layer.close

    def finish(self) -> int:
        size = self._layer.finish()
        layer, root = f"{self._path}/layer", f"{self._path}/root"
        try:
            if self._below is None:
                make_directory(root)
            else:
                copy_tree(self._below, root, link=True)
            _move_over(layer, root)
            remove_tree(layer)
        except OSError as error:
            raise StageError("layer", error.errno or 0, str(error.filename or self._path)) from error
        return size


@frozen
class CopySnapshotter:
    """A directory for each layer with all that a container of it sees."""

    kind: LayerKind = "copy"
    suffix: str = ".copy"

    def prepare(
        self,
        path: str,
        lowers: Sequence[Layer],
        opened: OpenLayers,  # noqa: ARG002 - its layers are directories
        ready: int | None = None,
    ) -> Draft:
        return _CopyDraft(path, lowers, ready)

    def layers(self, paths: Sequence[str]) -> tuple[Layer, ...]:
        return tuple(Layer(f"{path}/root", self.kind) for path in paths[:1])


def _move_over(layer: str, root: str) -> None:
    """What `layer` has goes to its place in `root`, and what it says is deleted goes. Both are on one file system."""
    with opened(layer) as top, opened(root) as place:
        waiting = ["."]
        while waiting:
            path = waiting.pop()
            with opened(path, top) as above, opened(path, place) as below:
                status = os.fstat(above)
                for name in os.listdir(below) if is_opaque(above) else ():
                    _remove(name, below)
                for name in os.listdir(above):
                    if _move(name, above, below):
                        waiting.append(f"{path}/{name}")
                replace_status(above, below, status)


def _move(name: str, above: int, below: int) -> bool:
    """Whether it is a directory, which is there then and has to be merged."""
    status = os.stat(name, dir_fd=above, follow_symlinks=False)
    if stat.S_ISDIR(status.st_mode):
        if not _is_directory(name, below):
            _remove(name, below)
            os.mkdir(name, 0o700, dir_fd=below)
        return True
    _remove(name, below)
    if not is_whiteout(status):
        os.rename(name, name, src_dir_fd=above, dst_dir_fd=below)
    return False


def _is_directory(name: str, parent: int) -> bool:
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def _remove(name: str, parent: int) -> None:
    if _is_directory(name, parent):
        remove_tree(f"/proc/self/fd/{parent}/{name}")
        return
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=parent)
