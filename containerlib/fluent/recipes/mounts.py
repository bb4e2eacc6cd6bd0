"""What a container sees beside its image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from containerlib.engine import words
from containerlib.fluent.mounts import mount_option
from containerlib.fluent.recipes.base import Words

if TYPE_CHECKING:
    from containerlib.fluent.mounts import MountSource


__all__ = ["MountWords"]


class MountWords(Words):
    """Mounts, and whether the root can be written."""

    __slots__ = ()

    def mount(self, source: MountSource, *, at: str, read_only: bool = False) -> Self:
        """Shows `source` at the container's absolute path `at`.

        `source` is an absolute path on the host, a volume (`engine.volume("www")`), or `tmpfs(size="64MiB")`.
        """
        mount = mount_option(source, at=at, read_only=read_only)
        others = tuple(other for other in self.options.mounts if other.target != mount.target)
        return self._with(mounts=(*others, mount))

    def read_only(self, enabled: bool = True, /) -> Self:
        """The root file system cannot be written; mounts can."""
        return self._with(read_only=words.flag(enabled, field="read_only"))
