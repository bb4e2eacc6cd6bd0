"""`<root>/snapshots`: layers under their chain ids, as one of the snapshotters made them, ready to be mounted.

    <hex>          a directory            <hex>.erofs    a file            <hex>.copy    a whole root file system

One that is here is whole exactly if the table says so. What a snapshotter does is in snapshotter.py.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from containerlib._sys.filesystem import exchange, sync_filesystem
from containerlib._sys.opening import OpenLayers
from containerlib._sys.trees import remove_tree, tree_size
from containerlib.images.content.leases import Lease
from containerlib.images.snapshots.choice import Ground, find_snapshotter, name_of, snapshotter_of
from containerlib.images.snapshots.snapshotter import Draft, Snapshotter
from containerlib.spec.digest import Digest
from containerlib.spec.layer import Layer
from containerlib.store import ImageTable

if TYPE_CHECKING:
    from containerlib.spec.layer import LayerKind
    from containerlib.spec.options import SnapshotterName

__all__ = ["Drafts", "SnapshotStore"]


class SnapshotStore:
    """Layers by chain id and kind. New ones are made with the snapshotter called `name`."""

    def __init__(self, path: str, table: ImageTable, name: SnapshotterName) -> None:
        self.path = path
        self.table = table
        self._name = name
        self._chosen: Snapshotter | None = None
        os.makedirs(path, mode=0o700, exist_ok=True)

    def snapshotter(self, lease: Lease) -> Snapshotter:
        """Who makes new layers; found out once, by trying. Raises: Unsupported where it cannot work here."""
        if self._chosen is None:
            self._chosen = find_snapshotter(self._name, Ground.of(lease.temporary(self.path)))
        return self._chosen

    def path_of(self, chain_id: str, kind: LayerKind) -> str:
        """Where the snapshot is or will be."""
        return os.path.join(self.path, f"{Digest.parse(chain_id).hex}{snapshotter_of(kind).suffix}")

    def has(self, chain_id: str, kind: LayerKind) -> bool:
        """Whether the snapshot is here. One that somebody deleted by hand is not: a pull or load makes it again."""
        return self.table.has_snapshot(chain_id, kind) and os.path.exists(self.path_of(chain_id, kind))

    def is_wanted(self, kind: LayerKind) -> bool:
        """Whether layers of this kind are as good as new ones, as far as that is known without trying."""
        return self._name in ("auto", name_of(kind))

    def layers(self, chain: Sequence[str], kind: LayerKind) -> tuple[Layer, ...]:
        """What a container of that chain (the lowest first) is stacked of, top first."""
        snapshotter = snapshotter_of(kind)
        names = (chain_id.partition(":")[2] for chain_id in reversed(chain))
        return snapshotter.layers([f"{self.path}/{name}{snapshotter.suffix}" for name in names])

    def usage(self, chain_id: str, kind: LayerKind) -> int:
        """The bytes that the snapshot takes on disk; looks at each of its files."""
        return tree_size(self.path_of(chain_id, kind))

    def names(self) -> list[str]:
        """Everything that is here, what is temporary too."""
        return os.listdir(self.path)


class Drafts:
    """Snapshots in the making, under a lease's temporary names; gone after `with` unless adopted.

    By the snapshotter that makes new ones, unless another is given.
    """

    def __init__(
        self, snapshots: SnapshotStore, lease: Lease, snapshotter: Snapshotter | None = None
    ) -> None:
        self._snapshots = snapshots
        self._lease = lease
        self._opened = OpenLayers()
        self._sizes: dict[str, int] = {}
        self._paths: dict[str, str] = {}
        self.snapshotter = snapshotter or snapshots.snapshotter(lease)

    @property
    def kind(self) -> LayerKind:
        """Of all of them."""
        return self.snapshotter.kind

    def has(self, chain_id: str) -> bool:
        """Whether the snapshot is here and need not be made."""
        return self._snapshots.has(chain_id, self.kind)

    def reserve(self, chain_ids: Iterable[str]) -> None:
        """Says which layers will be made: from here on it is known where they are, for those above them."""
        for chain_id in chain_ids:
            self._paths[chain_id] = self._lease.temporary(self._snapshots.path)

    def prepare(self, chain: Sequence[str], ready: int | None = None) -> Draft:
        """Begins the top layer of `chain` (the lowest first), on those below: whole, or reserved too.

        These are complete when `ready` is readable. What was begun of it before is removed. Raises: StageError.
        """
        below = [self._path(chain_id) for chain_id in reversed(chain[:-1])]
        path = self._paths[chain[-1]]
        if os.path.lexists(path):
            remove_tree(path)
        return self.snapshotter.prepare(path, self.snapshotter.layers(below), self._opened, ready)

    def done(self, chain_id: str, size: int) -> None:
        """The layer is complete and what it should be."""
        self._sizes[chain_id] = size

    def sync(self) -> None:
        """Has every draft on disk."""
        if self._paths:
            sync_filesystem(self._snapshots.path)

    def adopt(self) -> None:
        """Gives the finished ones their names, unless another process was faster. Inside a transaction."""
        for chain_id, size in self._sizes.items():
            if self.has(chain_id):
                continue
            self.replace(chain_id, size)  # of a process that was killed in the middle of that

    def is_same(self, chain_id: str, same: Callable[[Layer, Layer], bool]) -> bool:
        """What `same` says of the finished draft, and of what has its name."""
        paths = (self._paths[chain_id], self._snapshots.path_of(chain_id, self.kind))
        (draft,), (there,) = (self.snapshotter.layers([path]) for path in paths)
        return same(draft, there)

    def drop(self, chain_id: str) -> None:
        """Removes the draft: what has its name is as good."""
        remove_tree(self._paths.pop(chain_id))

    def replace(self, chain_id: str, size: int) -> None:
        """Gives the finished draft its name, which what was there loses. On disk by now, and inside a transaction.

        The two change places at once: the row of a layer that is repaired is there all the time, and so is a layer. A
        file system that cannot do that leaves none to who is killed in between, until a pull or `verify` makes it.
        """
        path, target = self._paths.pop(chain_id), self._snapshots.path_of(chain_id, self.kind)
        # a file takes the place of one in any case
        is_taken = os.path.isdir(path) and os.path.lexists(target)
        if not is_taken or not exchange(path, target):
            if is_taken:
                os.rename(target, self._lease.temporary(self._snapshots.path))
            os.rename(path, target)
        self._snapshots.table.put_snapshot(chain_id, self.kind, size)

    def _path(self, chain_id: str) -> str:
        return self._paths.get(chain_id) or self._snapshots.path_of(chain_id, self.kind)

    def __enter__(self) -> Drafts:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()
        for path in self._paths.values():
            try:
                remove_tree(path)
            except OSError as failure:
                if error is None:
                    raise
                error.add_note(f"and {path} could not be removed: {failure}")
