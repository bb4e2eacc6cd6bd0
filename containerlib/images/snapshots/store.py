"""`<root>/snapshots`: each layer unpacked, under its chain id, ready to be an overlay's lower directory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from types import TracebackType

from containerlib._sys.filesystem import sync_filesystem
from containerlib._sys.trees import remove_tree
from containerlib.errors import StageError
from containerlib.images.content.leases import Lease
from containerlib.spec.digest import Digest
from containerlib.store import ImageTable

__all__ = ["Drafts", "SnapshotStore"]


class SnapshotStore:
    """Directories by chain id; one that is here is whole exactly if the table says so."""

    def __init__(self, path: str, table: ImageTable) -> None:
        self.path = path
        self.table = table
        os.makedirs(path, mode=0o700, exist_ok=True)

    def directory(self, chain_id: str) -> str:
        """Where the snapshot is or will be."""
        return os.path.join(self.path, Digest.parse(chain_id).hex)

    def has(self, chain_id: str) -> bool:
        """Whether the snapshot is here. One that somebody deleted by hand is not: a pull or load makes it again."""
        return self.table.has_snapshot(chain_id) and os.path.isdir(self.directory(chain_id))

    def layer_dirs(self, chain: Sequence[str]) -> tuple[str, ...]:
        """The directories of a chain, the top one first."""
        return tuple(f"{self.path}/{chain_id.partition(':')[2]}" for chain_id in reversed(chain))

    def names(self) -> list[str]:
        """Every directory that is here, temporary ones too."""
        return os.listdir(self.path)


class Drafts:
    """Snapshots in the making, in a lease's temporary directories; gone after `with` unless adopted."""

    def __init__(self, snapshots: SnapshotStore, lease: Lease) -> None:
        self._snapshots = snapshots
        self._lease = lease
        self._sizes: dict[str, int] = {}
        self._paths: dict[str, str] = {}

    def directory(self, chain_id: str) -> str:
        """Where the layer's files are by now: its draft if there is one, else the snapshot."""
        return self._paths.get(chain_id) or self._snapshots.directory(chain_id)

    def make(self, chain_id: str) -> str:
        """A new empty directory for the layer."""
        path = self._lease.temporary(self._snapshots.path)
        try:
            os.mkdir(path)
            os.chmod(path, 0o755)  # noqa: S103 - a container's root is everybody's, whatever the umask
        except OSError as error:
            raise StageError("layer", error.errno or 0, path) from error
        self._paths[chain_id] = path
        return path

    def done(self, chain_id: str, size: int) -> None:
        """The layer is unpacked and what it should be."""
        self._sizes[chain_id] = size

    def sync(self) -> None:
        """Has the files of every draft on disk."""
        if self._paths:
            sync_filesystem(self._snapshots.path)

    def adopt(self) -> None:
        """Gives the finished ones their names, unless another process was faster. Inside a transaction."""
        for chain_id, size in self._sizes.items():
            if self._snapshots.has(chain_id):
                continue
            target = self._snapshots.directory(chain_id)
            if os.path.exists(target):  # left by a process that was killed between the two steps below
                os.rename(target, self._lease.temporary(self._snapshots.path))
            os.rename(self._paths.pop(chain_id), target)
            self._snapshots.table.put_snapshot(chain_id, size)

    def __enter__(self) -> Drafts:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for path in self._paths.values():
            try:
                remove_tree(path)
            except OSError as failure:
                if error is None:
                    raise
                error.add_note(f"and {path} could not be removed: {failure}")
