"""Events of what a restart policy does faster than anybody looks: no end is lost, or it is told how many are."""

from __future__ import annotations

import itertools
import time

import pytest

import containerlib as cl
from containerlib.engine.lifetime import set_restart
from containerlib.runtime import read_record
from containerlib.spec.lifetime import RestartOption
from rig.lifetime import directory_of, quick, supervisor_killed, until

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

KEPT = 100
"""Ends that a supervisor keeps."""
NUMBERED = "echo x >>/runs; exit $(wc -l </runs)"
"""Each run ends with its number."""
SEED = 20270114


def told(engine: cl.Engine) -> list[cl.Event]:
    return list(engine.events(kinds=["container"]))


def codes(events: list[cl.Event]) -> list[int]:
    return [int(event.attributes["exit_code"]) for event in events if event.action == "die"]


def rest(container: cl.Container) -> None:
    """Lets it be for the rest of the test."""
    set_restart(container._instance, RestartOption("always", pause=1000.0, longest=1000.0, calm=0.0))
    until(lambda: rests_until(container) > time.time() + 500)


def rests_until(container: cl.Container) -> float:
    record = read_record(str(directory_of(container)), "restarts")
    return record.number[1] / 1e9 if record is not None else 0.0


def test_events_of_restarts_that_nobody_saw_have_each_run(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    with quick(box.restart("on-failure", retries=30)).start("sh", "-c", NUMBERED) as container:
        container.wait(60.0)
        found = told(engine)
        assert [event.action for event in found] == ["create", *["start", "die"] * 31]
        assert codes(found) == list(range(1, 32))
        assert all(a.time <= b.time for a, b in itertools.pairwise(found))
        assert told(engine) == found, "each is told once"
    assert [event.action for event in told(engine)][len(found) :] == ["remove"]


def test_events_of_a_removal_have_each_run_before_it(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    with quick(box.restart("on-failure", retries=10)).start("sh", "-c", NUMBERED) as container:
        container.wait(60.0)
        container.remove()
    assert [event.action for event in told(engine)] == ["create", *["start", "die"] * 11, "remove"]


def test_follow_that_is_slower_than_a_restart_loop_hears_each_end(
    engine: cl.Engine, box: cl.ContainerRecipe
) -> None:
    heard = engine.events(follow=True, after=0, actions=["die"])
    with quick(box.restart("on-failure", retries=40)).start("sh", "-c", NUMBERED) as container:
        first = [next(heard) for _ in range(3)]
        container.wait(60.0)
        assert codes(first + [next(heard) for _ in range(38)]) == list(range(1, 42))


def test_events_of_more_ends_than_are_kept_say_how_many_are_missed(
    engine: cl.Engine, box: cl.ContainerRecipe
) -> None:
    with quick(box.restart("always")).start("sh", "-c", NUMBERED) as container:
        until(lambda: container.restart_count > KEPT + 20)
        rest(container)
        ended = container.restart_count + 1
        found = told(engine)
        (gap,) = [event for event in found if event.action == "missed"]
        missed = int(gap.attributes["ends"])
        assert missed >= 20
        assert codes(found) == [number % 256 for number in range(missed + 1, ended + 1)]
        assert found.index(gap) == 2, "behind the start that it began with"
        assert told(engine) == found


def test_events_of_a_second_supervisor_are_counted_by_themselves(
    engine: cl.Engine, box: cl.ContainerRecipe
) -> None:
    with quick(box.restart("on-failure", retries=5)).start("sh", "-c", NUMBERED) as container:
        container.wait(60.0)
        container.start()
        container.wait(60.0)
        found = told(engine)
        assert [event.action for event in found] == ["create", *["start", "die"] * 12]
        assert codes(found) == list(range(1, 13))


def test_events_of_an_older_supervisor_have_the_last_end(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    with quick(box.restart("always")).start("sh", "-c", NUMBERED) as container:
        until(lambda: container.restart_count > 2)
        rest(container)
        (directory_of(container) / "ends").unlink()
        assert codes(told(engine)) == [container.restart_count + 1]


def test_events_of_ends_that_did_not_fit_on_the_disk_say_how_many(
    engine: cl.Engine, box: cl.ContainerRecipe
) -> None:
    with quick(box.restart("always")).start("sh", "-c", NUMBERED) as container:
        place = directory_of(container) / "ends.new"
        place.mkdir()  # the record cannot be written aside
        until(lambda: container.restart_count > 4)
        place.rmdir()
        until(lambda: container.restart_count > 10)
        rest(container)
        found = told(engine)
        (gap,) = [event for event in found if event.action == "missed"]
        missed = int(gap.attributes["ends"])
        assert codes(found) == list(range(missed + 1, container.restart_count + 2))


def test_events_of_a_supervisor_killed_at_any_moment_have_one_end_for_each_start(
    engine: cl.Engine, box: cl.ContainerRecipe
) -> None:
    container = quick(box.restart("always")).start("sleep", "0.005", detach=True)
    try:
        for _ in supervisor_killed(container, 15, seed=SEED):
            with cl.Engine(root=engine.root):  # which starts it again
                pass
    finally:
        container.remove(force=True)
    lives = [event.action for event in told(engine) if event.action in ("start", "die")]
    assert lives == ["start", "die"] * (len(lives) // 2)
    assert len(lives) >= 30
