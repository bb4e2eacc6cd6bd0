"""What happens under one root, whichever process does it.

    for event in events(core, Query(follow=True)): ...

A container may start and end while none of our processes is alive. Its supervisor's records say when, and whoever looks
next (a follower, a list of events, who starts or removes it again) stores that. So an event's id is the order in which
it became known, and its time is when it happened.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, cast

from attrs import field, frozen

from containerlib._sys.steps import Flow, Ready
from containerlib._sys.watching import MADE, MODIFIED, OVERFLOW, RENAMED, WRITTEN, DirectoryWatch
from containerlib.engine.history import catch_up
from containerlib.engine.instance import Instance
from containerlib.errors import NotFound

if TYPE_CHECKING:
    from containerlib.engine.core import Core

__all__ = ["Event", "EventKind", "Query", "events"]

EventKind = Literal["container", "image", "volume", "network"]
_RECORDS = ("started", "exit", "restarts", "health")


@frozen
class Event:
    """Something that happened.

    `id` grows from one event to the next of a root. `subject` is a container's or an image's id, or a volume's name;
    `name` what people call it. `action`, of containers: create, start, die (attributes exit_code and signal), oom,
    stop, kill (signal), pause, resume, rename (old_name), update, exec (program), health_status (status), remove, and
    missed (ends: so many runs came and went before anybody looked); of images: pull, load, import, build, push, save,
    tag, untag, remove; of volumes: create, remove. `labels` are those of containers and volumes.
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

    `labels`: which it has all of (None: any value).
    """

    follow: bool = False
    since: datetime | None = None
    until: datetime | None = None
    after: int | None = None
    kinds: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    subject: str | None = None
    labels: tuple[tuple[str, str | None], ...] = ()

    def wants(self, event: Event) -> bool:
        """Whether it is one of these."""
        return (
            (self.since is None or event.time >= self.since)
            and (self.until is None or event.time <= self.until)
            and (not self.kinds or event.kind in self.kinds)
            and (not self.actions or event.action in self.actions)
            and (self.subject is None or event.name == self.subject or event.subject.startswith(self.subject))
            and all(n in event.labels and v in (None, event.labels[n]) for n, v in self.labels)
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
