"""What a container is called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from containerlib.engine import words
from containerlib.engine.names import check_name
from containerlib.fluent.recipes.base import Words

__all__ = ["IdentityWords"]


class IdentityWords(Words):
    """Names, labels, and what is written into the files that name others."""

    __slots__ = ()

    def name(self, name: str, /) -> Self:
        """The container's name, one of a kind in this engine. Without it one is made up."""
        return self._with(name=check_name(name))

    def label(self, mapping: Mapping[str, str] | None = None, /, **labels: str) -> Self:
        """Adds labels; one that is there already is replaced."""
        return self._with(labels=words.merge_pairs(self.options.labels, mapping, labels, field="label"))

    def hostname(self, name: str, /) -> Self:
        """The container's host name. Without it, the first 12 digits of its id."""
        return self._with(hostname=words.hostname(name))
