"""One directory of an image, copied out of its layers.

copy_directory(layers, "/var/lib/data", "/an/empty/directory")      # False: the image has no such directory
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from containerlib._sys.copies import replace_status
from containerlib._sys.layers import LayerWriter
from containerlib.errors import StageError
from containerlib.images.archives.layer import layer_tar
from containerlib.images.snapshots.merged import MergedTree
from containerlib.spec.layer import Layer

__all__ = ["copy_directory"]


def copy_directory(layers: Sequence[str | Layer], path: str, target: str) -> bool:
    """Fills the empty directory `target` as the directory `path` is in the image of `layers`, top first.

    Links in `path` are followed inside the image. Raises: StageError; InvalidArgument for what no layer can hold.
    """
    with MergedTree(layers) as tree:
        found = tree.resolve(path)
        if found is None:
            return False
        with tree.below(found) as directory:
            if directory is None:
                return False
            entries = directory.walk()
            root = next(entries)
            with LayerWriter(target) as writer:
                for chunk in layer_tar(entries):
                    writer.feed(chunk)
                writer.finish()
            _finish(root.parent, target, root.status)
    return True


def _finish(source: int, target: str, status: os.stat_result) -> None:
    """The directory itself, last: what was written into it has changed its time."""
    try:
        descriptor = os.open(f"{target}/.", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            replace_status(source, descriptor, status)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StageError("volume", error.errno or 0, target) from error
