"""Snapshots, held against what their blobs unpack to: a layer is made once more, compared, and thrown away.

    check = SnapshotCheck(root, repair=True, in_use=...)
    for row in root.table.list(): check.image(row)
    check.damaged, check.repaired, check.failures

A layer that is a file has to have the same bytes; of directories it is the files, with their owners, modes, times and
attributes, but without the times of directories and deletions, which no entry of a layer has to say. What is not the
same, or gone, is replaced by the new one, where no container may have it mounted.
"""

from __future__ import annotations

import filecmp
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from containerlib.errors import Conflict, Error
from containerlib.images.archives.layer import layer_tar
from containerlib.images.content.garbage import clear_temporary
from containerlib.images.content.verify import Damage, VerifyReport, damages, is_whole
from containerlib.images.root import ImageRoot
from containerlib.images.snapshots.choice import snapshotter_of
from containerlib.images.snapshots.merged import MergedTree
from containerlib.images.snapshots.store import Drafts
from containerlib.images.transfer.transfers import Present
from containerlib.images.transfer.unpacking import unpack
from containerlib.spec.digest import Digest, Hasher
from containerlib.spec.image import Descriptor, Manifest
from containerlib.spec.image_config import ImageConfig
from containerlib.spec.layer import Layer
from containerlib.store import ImageRow

if TYPE_CHECKING:
    from containerlib.images.registry.client import Registry
    from containerlib.spec.layer import LayerKind

__all__ = ["SnapshotCheck", "verify"]


def verify(
    root: ImageRoot, connect: Callable[[str], Registry] | None, in_use: Callable[[str], bool]
) -> VerifyReport:
    """Checks every blob and every snapshot, and repairs them where `connect` gives the registries to fetch from."""
    checked, damaged = damages(root)
    repaired, failures = list[str](), list[str]()
    if damaged and connect is not None:
        from containerlib.images.transfer.repair import repair  # noqa: PLC0415 - httpx takes 100 ms to import

        repaired, failures = repair(root, damaged, connect)
    check = SnapshotCheck(root, repair=connect is not None, in_use=in_use)
    for row in root.table.list():
        check.image(row)
    clear_temporary(root)
    return VerifyReport(
        checked + check.checked,
        (*damaged, *check.damaged),
        (*repaired, *check.repaired),
        (*failures, *check.failures),
    )


