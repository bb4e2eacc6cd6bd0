"""What is in one layer, whatever it is on disk.

with opened(record.layers[0]) as top:
    (top / "etc/passwd").read_text()
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from containerlib._sys.opening import open_layer
from containerlib.spec.layer import Layer

__all__ = ["names", "opened", "text"]


@contextlib.contextmanager
def opened(layer: Layer) -> Iterator[Path]:
    """The layer's root as a path of this process."""
    descriptor = open_layer(layer)
    try:
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def text(layer: Layer, path: str) -> str:
    with opened(layer) as root:
        return (root / path).read_text()


def names(layer: Layer) -> list[str]:
    """Of what is in its root."""
    with opened(layer) as root:
        return sorted(path.name for path in root.iterdir())
