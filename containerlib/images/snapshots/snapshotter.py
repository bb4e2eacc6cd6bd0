"""The one interface of what keeps layers: directories, EROFS files, copies.

A layer comes in as the tar stream of its chain id, and is there as a path that a container mounts. This is the whole
life of one; everything that has to do with names, rows and locks is the store's (store.py), and the same for all:

    snapshotter = find_snapshotter("auto", Ground.of(place))

    # the layers of an image, all at the same time: few look at those below before their end
    draft = snapshotter.prepare(path, lowers, opened, ready)   # at a temporary name; lowers, top first, may be drafts
    for piece in tar_stream:
        draft.feed(piece)                         # waits for `ready` where it looks at the layers below
    size = draft.finish()                         # what it says is checked, and the layer is complete
    draft.close()                                 # also after a failure; what is at `path` is the store's to remove

    # once all are on disk, in one transaction
    os.rename(path, f"{directory}/{hex}{snapshotter.suffix}")
    table.put_snapshot(chain_id, snapshotter.kind, size)

    # a container of the image
    snapshotter.layers(paths)                     # -> Layers, top first: what its root is stacked of

    # when no image keeps it
    table.delete_snapshot(chain_id, snapshotter.kind)
    os.rename(..., temporary)                     # and slowly, after the transaction:
    remove_tree(temporary)                        # a file, or a directory

A process may be killed between any two lines: what has a temporary name goes with its lease, what has a name without a
row at the next collection, and a row is never there without its layer.

A container mounts layers in its own mount namespace: nothing here mounts anything that outlives the call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from containerlib._sys.opening import OpenLayers
from containerlib.spec.layer import Layer

if TYPE_CHECKING:
    from containerlib.spec.layer import LayerKind

__all__ = ["Draft", "Snapshotter"]


class Draft(Protocol):
    """A layer in the making. Not for two threads at once."""

    def feed(self, data: bytes) -> None:
        """Takes the next bytes of the tar stream.

        Raises: InvalidArgument(field="layer") for one that is malformed or hostile; StageError.
        """

    def finish(self) -> int:
        """Completes the layer; returns the bytes of its files' content. Raises: as `feed`."""

    def close(self) -> None:
        """Frees what it holds; after `finish`, the layer stays."""


class Snapshotter(Protocol):
    """Makes layers of one kind. Safe to use from many threads."""

    @property
    def kind(self) -> LayerKind:
        """What its layers are, as the store's table has it."""

    @property
    def suffix(self) -> str:
        """The end of their names: a root may hold layers of several kinds under one chain id."""

    def prepare(
        self, path: str, lowers: Sequence[Layer], opened: OpenLayers, ready: int | None = None
    ) -> Draft:
        """Begins a layer at `path`, which is not there yet, on top of `lowers`, top first.

        `opened` is for reading these. They are complete when `finish` is called, and, with `ready`, before that when
        this descriptor is readable; it is open as long as the draft. Raises: StageError.
        """

    def layers(self, paths: Sequence[str]) -> tuple[Layer, ...]:
        """What a container's root is stacked of, top first, for a chain whose layers are at `paths`, top first."""
