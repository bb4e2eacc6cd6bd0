"""What a verb warns of goes to a function of its caller's. This one is for a caller without a log."""

from __future__ import annotations

__all__ = ["silent"]


def silent(message: str) -> None:
    """Who makes a container without a log does not hear of warnings."""
