"""What the words of a recipe stand on."""

from __future__ import annotations

from typing import Any, Self

from containerlib.spec.options import ContainerOptions

__all__ = ["Words"]


class Words:
    """A value with options, of which a changed copy can be made."""

    __slots__ = ()

    options: ContainerOptions

    def _with(self, **changes: Any) -> Self:
        """A copy with other options."""
        raise NotImplementedError
