"""Layers as directories, for overlayfs to stack, or fuse-overlayfs: both read the same."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from attrs import frozen

from containerlib._sys.opening import OpenLayers
from containerlib.errors import StageError
from containerlib.images.snapshots.snapshotter import Draft
from containerlib.spec.layer import Layer

if TYPE_CHECKING:
    from containerlib.spec.layer import LayerKind

__all__ = ["DirectoryDraft", "DirectorySnapshotter", "make_directory"]


class DirectoryDraft:
    """A directory that is being filled."""

    def __init__(self, path: str, lowers: Sequence[str], ready: int | None = None) -> None:
        from containerlib._sys.layers import LayerWriter  # noqa: PLC0415 - loads the extension

        make_directory(path)
        self._writer = LayerWriter(path, lowers=lowers, ready=ready)
        self.feed = self._writer.feed
        self.close = self._writer.close

    def finish(self) -> int:
        return self._writer.finish().bytes


@frozen
class DirectorySnapshotter:
    """One directory for each layer, with whiteouts as overlayfs has them."""

    kind: LayerKind
    suffix: str = ""

    def prepare(
        self,
        path: str,
        lowers: Sequence[Layer],
        opened: OpenLayers,  # noqa: ARG002 - its layers are directories
        ready: int | None = None,
    ) -> Draft:
        return DirectoryDraft(path, [layer.path for layer in lowers], ready)

    def layers(self, paths: Sequence[str]) -> tuple[Layer, ...]:
        return tuple(Layer(path, self.kind) for path in paths)


def make_directory(path: str) -> None:
    """A new layer's root: a container's root is everybody's, whatever the umask. Raises: StageError."""
    try:
        os.mkdir(path)
        os.chmod(path, 0o755)  # noqa: S103
    except OSError as error:
        raise StageError("layer", error.errno or 0, path) from error
