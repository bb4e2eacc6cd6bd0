"""What no image and no lease keeps is cleared away: after a removal, and after a process that was killed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from containerlib._sys.trees import remove_trees
from containerlib.errors import Error, StageError
from containerlib.images.content.leases import Lease, lease_of, sweep
from containerlib.images.records import PruneReport
from containerlib.images.root import ImageRoot

__all__ = ["Cleanup", "clear_temporary", "collect"]


class Cleanup:
    """Clears away: before a change what others left when they died, after its failure what it left itself."""

    def __init__(self, root: ImageRoot) -> None:
        self._root = root

    def __enter__(self) -> None:
        clear_temporary(self._root)

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        if kind is not None:
            with suppress(Error, OSError):  # the cause is what matters; the next change tries again
                collect(self._root)


def collect(root: ImageRoot) -> PruneReport:
    """Removes every blob and snapshot that nothing keeps, and what dead processes left.

    A snapshot is forgotten before it loses its name: a kill in between leaves a layer that no row knows, which the
    next collection takes, and never a row without its layer. The slow removal comes after both transactions.
    """
    with _typed(root), root.lease() as lease:
        sweep(root.leases, root.table)
        with root.table.transaction():
            root.table.forget_indexes()
            _forget_snapshots(root)
        with root.table.transaction():
            snapshots = _unname_snapshots(root, lease)
            blobs = _unname_blobs(root, lease)
            _mend_index(root)
    report = clear_temporary(root)
    ours = {name for name in report.temporary if lease_of(name) == lease.id}
    return PruneReport(
        temporary=tuple(name for name in report.temporary if name not in ours),
        blobs=tuple(blobs),
        snapshots=tuple(snapshots),
        reclaimed_bytes=report.reclaimed_bytes,
    )


def clear_temporary(root: ImageRoot) -> PruneReport:
    """Removes temporary files and directories whose lease has ended."""
    with _typed(root):
        # Listed before the living leases are: what is made in between is in neither list or in both.
        names = [
            (directory, name)
            for directory in (root.content.ingest, root.snapshots.path)
            for name in _in(directory)
        ]
        live = sweep(root.leases, root.table)
        dead = [(directory, name) for directory, name in names if _is_dead(name, live)]
        size = remove_trees(os.path.join(directory, name) for directory, name in dead)
    return PruneReport(temporary=tuple(name for _, name in dead), reclaimed_bytes=size)


@contextmanager
def _typed(root: ImageRoot) -> Iterator[None]:
    """What the disk refuses, as this library's error. Raises: StageError(stage="state")."""
    try:
        yield
    except Error:
        raise
    except OSError as error:
        path = str(error.filename or root.content.path)
        advice = "see to it that this can be read and written, and prune again"
        raise StageError("state", error.errno or 0, path, advice=advice) from error


def _forget_snapshots(root: ImageRoot) -> None:
    kept = set(root.table.kept("snapshot"))
    for chain_id, kind in root.table.snapshot_sizes():
        if chain_id not in kept:
            root.table.delete_snapshot(chain_id, kind)


def _unname_snapshots(root: ImageRoot, lease: Lease) -> list[str]:
    known = {root.snapshots.path_of(chain_id, kind) for chain_id, kind in root.table.snapshot_sizes()}
    dropped = []
    for name in _in(root.snapshots.path):
        path = os.path.join(root.snapshots.path, name)
        if lease_of(name) is None and path not in known:
            os.rename(path, lease.temporary(root.snapshots.path))
            dropped.append(_chain_id(name.partition(".")[0]))
    return dropped


def _chain_id(name: str) -> str:
    """The lowest layer's is its diff_id, which may be of another algorithm than those above it."""
    return f"{'sha512' if len(name) == 128 else 'sha256'}:{name}"


def _unname_blobs(root: ImageRoot, lease: Lease) -> list[str]:
    kept = root.table.kept("blob") | root.stand_ins()
    dropped = []
    for digest in root.content.digests():
        if str(digest) not in kept:
            os.rename(root.content.blob_path(digest), lease.temporary(root.content.ingest))
            dropped.append(str(digest))
    return dropped


def _mend_index(root: ImageRoot) -> None:
    """Removes a draft of index.json, and brings the file up to the table: a kill may have come between the two."""
    for name in _in(root.content.ingest):
        if lease_of(name) is None:
            os.unlink(os.path.join(root.content.ingest, name))
    root.write_index()


def _is_dead(name: str, live: set[str]) -> bool:
    lease = lease_of(name)
    return lease is not None and lease not in live


def _in(directory: str) -> Iterable[str]:
    return sorted(os.listdir(directory))
