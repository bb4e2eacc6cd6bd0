"""What has happened to a container: noted by who does it, or told by the records of its supervisor.

    note(instance, "pause")                       # now, by us
    catch_up([instance])                          # what the records say, and nobody has stored: start, oom, die, health
    last = happened(instance)                     # the same, before the records go
    store.events.add(*last.untold(), row(instance, "remove"))

A container may start and end while none of our processes is alive, again and again where its policy says so. Its
supervisor keeps the ends of the last runs, and counts them all: what nobody could see any more is told as "missed".
"""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from attrs import frozen

from containerlib import runtime, shim
from containerlib._sys.wire import Kind, Message
from containerlib.engine.instance import Instance
from containerlib.errors import NotFound, StageError, Unavailable
from containerlib.runtime.lifetime import End, Ends, read_ends, read_health
from containerlib.runtime.supervisor import LOST
from containerlib.spec.lifecycle import State
from containerlib.spec.status import ExitStatus
from containerlib.store import EventRow

if TYPE_CHECKING:
    from containerlib.spec.lifetime import Health, HealthResult

__all__ = ["History", "catch_up", "happened", "is_lost", "note", "row"]

_SHIM_PATIENCE = 1.0
_NONE: Mapping[str, str] = {}


@frozen
class History:
    """What the records say: the newest run as far as it went, and how those before it ended."""

    instance: Instance
    newest: list[EventRow]
    ends: Ends | None = None

    def untold(self) -> list[EventRow]:
        """What nobody has stored of it, with each end once. In the transaction that stores it."""
        table, ends = self.instance.core.store.events, self.ends
        if ends is None:
            return self.newest
        told = table.told_ends(self.instance.id, ends.first_ns)
        if told >= ends.total:
            return self.newest
        if not table.tell_ends(self.instance.id, ends.first_ns, ends.total):
            return []  # it has been removed, with all that was told then
        return [*_followed(self.instance, ends, told), *self.newest]

    def store(self) -> None:
        """Stores what nobody has. Where there is nothing, the database is only read."""
        store, ends = self.instance.core.store, self.ends
        if ends is None or store.events.told_ends(self.instance.id, ends.first_ns) >= ends.total:
            store.events.add(*store.events.unknown(self.newest))
            return
        with store.database.transaction():
            store.events.add(*self.untold())


def row(instance: Instance, action: str, **attributes: str) -> EventRow:
    """An event of this moment, for the transaction that it belongs to."""
    return _at(instance, action, time.time_ns(), None, attributes)


def note(instance: Instance, action: str, **attributes: str) -> None:
    """Stores an event, where that can be done."""
    instance.core.store.events.note(row(instance, action, **attributes))


def happened(instance: Instance, status: ExitStatus | None = None, *, is_only: bool = False) -> History:
    """What the container's records say.

    `status`: how its newest run ended, for those who know. `is_only`: there was no other.
    """
    if is_only and status is not None:
        run = _began(instance)
        rows = [] if run is None else [_at(instance, "start", run, run), *_end(instance, status, run)]
        return History(instance, rows)
    newest = _newest(instance, status)
    return History(instance, newest, read_ends(instance.directory))  # read last: none of them is newer


def _began(instance: Instance) -> int | None:
    try:
        return os.stat(f"{instance.directory}/started").st_mtime_ns  # noqa: PTH116 - hot path
    except FileNotFoundError:
        return None


def _newest(instance: Instance, status: ExitStatus | None) -> list[EventRow]:
    """The newest run, as far as it went, and the end of the one before it."""
    run = _began(instance)
    if run is None:
        return _end_on_a_full_disk(instance)
    started = runtime.read_record(instance.directory, "started")
    if started is None or started.kind == Kind.CREATED:
        return []
    again = runtime.read_record(instance.directory, "restarts")
    if again is None or not again.number[0]:
        return [_at(instance, "start", run, run), *_last_end(instance, again, run, status)]
    ended = _end(instance, _end_of_run(again), again.number[0])
    if again.number[1]:  # it rests
        return [_at(instance, "start", run, run), *ended]
    return [*ended, _start(instance, run, again.number[0]), *_last_end(instance, again, run, status)]


def _end_on_a_full_disk(instance: Instance) -> list[EventRow]:
    """The record of its start had to make room for that of its end."""
    status = shim.read_exit(instance.directory)
    if status is None:
        return []
    return _end(instance, status, os.stat(f"{instance.directory}/exit").st_mtime_ns)  # noqa: PTH116


def _last_end(
    instance: Instance, again: Message | None, run: int, status: ExitStatus | None
) -> list[EventRow]:
    status = status or shim.read_exit(instance.directory)
    if again is not None and status == _end_of_run(again):
        return []  # it could not be started again
    if status is None and is_lost(instance) and not _is_followed(instance, run):
        status = LOST
    return [] if status is None else _end(instance, status, run)


def _is_followed(instance: Instance, run: int) -> bool:
    """Whether its end is known, though its supervisor was killed before it could say that it is the newest one."""
    ends = read_ends(instance.directory)
    return ends is not None and ends.last[-1].began_ns == run


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


def _followed(instance: Instance, ends: Ends, told: int) -> list[EventRow]:
    """The runs that another one followed, from the end with that number on."""
    rows: list[EventRow] = []
    oldest, before = ends.total - len(ends.last), 0
    if oldest > told:
        first = ends.last[0]
        rows.append(
            _at(
                instance,
                "missed",
                first.began_ns or first.ended_ns,
                first.ended_ns,
                {"ends": str(oldest - told)},
            )
        )
    for number, end in enumerate(ends.last, oldest):
        if number >= told and end.began_ns:
            rows.append(_start(instance, end.began_ns, before))
        if number >= told:
            rows += _end(instance, _status(end), end.ended_ns)
        before = end.ended_ns
    return rows


def _start(instance: Instance, began: int, before: int) -> EventRow:
    """The clock of files is a tick behind: a start seems to be before the end that it follows."""
    return _at(instance, "start", max(began, before), began)


def _status(end: End) -> ExitStatus:
    moment = datetime.fromtimestamp(end.ended_ns / 1e9, UTC)
    return ExitStatus(end.exit_code, end.signal or None, end.oom_kills > 0, moment)


def catch_up(instances: Iterable[Instance]) -> None:
    """Stores what the records of these containers say and nobody has stored."""
    for instance in instances:
        with contextlib.suppress(StageError, Unavailable, FileNotFoundError):
            happened(instance).store()
            if instance.memo.health is not None:
                table = instance.core.store.events
                table.add(*table.unknown(_health(instance)))


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
