"""What a container had changed of its files at a checkpoint, put back: an archive to its writable layer."""

from __future__ import annotations

import os

from containerlib._sys.filesystem import exchange
from containerlib._sys.layers import LayerWriter
from containerlib._sys.trees import remove_tree
from containerlib.errors import StageError

__all__ = ["rewind", "unpack"]

_PIECE = 1 << 20


def unpack(changed: str, upper: str) -> None:
    """Writes the archive to the directory `upper`, which is empty. Raises: StageError."""
    try:
        with open(changed, "rb", buffering=0) as file, LayerWriter(upper) as writer:
            while piece := file.read(_PIECE):
                writer.feed(piece)
            writer.finish()
    except StageError:
        raise
    except OSError as error:
        raise StageError("checkpoint", error.errno or 0, changed) from error


def rewind(directory: str, changed: str) -> None:
    """The writable layer of the stopped container in `directory` has what the archive has, and nothing else.

    It is made aside, and takes the place of the other at once: whoever is killed here leaves one of the two.
    Raises: StageError.
    """
    upper, aside = f"{directory}/upper", f"{directory}/upper.new"
    try:
        remove_tree(aside)
        facts = os.stat(upper)  # noqa: PTH116 - a str
        os.mkdir(aside, 0o755)  # noqa: PTH102
        os.chmod(aside, facts.st_mode & 0o7777)  # noqa: PTH101
        os.chown(aside, facts.st_uid, facts.st_gid)
        unpack(changed, aside)
        exchange(upper, aside)
        remove_tree(aside)
    except OSError as error:
        if isinstance(error, StageError):
            raise
        raise StageError("checkpoint", error.errno or 0, upper) from error
