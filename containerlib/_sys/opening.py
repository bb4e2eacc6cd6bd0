"""A layer as an open directory, whatever it is on disk, and what its root is like."""

from __future__ import annotations

import functools
import os
from types import TracebackType

from containerlib.spec.layer import Layer

__all__ = ["OpenLayers", "open_layer", "root_status"]

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def open_layer(layer: str | Layer) -> int:
    """A descriptor of the layer's root, which is the caller's; a path is a directory.

    A file is mounted for it, attached nowhere: the mount goes with the last descriptor in it. That takes CAP_SYS_ADMIN.
    Raises: OSError.
    """
    path = layer if isinstance(layer, str) else layer.path
    if isinstance(layer, str) or not layer.fstype:
        return os.open(path, _DIRECTORY)
    from containerlib._sys.erofs import mount_erofs  # noqa: PLC0415 - other images need no extension for it

    mount = mount_erofs(path)
    try:
        return os.open(".", _DIRECTORY, dir_fd=mount)
    finally:
        os.close(mount)


def root_status(layer: str | Layer) -> os.stat_result:
    """What the layer's root directory is like. Raises: OSError."""
    if isinstance(layer, Layer) and layer.fstype:
        return _status_of_file(layer)
    return os.stat(layer if isinstance(layer, str) else layer.path)  # noqa: PTH116 - hot path


@functools.lru_cache(maxsize=256)
def _status_of_file(layer: Layer) -> os.stat_result:
    """Kept: nobody writes to what is named by its content."""
    descriptor = open_layer(layer)
    try:
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)


class OpenLayers:
    """Layers that are read several times, each opened once. Close it, or use it in a `with`."""

    def __init__(self) -> None:
        self._open: dict[str | Layer, int] = {}

    def descriptor(self, layer: str | Layer) -> int:
        """As of `open_layer`, but this object's."""
        if layer not in self._open:
            self._open[layer] = open_layer(layer)
        return self._open[layer]

    def close(self) -> None:
        while self._open:
            os.close(self._open.popitem()[1])

    def __enter__(self) -> OpenLayers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
