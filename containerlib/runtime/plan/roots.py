"""Where a container's root comes from. Both kinds are mounted in its own mount namespace only, never on the host."""

from __future__ import annotations

from containerlib.spec.values import frozen

__all__ = ["BindRoot", "OverlayRoot", "Root"]


@frozen
class OverlayRoot:
    """`lowers` top first. `upper` and `work` None: what is written lives on a tmpfs and dies with the container."""

    lowers: tuple[str, ...]
    upper: str | None
    work: str | None
    classic: bool = False
    """Mounted by mount(2), as before Linux 6.7; 100 layers or so then, not 500."""


@frozen
class BindRoot:
    """A directory that is the root as it is, as runtimes use a bundle's rootfs."""

    path: str


Root = OverlayRoot | BindRoot
