"""Other limits for a container that is there: no verb of the specification, but of every runtime."""

from __future__ import annotations

from containerlib.errors import Unsupported
from containerlib.runtime.config.validate import validate_resources
from containerlib.runtime.containers.groups import needed
from containerlib.runtime.containers.lock import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from containerlib.runtime.containers.containers import Container

__all__ = ["update"]


def update(container: Container, resources: Mapping[str, Any], rdt: Mapping[str, str] | None = None) -> None:
    """Changes what `resources` (of linux.resources) names; what it does not name stays, and so do device rules.

    Raises: Conflict; InvalidArgument; Unsupported; StageError. Then nothing has changed.
    """
    if rdt:
        raise Unsupported(f"{', '.join(rdt)}: a running container's intelRdt cannot be changed yet")
    validate_resources(resources)
    with Lock(container.directory):
        container.check("update", locked=True)
        needed(container).update(resources)
