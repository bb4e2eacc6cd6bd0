"""What happens under one root, whichever process does it.

    for event in events(core, Query(follow=True)): ...

A container may start and end while none of our processes is alive. Its supervisor's records say when, and whoever looks
next (a follower, a list of events, who starts or removes it again) stores that. So an event's id is the order in which
it became known, and its time is when it happened.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, cast

from attrs import field, frozen

from containerlib._sys.steps import Flow, Ready
from containerlib._sys.watching import MADE, MODIFIED, OVERFLOW, RENAMED, WRITTEN, DirectoryWatch
from containerlib.engine.history import catch_up
from containerlib.engine.instance import Instance
from containerlib.errors import InvalidArgument, NotFound
from containerlib.spec.reference import Reference

if TYPE_CHECKING:
    from containerlib.engine.core import Core

__all__ = ["EVENT_ACTIONS", "Event", "EventKind", "Query", "events"]

EventKind = Literal["container", "image", "volume", "network"]

_CONTAINER = """create start die oom missed stop kill pause resume restart attach detach exec exec_die resize top copy
    commit export update rename health_status checkpoint checkpoint_failed restore remove prune"""
EVENT_ACTIONS: Mapping[EventKind, tuple[str, ...]] = {
    "container": tuple(_CONTAINER.split()),
    "image": ("pull", "load", "import", "build", "push", "save", "tag", "untag", "remove", "prune"),
    "volume": ("create", "remove", "prune"),
    "network": ("create", "connect", "disconnect", "remove"),
}
_ID = re.compile(r"(sha256:)?[0-9a-f]{12,64}")
_RECORDS = ("started", "exit", "restarts", "health")


@frozen
class Event:
    """Something that happened.

    `id` grows from one event to the next of a root. `subject` is a container's or an image's id, or a volume's name;
    `name` what people call it; both are empty for a prune. `attributes`, of containers, have the image's reference and

    * create: volumes (their names, with commas); die: exit_code, and signal where one ended it
    * missed: ends, how many runs came and went before anybody looked
    * exec: program, exec_id; exec_die: these and exit_code, where the one who ran the command saw its end
    * kill: signal; rename: old_name; resize: rows, columns; health_status: status; copy: direction ("in", "out"), path
    * commit: image_id, and reference where it was given one
    * connect and disconnect, of networks: container, type (the driver)

    and of every prune reclaimed_bytes. `labels` are the subject's. The page for users of Docker has every action.
    """

    id: int
    time: datetime
    kind: EventKind
    action: str
    subject: str
    name: str
    attributes: Mapping[str, str] = field(factory=dict)
    labels: Mapping[str, str] = field(factory=dict)


@frozen
class Query:
    """Which events; empty: of every sort. `subject`: a name, an id, or how that starts. `after`: with a higher id.

    `image`: of this image, and of containers that were made from it. `labels`: which it has all of (None: any value).
    """

    follow: bool = False
    since: datetime | None = None
    until: datetime | None = None
    after: int | None = None
    kinds: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    subject: str | None = None
    image: str | None = None
    labels: tuple[tuple[str, str | None], ...] = ()

    def wants(self, event: Event) -> bool:
        """Whether it is one of these."""
        return (
            (self.since is None or event.time >= self.since)
            and (self.until is None or event.time <= self.until)
            and (not self.kinds or event.kind in self.kinds)
            and (not self.actions or event.action in self.actions)
            and (self.subject is None or event.name == self.subject or event.subject.startswith(self.subject))
            and (self.image is None or _is_of_image(event, self.image))
            and all(n in event.labels and v in (None, event.labels[n]) for n, v in self.labels)
        )


def _is_of_image(event: Event, image: str) -> bool:
    """As Docker has it: by id, by reference, or by a reference without a tag, whatever the tag is."""
    if event.kind == "image":
        return _is_called(event.subject, image) or _is_called(event.name, image)
    return event.kind == "container" and _is_called(event.attributes.get("image", ""), image)


def _is_called(name: str, image: str) -> bool:
    """`name`: an id, a reference, or nothing."""
    if _ID.fullmatch(image):
        return name.removeprefix("sha256:").startswith(image.removeprefix("sha256:"))
    try:
        has, asked = Reference.parse(name), Reference.parse(image)
    except InvalidArgument:
        return name == image  # the host's
    is_any_tag = asked.digest is None and ":" not in image.rpartition("/")[2]
    return (has.registry, has.repository) == (asked.registry, asked.repository) and (
        is_any_tag or has == asked
    )


def events(core: Core, query: Query) -> Flow[Event]:
    """The events that are known, and with `follow` those to come, until `query.until`. Raises: StageError."""
    if query.follow:
        return _follow(core, query)
    catch_up(_all(core))
    return (event for event in _stored(core, query.after or 0) if query.wants(event))


def _follow(core: Core, query: Query) -> Flow[Event]:
    """New events alone, unless `since` or `after` says from where on."""
    with DirectoryWatch() as watch:
        watched = _Watched(core, watch)
        is_from_now = query.after is None and query.since is None
        last = core.store.events.newest() if is_from_now else query.after or 0
        watched.look_at_all()
        while True:
            for event in _stored(core, last):
                last = event.id
                if query.wants(event):
                    yield event
            left = None if query.until is None else query.until.timestamp() - time.time()
            if left is not None and left <= 0:
                return
            yield Ready((watch.fileno(),), timeout=left)
            watched.look()


class _Watched:
    """The places where something is written when something happens: the database, and containers' directories."""

    def __init__(self, core: Core, watch: DirectoryWatch) -> None:
        self._core = core
        self._watch = watch
        self._places: dict[int, str] = {}
        watch.add(core.root, MODIFIED)
        self._made = watch.add(core.containers, MADE)

    def look_at_all(self) -> None:
        """Watches every container, then stores what happened until then."""
        for instance in _all(self._core):
            self._look_at(instance.id)

    def look(self) -> None:
        """At what has changed; what containers' records say is stored then."""
        for number, name in dict.fromkeys(self._watch.wait(0.0)):
            if number == OVERFLOW:
                self.look_at_all()
            elif number == self._made:
                self._look_at(name)
            elif name in _RECORDS and number in self._places:
                self._store(self._places[number])

    def _look_at(self, container_id: str) -> None:
        try:
            number = self._watch.add(self._core.directory(container_id), WRITTEN | RENAMED)
        except OSError:  # it is gone again
            return
        self._places[number] = container_id
        self._store(container_id)

    def _store(self, container_id: str) -> None:
        with contextlib.suppress(NotFound):
            record = self._core.store.containers.get(container_id)
            catch_up([Instance.of(self._core, record)])


def _all(core: Core) -> list[Instance]:
    return [Instance.of(core, record) for record in core.store.containers.list()]


def _stored(core: Core, last: int) -> list[Event]:
    return [
        Event(
            each.id,
            datetime.fromtimestamp(each.time_ns / 1e9, UTC),
            cast("EventKind", each.kind),
            each.action,
            each.subject,
            each.name,
            each.attributes,
            each.labels,
        )
        for each in core.store.events.after(last)
    ]
