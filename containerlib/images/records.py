"""What the image store answers with."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from typing import Literal

from attrs import field, frozen

from containerlib.spec.image_config import ImageConfig
from containerlib.spec.layer import Layer

__all__ = ["ImageRecord", "ImageUsage", "ImagesPruned", "Progress", "PruneReport", "one_at_a_time"]


@frozen
class ImageRecord:
    """An image that is here and unpacked.

    `id` is the digest of its config, `digest` that of its manifest, `size_bytes` that of its unpacked files,
    `created_at` when it came here, and `layers` what its containers' roots are stacked of, the top one first:
    directories or files.
    """

    id: str
    references: tuple[str, ...]
    config: ImageConfig = field(repr=False)
    size_bytes: int
    created_at: datetime
    layers: tuple[Layer, ...] = field(repr=False)
    digest: str = field(default="", repr=False)
    processes: Layer | None = field(default=None, repr=False)
    """Of a checkpoint what goes on from it; it is none of `layers`."""


@frozen
class ImageUsage:
    """What an image takes on disk: `shared_bytes` other images need too, `unique_bytes` would go with it."""

    id: str
    references: tuple[str, ...]
    shared_bytes: int
    unique_bytes: int


@frozen
class Progress:
    """One step of a pull, load or push: `current` of `total` bytes of the blob `digest`, or unpacked from it.

    `total` is the size of the blob for "download" and "upload", and unknown (0) for "unpack". "read" counts what has
    come of an archive that is read from a stream or is compressed, and belongs to no blob (`""`).
    """

    phase: Literal["read", "download", "unpack", "upload", "done"]
    digest: str
    current: int
    total: int


@frozen
class PruneReport:
    """What was cleared away: names of files and directories, and the bytes of the files."""

    temporary: tuple[str, ...] = ()
    blobs: tuple[str, ...] = ()
    snapshots: tuple[str, ...] = ()
    reclaimed_bytes: int = 0


def one_at_a_time(progress: Callable[[Progress], None] | None) -> Callable[[Progress], None]:
    """`progress` for several threads; what they report goes nowhere where it is None."""
    if progress is None:
        return lambda _: None
    lock = threading.Lock()

    def report(step: Progress) -> None:
        with lock:
            progress(step)

    return report


@frozen
class ImagesPruned:
    """The ids of the images that were removed, and the bytes of all that went with them."""

    images: tuple[str, ...] = ()
    reclaimed_bytes: int = 0
