"""Tests that hold however layers are kept: `pytestmark = [*EACH, ...]` runs a module with each of the usual ways."""

from __future__ import annotations

import pytest

__all__ = ["EACH"]

EACH = (
    pytest.mark.usefixtures("snapshotter"),
    pytest.mark.parametrize("snapshotter", ["overlay", "erofs"], indirect=True),
)
