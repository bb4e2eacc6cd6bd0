"""Layers as files: each one EROFS, written while the layer comes, and mounted for a container.

Nothing of the image is unpacked: a pull writes one file a layer, whatever is in it, and a removal unlinks it. Where the
kernel mounts no files (before Linux 6.12, and those on tmpfs) each goes through a loop device that ends with the mount.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from attrs import frozen

from containerlib._sys.opening import OpenLayers
from containerlib.errors import StageError
from containerlib.images.snapshots.snapshotter import Draft
from containerlib.spec.layer import Layer

if TYPE_CHECKING:
    from containerlib.spec.layer import LayerKind

__all__ = ["ErofsSnapshotter"]


class _ErofsDraft:
    def __init__(self, path: str, lowers: Sequence[Layer], opened: OpenLayers) -> None:
        from containerlib._sys.erofs import ErofsWriter  # noqa: PLC0415 - loads the extension

        self._lowers = lowers
        self._opened = opened
        self._writer = ErofsWriter(path)
        self.feed = self._writer.feed
        self.close = self._writer.close

    def finish(self) -> int:
        lowers = [f"/proc/self/fd/{self._open(layer)}" for layer in self._lowers]
        return self._writer.finish(lowers=lowers).bytes

    def _open(self, layer: Layer) -> int:
        try:
            return self._opened.descriptor(layer)
        except OSError as error:
            raise StageError("layer", error.errno or 0, layer.path) from error


@frozen
class ErofsSnapshotter:
    """One file for each layer."""

    kind: LayerKind
    suffix: str

    def prepare(
        self,
        path: str,
        lowers: Sequence[Layer],
        opened: OpenLayers,
        ready: int | None = None,  # noqa: ARG002 - it looks at them when it is finished
    ) -> Draft:
        return _ErofsDraft(path, lowers, opened)

    def layers(self, paths: Sequence[str]) -> tuple[Layer, ...]:
        return tuple(Layer(path, self.kind) for path in paths)
