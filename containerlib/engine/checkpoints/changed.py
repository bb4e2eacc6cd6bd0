"""What a container had changed of its files at a checkpoint, put back: an archive to its writable layer.

    <container>/upper.new       is made of the archive, and takes the place of
                upper           at once: whoever is killed here leaves one of the two
                upper.before    is what that was, until the container goes on; where it cannot, it takes its place again

A supervisor does the last by itself: see choose_plan in _native/shim/life.c.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from containerlib._sys.filesystem import exchange
from containerlib._sys.layers import LayerWriter
from containerlib._sys.trees import remove_tree
from containerlib.engine.undo import clean_up
from containerlib.errors import StageError

__all__ = ["forget_before", "rewind", "rewound", "unpack"]

_PIECE = 1 << 20
_UPPER, _NEW, _BEFORE = "upper", "upper.new", "upper.before"


def unpack(changed: str, upper: str) -> None:
    """Writes the archive to the directory `upper`, which is empty. Raises: StageError; InvalidArgument."""
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

    Raises: StageError, InvalidArgument; it is as it was then.
    """
    upper, new, before = (f"{directory}/{name}" for name in (_UPPER, _NEW, _BEFORE))
    try:
        remove_tree(before)
        remove_tree(new)
        try:
            _make_like(upper, new)
            unpack(changed, new)
        except BaseException as error:
            clean_up(error, lambda: remove_tree(new))
            raise
        exchange(upper, new)
        os.rename(new, before)  # noqa: PTH104 - a str
    except StageError:
        raise
    except OSError as error:
        raise StageError("checkpoint", error.errno or 0, upper) from error


def _make_like(upper: str, new: str) -> None:
    facts = os.stat(upper)  # noqa: PTH116 - a str
    os.mkdir(new, 0o755)  # noqa: PTH102
    os.chmod(new, facts.st_mode & 0o7777)  # noqa: PTH101
    os.chown(new, facts.st_uid, facts.st_gid)


@contextlib.contextmanager
def rewound(directory: str, changed: str) -> Iterator[None]:
    """As `rewind`, and where the block fails they are what they were before it."""
    rewind(directory, changed)
    try:
        yield
    except BaseException as error:
        clean_up(error, lambda: exchange(f"{directory}/{_UPPER}", f"{directory}/{_BEFORE}"))
        raise


def forget_before(directory: str) -> None:
    """The container goes on: what its files were before is of no use any more. Raises: OSError."""
    remove_tree(f"{directory}/{_BEFORE}")
