"""Freezing a container's processes and letting them go on: no verb of the specification, but runc's and Docker's."""

from __future__ import annotations

from containerlib.runtime.containers.groups import needed
from containerlib.runtime.containers.lock import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from containerlib.runtime.containers.containers import Container

__all__ = ["pause", "resume"]


def pause(container: Container) -> None:
    """Raises: Conflict; Unsupported without a freezer; Timeout."""
    with Lock(container.directory):
        container.check("pause", locked=True)
        needed(container).freeze()


def resume(container: Container) -> None:
    """Raises: Conflict; Timeout."""
    with Lock(container.directory):
        container.check("resume", locked=True)
        needed(container).thaw()
