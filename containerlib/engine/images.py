"""Images, where containers have a say."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from containerlib.engine.core import Core

__all__ = ["remove"]
