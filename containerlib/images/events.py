"""What is told of an image: which, by what name, and its labels.

events.add(image_event("tag", image_id, "docker.io/library/redis:7", config))
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from containerlib.errors import InvalidArgument, StageError
from containerlib.spec.image_config import ImageConfig
from containerlib.store import EventRow

__all__ = ["image_event", "removed"]

_MOST_LABELS = 1 << 14
"""Characters; whoever made an image may have written megabytes of them, and thousands of events are kept."""

Configured = Callable[[str], ImageConfig]


def image_event(action: str, image_id: str, name: str, config: Configured) -> EventRow:
    """Without labels where these cannot be read, or are too many: an image that is damaged is removed too."""
    labels: dict[str, str] = {}
    with suppress(StageError, InvalidArgument):
        labels = dict(config(image_id).labels)
    if sum(len(key) + len(value) for key, value in labels.items()) > _MOST_LABELS:
        labels = {}
    return EventRow("image", action, image_id, name, labels=labels)


def removed(image_id: str, names: tuple[str, ...], config: Configured) -> list[EventRow]:
    """Each of its names goes, and then the image."""
    untagged = [image_event("untag", image_id, name, config) for name in names]
    return [*untagged, image_event("remove", image_id, "".join(names[:1]), config)]
