"""Tests that hold however layers are kept: `pytestmark = [*EACH, ...]` runs a module with each of the usual ways."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from containerlib.spec.options import SnapshotterName

__all__ = ["EACH", "usable"]

EACH = (
    pytest.mark.usefixtures("snapshotter"),
    pytest.mark.parametrize("snapshotter", ["overlay", "erofs"], indirect=True),
)


def usable(name: SnapshotterName, directory: Path) -> SnapshotterName:
    """`name`; skips where that snapshotter cannot work for a root in `directory`."""
    from containerlib.errors import Unsupported
    from containerlib.images.snapshots.choice import Ground, find_snapshotter

    try:
        find_snapshotter(name, Ground.of(str(directory / "try")))
    except Unsupported as error:
        pytest.skip(str(error))
    return name
