"""The mounts of layers that are files, each made once for all containers that an engine starts.

A file that is mounted anew has a page cache of its own: two containers of one image would read, and keep, each of its
pages twice. So the engine mounts a layer when it is first needed, attached nowhere, and hands the descriptor on; the
overlay of each container holds the mount by itself then, and the engine's end takes it from nobody.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from functools import partial

from containerlib._sys.forks import descriptor
from containerlib._sys.opening import open_layer
from containerlib.errors import StageError, Unsupported
from containerlib.runtime import OverlayRoot, Root
from containerlib.runtime.kernel import shares_layers
from containerlib.spec.layer import Layer
from containerlib.spec.values import evolve

__all__ = ["LayerMounts"]

_MOST = 64
"""Mounts that are kept, a descriptor each."""
_MOST_OF_ONE = 32
"""Layers of one root that are handed on."""


class LayerMounts:
    """Usable from several threads, and after a fork."""

    def __init__(self) -> None:
        self._kept: dict[str, _Mount] = {}

    @contextlib.contextmanager
    def of(self, root: Root) -> Iterator[Root]:
        """`root` with the mounts of its layers, for the time of the `with`; as it is where they cannot be shared.

        A loop device is not shared: it would be there for as long as the engine is.
        """
        if not isinstance(root, OverlayRoot) or not shares_layers():
            yield root
            return
        files = [layer.path for layer in root.lowers if isinstance(layer, Layer) and layer.fstype]
        if not files or root.by_loop or len(files) > _MOST_OF_ONE:
            yield root
            return
        try:
            mounts = [self._mount(path) for path in files]
        except (OSError, StageError, Unsupported):  # the container's own attempt says what is wrong
            yield root
            return
        yield evolve(root, mounts=tuple(mount.descriptor for mount in mounts))

    @contextlib.contextmanager
    def opened(self, layer: Layer) -> Iterator[int]:
        """A descriptor of the layer's root, for the time of the `with`. Raises: OSError."""
        try:
            mount = self._mount(layer.path) if layer.fstype and shares_layers() else None
        except (StageError, Unsupported):
            mount = None
        if mount is not None:
            yield mount.descriptor
            return
        with descriptor(partial(open_layer, layer)) as opened:
            yield opened

    def close(self) -> None:
        """Containers keep theirs."""
        self._kept.clear()

    def _mount(self, path: str) -> _Mount:
        status = os.stat(path)  # noqa: PTH116 - hot path
        content = (status.st_dev, status.st_ino, status.st_ctime_ns)
        kept = self._kept.pop(path, None)  # and to the end of the row
        if kept is None or kept.content != content:
            self._forget()
            kept = _Mount(path, content)
        return self._kept.setdefault(path, kept)

    def _forget(self) -> None:
        """Those whose image is gone, and where there are too many, the ones not used for longest."""
        for path in list(self._kept):
            if not os.path.exists(path):  # noqa: PTH110 - hot path
                self._kept.pop(path, None)
        for path in list(self._kept)[: max(0, len(self._kept) - _MOST + 1)]:
            self._kept.pop(path, None)


class _Mount:
    """Goes with the last who holds it: one thread may drop it from the row while another hands it on."""

    def __init__(self, path: str, content: tuple[int, ...]) -> None:
        from containerlib._sys.erofs import mount_erofs  # noqa: PLC0415 - other images need no extension for it

        self.content = content
        self.descriptor = mount_erofs(path, loop=False)

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)
