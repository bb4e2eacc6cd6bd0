"""Events of one root: in order, from every process, also of what no process of ours saw."""

from __future__ import annotations

import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import Popen

import pytest

import containerlib as cl
from rig.lifetime import quick, until

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")


def actions(engine: cl.Engine, *, kinds: tuple[str, ...] = ("container",), after: int = 0) -> list[str]:
    return [event.action for event in engine.events(kinds=kinds, after=after)]


def test_events_of_a_run_are_in_order_with_its_exit_code(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    box.name("job").run("sh", "-c", "exit 3", check=False)
    found = list(engine.events(kinds=["container"]))
    assert [event.action for event in found] == ["create", "start", "die", "remove"]
    assert [event.id for event in found] == sorted({event.id for event in found})
    assert len({event.subject for event in found}) == 1
    assert {event.name for event in found} == {"job"}
    assert dict(found[2].attributes)["exit_code"] == "3"
    assert found[0].time <= found[1].time <= found[2].time <= found[3].time


def test_events_of_what_memory_ended_have_an_oom(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    fill = ("dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1")
    box.limit(memory="16MiB").run(*fill, check=False)
    found = list(engine.events(kinds=["container"]))
    assert [event.action for event in found] == ["create", "start", "oom", "die", "remove"]
    assert (found[3].attributes["exit_code"], found[3].attributes["signal"]) == ("137", "9")


def test_events_of_a_death_that_nobody_saw_have_its_time(
    engine: cl.Engine, script: Callable[[str], Popen[str]]
) -> None:
    with script("box.name('alone').start('sh', '-c', 'exit 5', detach=True)") as done:
        assert done.wait() == 0
    container = engine.containers.get("alone")
    until(lambda: container.state is cl.State.STOPPED)
    ended = container.wait().finished_at
    (died,) = engine.events(actions=["die"])
    (again,) = engine.events(actions=["die"])
    container.remove()
    assert died == again
    assert died.attributes["exit_code"] == "5"
    assert ended is not None
    assert abs(died.time - ended) < timedelta(milliseconds=1)
    assert actions(engine).count("die") == 1


def test_events_of_an_end_that_the_shim_has_not_told_yet_are_its_own(
    engine: cl.Engine, box: cl.ContainerRecipe
) -> None:
    container = box.start("sleep", "1000", detach=True)
    (process,) = container.top()
    os.kill(process.parent_pid, signal.SIGSTOP)
    try:
        os.kill(process.pid, signal.SIGKILL)
        until(lambda: container.state is cl.State.STOPPED)
        assert list(engine.events(actions=["die"])) == []
    finally:
        os.kill(process.parent_pid, signal.SIGCONT)
    status = container.wait()
    (died,) = engine.events(actions=["die"])
    assert status.finished_at is not None
    assert abs(died.time - status.finished_at) < timedelta(milliseconds=1)
    container.remove()


def test_events_of_a_container_that_ended_with_its_shim_have_its_end(
    engine: cl.Engine, box: cl.ContainerRecipe
) -> None:
    container = box.start("sleep", "1000", detach=True)
    (process,) = container.top()
    os.kill(process.parent_pid, signal.SIGKILL)
    until(lambda: container.state is cl.State.STOPPED)
    (died,) = engine.events(actions=["die"])
    assert (died.attributes["exit_code"], died.attributes["signal"]) == ("137", "9")
    assert list(engine.events(actions=["die"])) == [died]
    info = container.inspect()
    assert info.exit is not None
    assert info.exit.exit_code == 137
    container.remove()


def test_events_of_a_container_that_is_started_again_have_both_runs(
    engine: cl.Engine, box: cl.ContainerRecipe
) -> None:
    container = box.start("true", detach=True)
    container.wait()
    container.start()
    container.wait()
    container.remove()
    assert actions(engine) == ["create", "start", "die", "start", "die", "remove"]


def test_events_of_a_start_that_fails_have_no_start(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    with pytest.raises(cl.StageError):
        box.run("no-such-program")
    assert actions(engine) == ["create", "remove"]


def test_events_of_a_restart_that_nobody_saw_have_the_end_before_it(
    engine: cl.Engine, box: cl.ContainerRecipe
) -> None:
    recipe = quick(box.restart("on-failure", retries=1))
    with recipe.start("sh", "-c", "[ -e /again ] && exec sleep 600; touch /again; exit 3") as container:
        until(lambda: container.restart_count == 1 and container.state is cl.State.RUNNING)
        assert actions(engine) == ["create", "start", "die", "start"]
        assert [event.attributes["exit_code"] for event in engine.events(actions=["die"])] == ["3"]
        assert actions(engine) == ["create", "start", "die", "start"], "they are stored once"


def test_events_of_what_was_stopped_while_it_rested_have_one_end(
    engine: cl.Engine, box: cl.ContainerRecipe
) -> None:
    container = quick(box.restart("always"), pause=1000.0).start("sh", "-c", "exit 3", detach=True)
    until(lambda: container.state is cl.State.RESTARTING)
    assert actions(engine) == ["create", "start", "die"]
    container.stop()
    assert actions(engine) == ["create", "start", "die", "stop"]
    container.remove()


def test_events_of_health_that_nobody_saw_are_told_once(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    recipe = box.healthy_when(cl.command("true"), every=0.01, start_every=0.01)
    with recipe.start("sleep", "600") as container:
        container.wait_healthy()
        until(lambda: container.health is not None and len(container.health.log) == 5)
        assert actions(engine).count("health_status") == 1
        assert actions(engine).count("health_status") == 1


def test_events_of_health_are_told_of_each_run(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    with box.healthy_when(cl.command("true")).start("sleep", "600") as container:
        for runs in (1, 2):
            container.wait_healthy()
            assert actions(engine).count("health_status") == runs
            container.restart(0.0)


def test_events_of_health_have_the_time_of_the_check_that_turned_it(
    engine: cl.Engine, box: cl.ContainerRecipe
) -> None:
    recipe = box.healthy_when(cl.command("false"), every=0.2, retries=2)
    with recipe.start("sleep", "600") as container:
        until(lambda: container.health is not None and container.health.failing_streak >= 3)
        container.pause()  # what is paused is not checked
        health = container.health
        assert health is not None
        turned = health.log[max(len(health.log) - 1 - (health.failing_streak - 2), 0)]
        (event,) = engine.events(actions=["health_status"])
        assert abs(event.time - turned.end) < timedelta(milliseconds=1)
        container.resume()


def test_events_after_one_are_those_that_became_known_later(engine: cl.Engine) -> None:
    for name in ("one", "two", "three"):
        engine.volume(name).create()
    known = list(engine.events())
    assert list(engine.events(after=known[0].id)) == known[1:]
    assert list(engine.events(after=known[-1].id)) == []


def test_events_since_and_until_are_by_time(engine: cl.Engine) -> None:
    engine.volume("a").create()
    between = datetime.now(UTC)
    engine.volume("b").create()
    assert [event.name for event in engine.events(since=between)] == ["b"]
    assert [event.name for event in engine.events(until=between)] == ["a"]
    with pytest.raises(cl.InvalidArgument, match="time zone"):
        engine.events(since=datetime.now())  # noqa: DTZ005


# ---- follow ----


@pytest.fixture
def followed(engine: cl.Engine) -> Iterator[queue.Queue[cl.Event]]:
    """What a follower in another thread hears, from now on."""
    heard: queue.Queue[cl.Event] = queue.Queue()
    last = [*(event.id for event in engine.events()), 0][-1]

    def follow() -> None:
        for event in engine.events(follow=True, after=last):
            if event.kind == "container":
                heard.put(event)
            if event.name == "end-of-test":
                return

    thread = threading.Thread(target=follow)
    thread.start()
    yield heard
    engine.volume("end-of-test").create()
    thread.join(30)
    assert not thread.is_alive()


def heard_until(heard: queue.Queue[cl.Event], action: str) -> list[str]:
    found = []
    while not found or found[-1] != action:
        found.append(heard.get(timeout=30).action)
    return found


def test_follow_hears_other_processes_and_deaths_that_the_shim_alone_saw(
    followed: queue.Queue[cl.Event], engine: cl.Engine, script: Callable[[str], Popen[str]], tmp_path: Path
) -> None:
    go = tmp_path / "go"
    wait = "until test -e /mnt/go; do sleep 0.01; done"
    recipe = f"box.name('far').mount({str(tmp_path)!r}, at='/mnt')"
    with script(f"{recipe}.start('sh', '-c', {wait!r}, detach=True)") as done:
        assert done.wait() == 0
    assert heard_until(followed, "start") == ["create", "start"]
    go.touch()
    died = followed.get(timeout=30)
    assert (died.action, died.name, died.attributes["exit_code"]) == ("die", "far", "0")
    engine.containers.get("far").remove()
    assert heard_until(followed, "remove") == ["remove"]


def test_follow_hears_the_start_of_a_run_while_it_runs(
    followed: queue.Queue[cl.Event], box: cl.ContainerRecipe, tmp_path: Path
) -> None:
    wait = "until test -e /mnt/go; do sleep 0.01; done"
    recipe = box.mount(tmp_path, at="/mnt")
    thread = threading.Thread(target=recipe.run, args=("sh", "-c", wait))
    thread.start()
    assert heard_until(followed, "start") == ["create", "start"]
    (tmp_path / "go").touch()
    thread.join(30)
    assert heard_until(followed, "remove") == ["die", "remove"]


def test_follow_hears_each_restart(
    followed: queue.Queue[cl.Event], box: cl.ContainerRecipe, tmp_path: Path
) -> None:
    code = "echo x >>/runs; until test -e /mnt/$(wc -l </runs); do sleep 0.01; done; exit 4"
    recipe = quick(box.restart("on-failure", retries=2), pause=0.05).mount(tmp_path, at="/mnt")
    with recipe.start("sh", "-c", code) as container:
        assert heard_until(followed, "start") == ["create", "start"]
        for run in (1, 2):
            (tmp_path / str(run)).touch()
            assert heard_until(followed, "start") == ["die", "start"]
        (tmp_path / "3").touch()
        died = followed.get(timeout=30)
        assert (died.action, died.attributes["exit_code"]) == ("die", "4")
        container.wait(30.0)


def test_follow_hears_each_change_of_health(
    followed: queue.Queue[cl.Event], box: cl.ContainerRecipe, tmp_path: Path
) -> None:
    well = tmp_path / "well"
    check = cl.command("test", "-e", "/mnt/well")
    recipe = box.healthy_when(check, every=0.01, start_every=0.01, retries=2).mount(tmp_path, at="/mnt")
    with recipe.start("sleep", "600"):
        assert heard_until(followed, "start") == ["create", "start"]
        for status in ("healthy", "unhealthy", "healthy"):
            well.touch() if status == "healthy" else well.unlink()
            event = followed.get(timeout=30)
            assert (event.action, event.attributes["status"]) == ("health_status", status)


def test_follow_until_ends_then(engine: cl.Engine) -> None:
    assert list(engine.events(follow=True, until=datetime.now(UTC) + timedelta(seconds=0.05))) == []