class SnapshotCheck:
    """`in_use` says of an image's id whether a container was made from it."""

    def __init__(self, root: ImageRoot, *, repair: bool, in_use: Callable[[str], bool]) -> None:
        self._root = root
        self._repair = repair
        self._in_use = in_use
        self._users = {row.id: set(row.chain) for row in root.table.list()}
        self._whole: set[tuple[str, LayerKind]] = set()
        self._found: dict[tuple[str, LayerKind], Damage] = {}
        self.repaired: list[str] = []
        self._failures: dict[tuple[str, LayerKind], str] = {}

    @property
    def checked(self) -> int:
        return len(self._whole | set(self._found))

    @property
    def damaged(self) -> list[Damage]:
        return list(self._found.values())

    @property
    def failures(self) -> list[str]:
        """Sentences on what could not be checked, or not be repaired."""
        return list(self._failures.values())

    def image(self, row: ImageRow) -> None:
        """Checks the image's layers, in each form in which they are here. Blocks."""
        kinds = {kind for chain_id, kind in self._root.table.snapshot_sizes() if chain_id in row.chain}
        for kind in sorted(kinds | {row.snapshot_kind}):
            with self._root.lease() as lease:
                contents = self._root.table.contents(row.id)
                lease.keep(contents)
                if contents:  # else it was removed meanwhile
                    with Drafts(self._root.snapshots, lease, snapshotter_of(kind)) as drafts:
                        self._chain(row, drafts)

    def _chain(self, row: ImageRow, drafts: Drafts) -> None:
        """The lowest layer first: each is made on those below that are as they should be, or were made anew."""
        read = self._root.content.read
        try:
            layers = Manifest.from_bytes(read(Digest.parse(row.manifest_digest))).layers
            diff_ids = ImageConfig.from_bytes(read(Digest.parse(row.id))).diff_ids
        except Error:  # damaged, which was found before
            layers, diff_ids = (), ()
        makeable = True
        for i, chain_id in enumerate(row.chain):
            makeable = makeable and i < min(len(layers), len(diff_ids))
            if (chain_id, drafts.kind) not in self._whole and self._is_wanted(row, chain_id, drafts.kind):
                make = (
                    partial(self._make, drafts, row.chain[: i + 1], layers[i], diff_ids[i])
                    if makeable
                    else None
                )
                makeable = self._layer(drafts, chain_id, make)

    def _is_wanted(self, row: ImageRow, chain_id: str, kind: LayerKind) -> bool:
        """Whether the layer should be here in that form."""
        return kind == row.snapshot_kind or self._root.table.has_snapshot(chain_id, kind)

    def _layer(self, drafts: Drafts, chain_id: str, make: Callable[[], int] | None) -> bool:
        """Whether those above it can be made: it is as it should be, or there is a draft of it."""
        there = self._root.snapshots.has(chain_id, drafts.kind)
        if not there:
            self._note(chain_id, drafts.kind, "missing")
        try:
            if make is None:
                raise Conflict("a blob that it is made of is damaged: repair that first", state="damaged")
            size = make()
        except (Error, OSError) as error:
            found_before = isinstance(error, Conflict) and (there or not self._repair)
            if not found_before:
                self._failures[chain_id, drafts.kind] = f"the snapshot {chain_id}: {error}"
            return False
        if there and drafts.is_same(chain_id, is_same_layer):
            self._whole.add((chain_id, drafts.kind))
            drafts.drop(chain_id)
            return True
        self._note(chain_id, drafts.kind, "changed")
        if self._repair:
            self._replace(drafts, chain_id, size)
        return True

    def _make(self, drafts: Drafts, chain: tuple[str, ...], layer: Descriptor, diff_id: str) -> int:
        if not is_whole(self._root.content, layer.digest):
            raise Conflict("its blob is damaged: repair that first", state="damaged")
        drafts.reserve(chain[-1:])
        return unpack(
            Present(self._root.content, layer.digest),
            partial(drafts.prepare, chain),
            diff_id=Digest.parse(diff_id),
            compressed_size=layer.size,
        )

    def _note(self, chain_id: str, kind: LayerKind, what: str) -> None:
        images = tuple(sorted(image for image, chain in self._users.items() if chain_id in chain))
        damage = Damage(chain_id, "missing" if what == "missing" else "changed", images, "snapshot")
        self._found.setdefault((chain_id, kind), damage)

    def _replace(self, drafts: Drafts, chain_id: str, size: int) -> None:
        """Puts the draft in its place. One that is gone, or is a file, can be replaced under a container."""
        damage = self._found[chain_id, drafts.kind]
        frees = damage.kind == "missing" or Layer("", drafts.kind).fstype
        drafts.sync()
        with self._root.table.transaction():
            users = [] if frees else [image for image in damage.images if self._in_use(image)]
            if not users:
                drafts.replace(chain_id, size)
        if users:
            self._failures[chain_id, drafts.kind] = (
                f"the snapshot {chain_id}: containers of {users[0]} have it: remove them, and verify again"
            )
            return
        self._whole.add((chain_id, drafts.kind))
        self.repaired.append(chain_id)


def is_same_layer(one: Layer, other: Layer) -> bool:
    """Whether both say the same. Raises nothing for what cannot be read: that is not the same."""
    try:
        if one.fstype:
            return filecmp.cmp(one.path, other.path, shallow=False)
        return _digest(one) == _digest(other)
    except (Error, OSError):
        return False


def _digest(layer: Layer) -> Digest:
    hasher = Hasher()
    with MergedTree([layer], hide_whiteouts=False) as tree:
        for piece in layer_tar(tree.walk(), only_file_times=True):
            hasher.update(piece)
    return hasher.digest()
