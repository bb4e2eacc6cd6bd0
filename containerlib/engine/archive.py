"""A container's files as a layer, an archive, or a list of changes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from containerlib._sys.inside import Owners
from containerlib.engine import stop, words
from containerlib.engine.history import note
from containerlib.engine.ids import maps_again
from containerlib.engine.instance import Instance
from containerlib.engine.output import input_file, output
from containerlib.errors import Conflict, InvalidArgument, Unsupported
from containerlib.images import ImageRecord, Progress
from containerlib.images.archives.building import NewLayer
from containerlib.images.archives.changes import Change, changes
from containerlib.images.archives.configs import ConfigChanges, History
from containerlib.images.archives.layer import layer_entries, layer_tar, source_date_epoch
from containerlib.images.archives.streams import Source, Target, check_source, name_of, pieces
from containerlib.images.archives.tar import write_to
from containerlib.images.records import one_at_a_time
from containerlib.images.snapshots.merged import MergedTree
from containerlib.images.transfer.decoding import decoded
from containerlib.spec.layer import Layer
from containerlib.spec.lifecycle import State

if TYPE_CHECKING:
    from containerlib.engine.core import Core
    from containerlib.spec.options import Compression

__all__ = ["commit", "diff", "export", "history", "import_tree", "save", "upper_layer"]


def diff(instance: Instance) -> list[Change]:
    """What its processes changed in the image's files. Raises: Unsupported for a container of the host's image."""
    return list(changes(_upper(instance), _lowers(instance)))


def export(instance: Instance, target: Target) -> None:
    """Writes all of its files, mounts left out, as a tar archive. Raises: StageError; Unsupported as `diff`."""
    with (
        MergedTree(_files(instance), owners=_owners(instance)) as tree,
        output(target, field="target") as out,
    ):
        write_to(out, layer_tar(tree.walk()))
    note(instance, "export")


def save(core: Core, names: Sequence[str], target: Target, *, layout: bool) -> None:
    """Writes images as an archive, or as an OCI layout into a directory. Raises: as `ImageStore.save`."""
    if layout:
        if hasattr(target, "write"):
            raise InvalidArgument("a layout is a directory: give its path", field="target")
        core.images.save(names, words.any_path(target, field="target"))
        return
    with output(target, field="target") as out:
        core.images.save(names, out)


def import_tree(
    core: Core,
    source: Source,
    *,
    reference: str | None,
    made: History,
    changed: ConfigChanges,
    compression: Compression,
    progress: Callable[[Progress], None] | None = None,
) -> ImageRecord:
    """An image of one layer: a directory's files, or those of a tar archive, compressed or not.

    Raises: NotFound; InvalidArgument(field="layer"); StageError; Unsupported without root; as `source.read`.
    """
    check_source(source)
    report = one_at_a_time(progress)
    try:
        with _opened(source, lambda done: report(Progress("read", "", done, 0))) as chunks:
            return core.images.add_layers(
                None,
                [NewLayer(chunks, made, compression)],
                changes=changed,
                reference=reference,
                progress=report,
            )
    except InvalidArgument as error:
        if error.field != "layer":
            raise
        raise InvalidArgument(
            f"{name_of(source)} is no whole tar archive of a root file system ({error})", field="layer"
        ) from error


@contextmanager
def _opened(source: Source, report: Callable[[int], None]) -> Iterator[Iterable[bytes]]:
    """The tar stream."""
    if not isinstance(source, str | os.PathLike):
        yield decoded(pieces(source, stage="import", report=report))
        return
    path = words.any_path(source, field="source")
    if os.path.isdir(path):  # noqa: PTH112
        with MergedTree([path], hide_whiteouts=False) as tree:
            yield layer_tar(layer_entries(tree.walk()), latest=source_date_epoch())
        return
    missing = f"there is no file or directory {path!r} to make an image of"
    with input_file(path, stage="import", missing=missing) as file:
        yield decoded(pieces(file, stage="import", report=report))


def commit(
    instance: Instance,
    *,
    reference: str | None,
    made: History,
    changed: ConfigChanges,
    compression: Compression,
    pause: bool,
) -> ImageRecord:
    """An image of its image and what it changed. Frozen meanwhile with `pause`. Raises: StageError; Unsupported."""
    with _held(instance, pause), upper_layer(instance) as chunks:
        image = instance.core.images.add_layers(
            instance.record.image_id,
            [NewLayer(chunks, made, compression)],
            changes=changed,
            reference=reference,
        )
    note(instance, "commit", image_id=image.id, **({"reference": reference} if reference else {}))
    return image


@contextmanager
def upper_layer(instance: Instance) -> Iterator[Iterator[bytes]]:
    """What it changed, as the tar archive of a layer. Raises: Unsupported; StageError."""
    with MergedTree([_upper(instance)], hide_whiteouts=False, owners=_owners(instance)) as tree:
        entries = (entry for entry in tree.walk() if entry.path)
        yield layer_tar(layer_entries(entries), latest=source_date_epoch())


def history(created_by: str, *, author: str = "", comment: str = "") -> History:
    """Of now, or of SOURCE_DATE_EPOCH."""
    epoch = source_date_epoch()
    return History(time.time() if epoch is None else float(epoch), created_by, author, comment)


@contextmanager
def _held(instance: Instance, pause: bool) -> Iterator[None]:
    """Nothing in it moves, if it runs."""
    if not pause or instance.state is not State.RUNNING:
        yield
        return
    try:
        with suppress(Conflict):  # it ends at this moment
            stop.pause(instance)
        yield
    finally:
        with suppress(Conflict):  # somebody has ended it, or resumed it
            stop.resume(instance)


def _files(instance: Instance) -> tuple[str | Layer, ...]:
    """All that it sees, top first."""
    if instance.memo.layers == "copy":
        return (f"{instance.directory}/rootfs",)
    return (_upper(instance), *_lowers(instance))


def _upper(instance: Instance) -> Layer:
    path = f"{instance.directory}/upper"
    if instance.memo.layers == "copy":
        raise Unsupported(
            f"{instance.subject} has a copy of its image's files, and nobody knows which it changed: the other "
            "snapshotters keep that apart"
        )
    if instance.memo.host or not os.path.isdir(path):  # noqa: PTH112
        raise Unsupported(
            f"{instance.subject} is of the host's image: what it writes is in memory, and the image is this machine"
        )
    return Layer(path, "fuse-overlayfs" if instance.memo.layers == "fuse-overlayfs" else "overlay")


def _owners(instance: Instance) -> Owners | None:
    """What it wrote has the ids that its user namespace has on the host; its image's files have the image's.

    Those of a copy are all as if it had written them, and fuse-overlayfs writes files with the container's ids.
    """
    if instance.memo.ids != "mapped" or instance.memo.layers == "fuse-overlayfs":
        return None
    maps = maps_again(instance)
    return None if maps is None else maps.owners


def _lowers(instance: Instance) -> tuple[Layer, ...]:
    return instance.core.images.layers(instance.record.image_id, instance.memo.layers)
