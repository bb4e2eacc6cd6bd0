"""Several at once on one container: one wins, the others are told so, and nothing is left."""

from __future__ import annotations

import contextlib
import pickle
import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from subprocess import Popen

import pytest

import containerlib as cl
from rig.belongings import check_belongings
from rig.threads import at_once

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")


@pytest.fixture
def stopped(box: cl.ContainerRecipe) -> cl.Container:
    container = box.name("shared").start("sleep", "1000")
    container.stop(timeout=0)
    return container


def outcome(verb: Callable[[], object]) -> str:
    try:
        verb()
    except cl.Error as error:
        return type(error).__name__
    return "done"


def call_one(verbs: Sequence[Callable[[], object]], number: int) -> str:
    return outcome(verbs[number])


def test_start_of_one_stopped_container_by_many_is_done_once(
    engine: cl.Engine, stopped: cl.Container
) -> None:
    for _ in range(5):
        handles = [engine.containers.get("shared") for _ in range(6)]
        outcomes = at_once(partial(call_one, [handle.start for handle in handles]), threads=6)
        assert sorted(outcomes) == ["Conflict"] * 5 + ["done"]
        assert stopped.exec("sh", "-c", "ps | grep -c '[s]leep 1000'").text == "1\n"
        stopped.stop(timeout=0)


def test_start_against_remove_ends_with_one_truth(
    engine: cl.Engine, box: cl.ContainerRecipe, left_nothing: Callable[[], None]
) -> None:
    for number in range(15):
        container = box.name(f"n{number}").start("sleep", "1000")
        container.stop(timeout=0)
        verbs = [container.start, partial(engine.containers.get(container.id).remove, force=True)]
        outcomes = at_once(partial(call_one, verbs), threads=2)
        assert outcomes in (["done", "done"], ["NotFound", "done"])
    left_nothing()


RACER = """
import sys
for line in sys.stdin:
    name, verb, *words = line.split()
    try:
        container = engine.containers.get(name)
        print("ready", flush=True)
        sys.stdin.readline()
        {
            "start": lambda: container.start(),
            "stop": lambda: container.stop(timeout=0),
            "kill": lambda: container.kill(),
            "pause": lambda: container.pause(),
            "remove": lambda: container.remove(),
            "force": lambda: container.remove(force=True),
        }[verb]()
    except cl.Error as error:
        print(type(error).__name__, error, flush=True)
    else:
        print("done", flush=True)
"""
VERBS = ("start", "stop", "kill", "pause", "remove", "force")
ROUNDS = 200


@pytest.mark.slow
def test_container_that_is_being_started_is_not_paused(box: cl.ContainerRecipe) -> None:
    """It would stand still before anybody sees it run, and nobody could resume it."""
    with box.start("sleep", "1000") as container:

        def others(_: int) -> None:
            for _ in range(300):
                outcome(container.pause)
                outcome(container.resume)

        with ThreadPoolExecutor(3) as pool:
            waiting = [pool.submit(others, number) for number in range(2)]
            restarts = pool.submit(lambda: [container.restart(timeout=0.0) for _ in range(60)])
            try:
                restarts.result(timeout=60.0)
            except TimeoutError:
                container._instance.cgroup.thaw()
                raise
            for each in waiting:
                each.result()
        assert container.state in (cl.State.RUNNING, cl.State.PAUSED)


@pytest.mark.slow
def test_two_processes_on_one_container_one_wins_and_the_other_is_told(
    engine: cl.Engine,
    box: cl.ContainerRecipe,
    script: Callable[[str], Popen[str]],
    left_nothing: Callable[[], None],
) -> None:
    source = random.Random(20_261_126)
    with script(RACER) as one, script(RACER) as two:
        for number in range(ROUNDS):
            before, verbs = source.choice(("created", "running", "stopped")), source.choices(VERBS, k=2)
            container = box.name(f"n{number}").create("sleep", "1000")
            if before != "created":
                container.start()
            if before == "stopped":
                container.stop(timeout=0)
            outcomes = race((one, two), container.name, verbs)
            told = [outcome.split()[0] for outcome in outcomes]
            context = (number, before, verbs, outcomes)
            assert set(told) <= {"done", "Conflict", "NotFound"}, context
            assert "NotFound" not in told or {"remove", "force"} & set(verbs), context
            if verbs == ["start", "start"] and before != "running":
                assert sorted(told) == ["Conflict", "done"], context
            check_belongings(engine)
            with contextlib.suppress(cl.NotFound):
                container.remove(force=True)
        for process in (one, two):
            assert process.communicate(timeout=60)[0] == ""
    left_nothing()


