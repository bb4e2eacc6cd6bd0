"""What is in a volume as a tar stream, and back: `podman volume export` and `import`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from containerlib._sys.layers import LayerLimits, LayerWriter
from containerlib.engine.output import input_file, output
from containerlib.engine.volume_use import release_quietly, users_of
from containerlib.engine.words import any_path
from containerlib.errors import InvalidArgument
from containerlib.images.archives.layer import layer_entries, layer_tar
from containerlib.images.archives.streams import Source, Target, check_source, name_of, pieces
from containerlib.images.archives.tar import write_to
from containerlib.images.snapshots.merged import MergedTree
from containerlib.images.transfer.decoding import decoded

if TYPE_CHECKING:
    from containerlib.engine.core import Core

__all__ = ["backup", "restore"]

_LIMITS = LayerLimits(max_entries=1 << 40, max_bytes=1 << 60)
"""The caller's own files, which may be more than an image has."""


def backup(core: Core, name: str, target: Target) -> None:
    """Writes all that is in the volume as a tar archive, as it finds it.

    Raises: NotFound; StageError; InvalidArgument for a name that an archive of a layer cannot have.
    """
    try:
        # The open tree stays what it is, also where somebody unmounts the volume.
        with (
            core.volumes.reading(name, lambda path: MergedTree([path], hide_whiteouts=False)) as tree,
            output(target, field="target") as out,
        ):
            write_to(out, layer_tar(layer_entries(tree.walk())))
    finally:
        release_quietly(core, [name])


def restore(core: Core, name: str, source: Source) -> None:
    """Puts what the tar archive has, compressed or not, in the place of all that is in the volume; or changes nothing.

    Raises: NotFound; Conflict where a container that has it runs; InvalidArgument(field="source"); StageError.
    """
    check_source(source)
    core.volumes.get(name)
    if isinstance(source, str | os.PathLike):
        path = any_path(source, field="source")
        with input_file(path, stage="volume", missing=f"there is no archive {path!r}") as file:
            _restore(core, name, decoded(pieces(file, stage="volume")), name_of(source))
        return
    _restore(core, name, decoded(pieces(source, stage="volume")), name_of(source))


def _restore(core: Core, name: str, chunks: Iterable[bytes], what: str) -> None:
    try:
        core.volumes.replace(name, partial(_unpack, chunks), partial(users_of, core, only_running=True))
    except InvalidArgument as error:
        if error.field != "layer":
            raise
        raise InvalidArgument(
            f"{what} is no whole tar archive of a volume ({error})", field="source"
        ) from error
    finally:
        release_quietly(core, [name])


def _unpack(chunks: Iterable[bytes], directory: str) -> bool:
    size = 0
    with LayerWriter(directory, limits=_LIMITS) as writer:
        for chunk in chunks:
            writer.feed(chunk)
            size += len(chunk)
        writer.finish()
    if not size:
        raise InvalidArgument("it is empty, and an archive of nothing is not", field="layer")
    return True
