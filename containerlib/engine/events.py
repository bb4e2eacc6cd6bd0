"""What happens under one root, whichever process does it.

    note(instance, "pause")                       # now, by us
    happened(instance)                            # what the shim's records say: start, oom, die
    for event in events(core, Query(follow=True)): ...

A container may start and end while none of our processes is alive. The shim's records say when, and whoever looks next
(a follower, a list of events, who starts or removes it again) stores that. So an event's id is the order in which it
became known, and its time is when it happened.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, cast

from attrs import field, frozen

from containerlib import runtime, shim
from containerlib._sys.steps import Flow, Ready
from containerlib._sys.watching import MADE, MODIFIED, OVERFLOW, RENAMED, WRITTEN, DirectoryWatch
from containerlib._sys.wire import Kind, Message
from containerlib.engine.instance import Instance
from containerlib.errors import NotFound, StageError, Unavailable
from containerlib.runtime.lifetime import read_health
from containerlib.runtime.supervisor import LOST
from containerlib.spec.lifecycle import State
from containerlib.spec.lifetime import NO_RESTART
from containerlib.spec.status import ExitStatus
from containerlib.store import EventRow

if TYPE_CHECKING:
    from containerlib.engine.core import Core
    from containerlib.spec.lifetime import Health, HealthResult

__all__ = ["Event", "EventKind", "Query", "catch_up", "events", "happened", "is_lost", "note", "row"]

EventKind = Literal["container", "image", "volume", "network"]
_RECORDS = ("started", "exit", "restarts", "health")
_SHIM_PATIENCE = 1.0
_NONE: Mapping[str, str] = {}


@frozen
class Event:
    """Something that happened.

    `id` grows from one event to the next of a root. `subject` is a container's or an image's id, or a volume's name;
    `name` what people call it. `action`, of containers: create, start, die (attributes exit_code and signal), oom,
    stop, kill (signal), pause, resume, rename (old_name), update, exec (program), health_status (status), remove; of
    images: pull, load, import, build, push, save, tag, untag, remove; of volumes: create, remove. `labels` are those of
    containers and volumes.
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


def row(instance: Instance, action: str, **attributes: str) -> EventRow:
    """An event of this moment, for the transaction that it belongs to."""
    return _at(instance, action, time.time_ns(), None, attributes)


def note(instance: Instance, action: str, **attributes: str) -> None:
    """Stores an event. What has happened has, also where the disk is full: that is no failure of the verb's."""
    with contextlib.suppress(StageError, Unavailable):
        instance.core.store.events.add(row(instance, action, **attributes))


def happened(instance: Instance, status: ExitStatus | None = None) -> list[EventRow]:
    """The newest run of the container, as far as it went, and the end of the one before it.

    `status`: how it ended, for those who know.
    """
    try:
        run = os.stat(f"{instance.directory}/started").st_mtime_ns  # noqa: PTH116 - hot path
    except FileNotFoundError:
        return []
    if status is not None and instance.memo.restart is NO_RESTART:
        return [_at(instance, "start", run, run), *_end(instance, status, run)]
    started = runtime.read_record(instance.directory, "started")
    if started is None or started.kind == Kind.CREATED:
        return []
    again = runtime.read_record(instance.directory, "restarts")
    if again is None or not again.number[0]:
        return [_at(instance, "start", run, run), *_last_end(instance, again, run)]
    ended = _end(instance, _end_of_run(again), again.number[0])
    if again.number[1]:  # it rests
        return [_at(instance, "start", run, run), *ended]
    # the clock of files is a tick behind: a start seems to be before the end that it follows
    began = _at(instance, "start", max(run, again.number[0]), run)
    return [*ended, began, *_last_end(instance, again, run)]


def _last_end(instance: Instance, again: Message | None, run: int) -> list[EventRow]:
    record = runtime.read_record(instance.directory, "exit")
    if again is not None and record is not None and record.number[0] == again.number[0]:
        return []  # it could not be started again
    status = shim.read_exit(instance.directory)
    if status is None and is_lost(instance):
        status = LOST
    return [] if status is None else _end(instance, status, run)


def _end_of_run(again: Message) -> ExitStatus:
    """Of the last one that was followed by another, or is about to be."""
    _, code, number, oom_kills = again.value
    return ExitStatus(code, number or None, oom_kills > 0, datetime.fromtimestamp(again.number[0] / 1e9, UTC))


def _health(instance: Instance) -> list[EventRow]:
    """What its checks say now, where that is not what they said before."""
    check, found = instance.memo.health, read_health(instance.directory)
    if check is None or found is None or found.status == "starting" or not found.log:
        return []
    before = instance.core.store.events.last(instance.id, "health_status")
    began = os.stat(f"{instance.directory}/started").st_mtime_ns  # noqa: PTH116
    if before and before.time_ns >= began and before.attributes["status"] == found.status:
        return []
    turned = _nanoseconds(_turning(found, check.retries).end)
    return [_at(instance, "health_status", turned, turned, {"status": found.status})]


def _turning(found: Health, retries: int) -> HealthResult:
    """The result since which it is so, or the oldest that is known."""
    if found.status == "unhealthy":
        return found.log[max(len(found.log) - 1 - max(found.failing_streak - retries, 0), 0)]
    good = list(itertools.takewhile(lambda each: each.exit_code == 0, reversed(found.log)))
    return good[-1] if good else found.log[-1]


def catch_up(instances: Iterable[Instance]) -> None:
    """Stores what the records of these containers say and nobody has stored."""
    for instance in instances:
        with contextlib.suppress(StageError, Unavailable, FileNotFoundError):
            table = instance.core.store.events
            table.add(*table.unknown(happened(instance)))
            if instance.memo.health is not None:
                table.add(*table.unknown(_health(instance)))


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


def is_lost(instance: Instance) -> bool:
    """Whether it ended with its shim, which could not say so. A shim that is there is about to."""
    try:
        if instance.state is not State.STOPPED:
            return False
        supervisor = runtime.connect(instance.directory, patience=_SHIM_PATIENCE)
    except (NotFound, Unavailable):
        return False
    if supervisor is not None:
        supervisor.close()
        return False
    return shim.read_exit(instance.directory) is None


def _end(instance: Instance, status: ExitStatus, run: int) -> list[EventRow]:
    ended = _nanoseconds(status.finished_at) if status.finished_at else time.time_ns()
    facts = {"exit_code": str(status.exit_code)}
    if status.signal is not None:
        facts["signal"] = str(status.signal)
    died = _at(instance, "die", ended, run, facts)
    return [_at(instance, "oom", ended, run), died] if status.oom_killed else [died]


def _nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1e9)


def _at(
    instance: Instance, action: str, time_ns: int, run: int | None, attributes: Mapping[str, str] = _NONE
) -> EventRow:
    facts = {"image": instance.record.image_reference, **attributes}
    labels = dict(instance.memo.labels)
    return EventRow(
        "container", action, instance.id, instance.record.name, facts, time_ns, run, labels=labels
    )