def race(processes: Sequence[Popen[str]], name: str, verbs: Sequence[str]) -> list[str]:
    """What each says of its verb, which both begin at once."""
    for process, verb in zip(processes, verbs, strict=True):
        tell(process, f"{name} {verb}")
    assert [hear(process) for process in processes] == ["ready", "ready"]
    for process in processes:
        tell(process, "go")
    return [hear(process) for process in processes]


def tell(process: Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def hear(process: Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_close_leaves_a_container_that_another_process_has_started_again(
    engine: cl.Engine, stopped: cl.Container, script: Callable[[str], Popen[str]]
) -> None:
    with script("engine.containers.get('shared').start(); print(1, flush=True); input()") as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "1\n"
        engine.close()
        assert engine.containers.get("shared").state is cl.State.RUNNING
        other.communicate("\n", timeout=30)
    engine.prune()
    assert engine.containers.list() == []


def test_container_pickles_as_a_handle_of_the_same_container(stopped: cl.Container) -> None:
    again = pickle.loads(pickle.dumps(stopped))  # noqa: S301
    assert again == stopped
    assert again.state is cl.State.STOPPED


def test_exec_that_times_out_in_a_paused_container_returns(box: cl.ContainerRecipe) -> None:
    with box.start("sleep", "1000") as container:
        process = container.spawn("sleep", "1000")
        container.pause()
        with pytest.raises(cl.Timeout):
            process.wait(0.1)
        container.resume()
        process.kill()
        assert process.wait(10.0).signal == 9
        process.close()


def test_prune_beside_running_containers_reports_and_removes_nothing_of_theirs(
    box: cl.ContainerRecipe,
) -> None:
    reports = []

    def prune() -> None:
        reports.extend(box.engine.prune() for _ in range(20))

    def run() -> None:
        for _ in range(20):
            assert box.run("echo", "x").text == "x\n"

    at_once(lambda number: run() if number else prune(), threads=3)
    assert {(r.containers, r.directories, r.cgroups, r.failures) for r in reports} == {((), (), (), ())}


PRUNER = """
import threading
stop = threading.Event()
def prune():
    while not stop.is_set():
        engine.containers.prune()
thread = threading.Thread(target=prune)
thread.start()
print("ready", flush=True)
sys.stdin.readline()
stop.set()
thread.join()
"""
RUNS = 25


def test_prune_in_a_thread_spares_containers_that_are_being_made_and_run(
    engine: cl.Engine, host: cl.ContainerRecipe, left_nothing: Callable[[], None]
) -> None:
    over = threading.Event()

    def prune() -> None:
        while not over.is_set():
            engine.containers.prune()

    with ThreadPoolExecutor(1) as pool:
        pruning = pool.submit(prune)
        try:
            assert [run_and_start(host) for _ in range(RUNS)] == ["ok\n"] * RUNS
        finally:
            over.set()
        pruning.result()
    left_nothing()


def test_prune_of_another_process_spares_containers_that_are_being_made_and_run(
    host: cl.ContainerRecipe, script: Callable[[str], Popen[str]], left_nothing: Callable[[], None]
) -> None:
    with script("import sys\n" + PRUNER) as pruner:
        assert hear(pruner) == "ready"
        assert [run_and_start(host) for _ in range(RUNS)] == ["ok\n"] * RUNS
        tell(pruner, "stop")
        assert pruner.wait(60) == 0
    left_nothing()


def run_and_start(recipe: cl.ContainerRecipe) -> str:
    with recipe.start("sleep", "1000") as container:
        assert container.state is cl.State.RUNNING
    return recipe.run("echo", "ok").text
