"""Events in the database."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from containerlib.store import ContainerRecord, EventRow, Store
from containerlib.store.events import EventTable


def table(tmp_path: Path, most: int = 1000) -> EventTable:
    return EventTable(Store(tmp_path).database, most=most)


def test_add_then_after_is_in_order_with_ids_that_grow(tmp_path: Path) -> None:
    events = table(tmp_path)
    events.add(EventRow("container", "create", "a"), EventRow("container", "start", "a", run=1))
    events.add(EventRow("volume", "create", "v", "v", {"label": "x"}))
    found = events.after(0)
    assert [(event.action, event.subject) for event in found] == [
        ("create", "a"),
        ("start", "a"),
        ("create", "v"),
    ]
    assert events.after(found[1].id) == [found[2]]
    assert found[2].attributes == {"label": "x"}
    assert events.newest() == found[2].id


def test_add_of_one_runs_event_twice_keeps_the_first(tmp_path: Path) -> None:
    events = table(tmp_path)
    events.add(EventRow("container", "die", "a", time_ns=5, run=1))
    events.add(EventRow("container", "die", "a", time_ns=6, run=1), EventRow("container", "die", "a", run=2))
    assert [event.run for event in events.after(0)] == [1, 2]
    assert events.after(0)[0].time_ns == 5
    assert (
        events.unknown([EventRow("container", "die", "a", run=2), EventRow("container", "die", "a", run=3)])[
            0
        ].run
        == 3
    )


def test_add_without_end_keeps_the_newest(tmp_path: Path) -> None:
    events = table(tmp_path, most=100)
    for number in range(1100):
        events.add(EventRow("container", "exec", str(number)))
    kept = events.after(0)
    assert 100 <= len(kept) <= 100 + 256
    assert kept[-1].subject == "1099"


def test_add_of_old_events_lets_them_go(tmp_path: Path) -> None:
    events = table(tmp_path)
    events.add(EventRow("container", "exec", "old", time_ns=1))
    for _ in range(600):
        events.add(EventRow("container", "exec", "new"))
    assert {event.subject for event in events.after(0)} == {"new"}
    assert events.after(0)[0].id > 1


def test_tell_ends_counts_for_each_supervisor_until_the_container_goes(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.containers.add(ContainerRecord("a" * 64, "web", "sha256:1", "alpine:3", "{}", datetime.now(UTC)))
    assert store.events.told_ends("a" * 64, 5) == 0
    assert store.events.tell_ends("a" * 64, 5, 3)
    assert store.events.tell_ends("a" * 64, 5, 4)
    assert (store.events.told_ends("a" * 64, 5), store.events.told_ends("a" * 64, 6)) == (4, 0)
    store.containers.remove("a" * 64)
    assert store.events.told_ends("a" * 64, 5) == 0
    assert not store.events.tell_ends("a" * 64, 5, 6), "nobody is told of what is no more"


def test_trim_where_all_are_old_leaves_the_last_one_whose_id_the_next_one_follows(tmp_path: Path) -> None:
    events = table(tmp_path)
    events.add(*(EventRow("volume", "create", str(number), time_ns=number) for number in range(5)))
    last = events.newest()
    events.trim()
    assert [event.id for event in events.after(0)] == [last]
