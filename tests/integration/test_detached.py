"""Detached containers outlive the process that started them, and another one misses nothing."""

from __future__ import annotations

from collections.abc import Callable
from subprocess import Popen

import pytest

import containerlib as cl
from rig.lifetime import start_and_kill

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")
Script = Callable[[str], "Popen[str]"]

WORKS = "trap 'echo bye; exit 7' TERM; i=0; while :; do echo line $i; i=$((i+1)); sleep 0.01; done"


def test_detached_survives_kill_of_its_starter(engine: cl.Engine, script: Script) -> None:
    start_and_kill(script, f'box.name("kept").start("sh", "-c", {WORKS!r}, detach=True)')
    container = engine.containers.get("kept")
    try:
        assert container.state is cl.State.RUNNING
        assert container.exec("sh", "-c", "echo alive").text == "alive\n"
        container.wait_for(log="line 50", timeout=10.0)
        status = container.stop(timeout=10.0)
        assert (status.exit_code, status.signal) == (7, None)
        texts = [record.text for record in container.logs()]
        assert texts == [*(f"line {n}" for n in range(len(texts) - 1)), "bye"]
    finally:
        container.remove(force=True)


def test_detached_exact_code_is_learnt_after_the_end(engine: cl.Engine, script: Script) -> None:
    start_and_kill(script, 'box.name("kept").start("sh", "-c", "sleep 0.5; exit 42", detach=True)')
    container = engine.containers.get("kept")
    assert container.wait(10.0).exit_code == 42
    assert engine.containers.get("kept").wait(0.0).exit_code == 42
    container.remove()


def test_detached_signal_is_learnt_by_another_process(engine: cl.Engine, script: Script) -> None:
    start_and_kill(script, 'box.name("kept").start("sleep", "600", detach=True)')
    with script('print(engine.containers.get("kept").wait(30.0).signal)') as waiter:
        container = engine.containers.get("kept")
        container.kill("KILL")
        assert waiter.communicate()[0] == "9\n"
    container.remove()


def test_detached_block_leaves_it_alone(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    with box.start("sleep", "600", detach=True) as container:
        assert container.detached
    assert container.state is cl.State.RUNNING
    container.remove(force=True)


def test_detached_engine_closed_leaves_it_alone(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    container = box.name("kept").start("sleep", "600", detach=True)
    engine.close()
    assert engine.prune().containers == ()
    assert container.state is cl.State.RUNNING
    engine.containers.get("kept").remove(force=True)


def test_detached_stopped_one_stays_after_its_starter(engine: cl.Engine, script: Script) -> None:
    start_and_kill(script, 'box.name("kept").start("true", detach=True).wait(10.0)')
    assert engine.prune().containers == ()
    container = engine.containers.get("kept")
    assert container.state is cl.State.STOPPED
    container.remove()


def test_detached_created_is_started_by_another_process(engine: cl.Engine, script: Script) -> None:
    start_and_kill(script, 'box.name("kept").create("sh", "-c", "exit 9", detach=True)')
    container = engine.containers.get("kept")
    assert container.state is cl.State.CREATED
    container.start()
    assert container.wait(10.0).exit_code == 9
    container.remove()


def test_detached_standard_input_stays_open_where_asked(box: cl.ContainerRecipe) -> None:
    closed = box.start("cat", detach=True)
    assert closed.wait(10.0).exit_code == 0
    closed.remove()
    waiting = box.stdin().start("cat", detach=True)
    with pytest.raises(cl.Timeout):
        waiting.wait(0.3)
    waiting.remove(force=True)
