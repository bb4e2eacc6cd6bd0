"""Whether every blob is still what its name says: a disk may rot, and somebody may have been at the files.

Snapshots are held against their blobs (transfer/checking.py).

for damage in damages(root): print(damage.digest, damage.kind, damage.images)
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from attrs import frozen

from containerlib.errors import StageError
from containerlib.images.content.store import ContentStore
from containerlib.images.root import ImageRoot
from containerlib.spec.digest import Digest, Hasher

__all__ = ["Damage", "VerifyReport", "damages", "is_whole"]

_PIECE = 1024 * 1024


@frozen
class Damage:
    """What is not as it should be: gone, or of other content. `images` are the ids of those that need it.

    `digest` is a blob's, or the chain id of a snapshot, which is a layer as it is mounted.
    """

    digest: str
    kind: Literal["missing", "changed"]
    images: tuple[str, ...]
    what: Literal["blob", "snapshot"] = "blob"


@frozen
class VerifyReport:
    """What was found: blobs and snapshots, `checked` of them, those damaged, and the digests of what is whole again."""

    checked: int
    damaged: tuple[Damage, ...] = ()
    repaired: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()
    """Sentences on what could not be repaired, or not be checked."""

    @property
    def is_whole(self) -> bool:
        """Whether everything is as it should be by now."""
        return len(self.repaired) == len(self.damaged) and not self.failures


def damages(root: ImageRoot) -> tuple[int, list[Damage]]:
    """How many blobs were read, and those that are damaged. Reads all of them, on every processor."""
    needed = _needed(root)
    digests = sorted(needed)
    with ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="containerlib-verify") as pool:
        kinds = list(pool.map(lambda digest: _kind(root.content, digest), digests))
    found = [
        Damage(str(digest), kind, tuple(sorted(needed[digest])))
        for digest, kind in zip(digests, kinds, strict=True)
        if kind is not None
    ]
    # an image that was removed meanwhile needs nothing any more
    still = _needed(root)
    return len(digests), [damage for damage in found if Digest.parse(damage.digest) in still]


def is_whole(content: ContentStore, digest: Digest) -> bool:
    """Whether the blob is there, and is what it is called."""
    return _kind(content, digest) is None


def _needed(root: ImageRoot) -> dict[Digest, set[str]]:
    """Each blob that an image needs, and the ids of these images."""
    needed: dict[Digest, set[str]] = {}
    for row in root.table.list():
        for kind, key in root.table.contents(row.id):
            if kind == "blob":
                needed.setdefault(Digest.parse(key), set()).add(row.id)
    return needed


def _kind(content: ContentStore, digest: Digest) -> Literal["missing", "changed"] | None:
    hasher = Hasher(digest.algorithm)
    try:
        for chunk in content.chunks(digest, _PIECE):
            hasher.update(chunk)
    except StageError:
        return "changed" if content.has(digest) else "missing"
    return None if hasher.digest() == digest else "changed"
