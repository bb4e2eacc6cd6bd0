"""What a container changed in its image's files: `docker diff`.

    for change in changes(upper, lowers): print(change)        # "A /etc/new", "C /etc", "D /etc/old"

A directory counts as changed where anything in it is, as with Docker.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Literal

from attrs import frozen

from containerlib.errors import StageError, printable
from containerlib.images.snapshots.merged import Entry, MergedTree, is_whiteout
from containerlib.spec.layer import Layer

__all__ = ["Change", "changes"]


@frozen
class Change:
    """One file: `kind` is "A" (added), "C" (changed) or "D" (deleted), `path` absolute in the container.

    `str` of it has control characters escaped: the container named the file.
    """

    kind: Literal["A", "C", "D"]
    path: str

    def __str__(self) -> str:
        return f"{self.kind} {printable(self.path)}"


def changes(upper: str | Layer, lowers: Sequence[str | Layer]) -> Iterator[Change]:
    """The changes of the layer `upper` over `lowers` (top first), by path. Raises: StageError."""
    with MergedTree([upper], hide_whiteouts=False) as layer, MergedTree(lowers) as below:
        for entry in layer.walk():
            try:
                if entry.path:
                    yield from _change(entry, below)
            except OSError as error:
                raise StageError("diff", error.errno or 0, f"/{entry.path}") from error


def _change(entry: Entry, below: MergedTree) -> Iterator[Change]:
    path = f"/{entry.path}"
    before = below.status(entry.path)
    if is_whiteout(entry.status):
        if before is not None:
            yield Change("D", path)
        return
    yield Change("A" if before is None else "C", path)
    if entry.opaque and before is not None:
        yield from _hidden(entry, below)


def _hidden(entry: Entry, below: MergedTree) -> Iterator[Change]:
    """What was in a directory that was removed and made again, and is not in the new one."""
    try:
        descriptor = entry.open(os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:  # a running container removed it
        return
    try:
        now = set(os.listdir(descriptor))
    finally:
        os.close(descriptor)
    for name in below.names(entry.path):
        if name not in now:
            yield Change("D", f"/{entry.path}/{name}")
