"""Things that a filter names: by a handle of either face, or by a name or an id."""

from __future__ import annotations

from typing import Any, Literal, Protocol, TypeAlias

from containerlib.fluent.image import HostImage

__all__ = ["AnyHost", "HealthWord", "WithId", "WithName", "named"]

HealthWord: TypeAlias = Literal["starting", "healthy", "unhealthy", "none"]


class WithId(Protocol):
    """A handle of a container or an image."""

    @property
    def id(self) -> str: ...


class WithName(Protocol):
    """A handle of a volume or a network."""

    @property
    def name(self) -> str: ...


class AnyHost(Protocol):
    """What the async face has of the machine's own files."""

    @property
    def blocking(self) -> HostImage: ...


def named(value: Any) -> Any:
    """The id of a container or an image, the name of another thing; what is neither is returned as it is."""
    if isinstance(value, HostImage) or isinstance(getattr(value, "blocking", None), HostImage):
        return "host"
    if isinstance(value, str):
        return value
    return getattr(value, "id", None) or getattr(value, "name", value)
