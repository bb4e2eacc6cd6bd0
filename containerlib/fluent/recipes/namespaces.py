"""Whom a container shares its surroundings with."""

from __future__ import annotations

from typing import Literal, Self

from containerlib.errors import InvalidArgument
from containerlib.fluent.recipes.base import Words

__all__ = ["NamespaceWords"]


class NamespaceWords(Words):
    """Namespaces that are the host's."""

    __slots__ = ()

    def network(self, kind: Literal["none", "host"], /) -> Self:
        """`"none"`: a loopback device alone. `"host"`: the host's network."""
        if kind not in ("none", "host"):
            raise InvalidArgument(f'{kind!r} is not a network: "none" or "host"', field="network")
        return self._with(network=kind)
