"""What each image takes on disk, and what of that it shares with others."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import suppress

from containerlib.images.records import ImageUsage
from containerlib.images.root import ImageRoot
from containerlib.spec.digest import Digest
from containerlib.store import Content

__all__ = ["usage"]


def usage(root: ImageRoot) -> tuple[tuple[ImageUsage, ...], int]:
    """Every image, the newest first, and the bytes of all that they have, each thing once.

    Of blobs it is the size on disk, of unpacked layers that of their files' content.
    """
    rows = root.table.list()
    contents = {row.id: set(root.table.contents(row.id)) for row in rows}
    users = Counter(content for each in contents.values() for content in each)
    sizes = _sizes(root, set(users))
    images = tuple(
        ImageUsage(
            id=row.id,
            references=row.references,
            shared_bytes=sum(sizes[content] for content in contents[row.id] if users[content] > 1),
            unique_bytes=sum(sizes[content] for content in contents[row.id] if users[content] == 1),
        )
        for row in rows
    )
    return images, sum(sizes.values())


def _sizes(root: ImageRoot, contents: set[Content]) -> dict[Content, int]:
    """A layer may be there in several forms, and in none where somebody deleted it."""
    layers: Counter[str] = Counter()
    for (chain_id, _), size in root.table.snapshot_sizes().items():
        layers[chain_id] += size
    return {(kind, key): layers[key] if kind == "snapshot" else _blob(root, key) for kind, key in contents}


def _blob(root: ImageRoot, digest: str) -> int:
    with suppress(FileNotFoundError):
        return os.stat(root.content.blob_path(Digest.parse(digest))).st_size
    return 0
