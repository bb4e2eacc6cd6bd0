"""What a restart policy makes of an end: its code, its cause, and the rest after it."""

from __future__ import annotations

import os
import signal

import pytest
from attrs import evolve

import containerlib as cl
from containerlib.runtime import read_record
from rig.lifetime import directory_of, quick, shim_of, until

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

FILL = "x=0123456789abcdef; while :; do x=$x$x; done"


def look_again(engine: cl.Engine) -> None:
    """As another process does that opens the same root."""
    with cl.Engine(root=engine.root) as other:
        other.containers.list()


def test_restart_of_what_may_not_be_executed_any_more_ends_with_126(box: cl.ContainerRecipe) -> None:
    recipe = quick(box.restart("on-failure", retries=1))
    with recipe.start("sh", "-c", "chmod a-x /bin/sh /bin/busybox; exit 1") as container:
        assert container.wait(30.0).exit_code == 126
        assert (container.inspect().error or "").startswith("exec: sh: EACCES")


def test_restart_end_out_of_memory_is_of_the_run_that_had_it(box: cl.ContainerRecipe) -> None:
    """The group, which counts them, is that of all runs."""
    recipe = quick(box.restart("on-failure", retries=1)).limit(memory="16MiB", swap=0)
    code = f"[ -e /second ] && exit 5; touch /second; {FILL}"
    with recipe.start("sh", "-c", code) as container:
        status = container.wait(30.0)
        assert (container.restart_count, status.exit_code, status.oom_killed) == (1, 5, False)


def test_restart_rests_ever_longer_also_where_it_cannot_start(box: cl.ContainerRecipe) -> None:
    """A start that fails is no run that went well, however long the machine has been up. By the supervisor's record."""
    pause, times = 0.02, 5
    recipe = box.restart("always")
    policy = evolve(recipe.options.restart, pause=pause, longest=3600.0)
    recipe = evolve(recipe, options=evolve(recipe.options, restart=policy))
    with recipe.start("sh", "-c", "rm /bin/sh /bin/busybox; exit 1") as container:
        directory, rests = str(directory_of(container)), []

        def rested() -> bool:
            """Whether it is in the rest after so many starts, of which `rests` has the nanoseconds."""
            record = read_record(directory, "restarts")
            if record is None or record.value[0] < times or not record.number[1]:
                return False
            rests.append(record.number[1] - record.number[0])
            return True

        until(rested)
        assert rests[0] >= pause * 2**times * 1e9


def test_restart_after_an_end_that_no_policy_minds_is_not_the_next_engines(
    engine: cl.Engine, box: cl.ContainerRecipe
) -> None:
    container = quick(box.restart("on-failure")).start("true", detach=True)
    try:
        assert container.wait(30.0).exit_code == 0
        look_again(engine)
        assert (container.state, container.restart_count) == (cl.State.STOPPED, 0)
        assert [event.action for event in engine.events(subject=container.id)].count("start") == 1
    finally:
        container.remove(force=True)


def test_restart_after_the_supervisor_was_killed_is_nobodys_where_its_owner_lives(
    engine: cl.Engine, box: cl.ContainerRecipe
) -> None:
    """Another process that opens the root would own what it starts again."""
    with box.restart("always").start("sleep", "600") as container:
        os.kill(shim_of(container), signal.SIGKILL)
        until(lambda: container.state is cl.State.STOPPED)
        look_again(engine)
        assert container.state is cl.State.STOPPED


def test_restart_is_not_for_what_its_own_stop_signal_has_ended(box: cl.ContainerRecipe) -> None:
    """As `docker kill` has it: whoever sends that wants it stopped."""
    code = "trap 'exit 5' USR1; touch /ready; while :; do sleep 0.01; done"
    with quick(box.stop_signal("USR1").restart("always")).start("sh", "-c", code) as container:
        container.wait_for(exec=("test", "-e", "/ready"))
        container.kill("USR1")
        assert container.wait(30.0).exit_code == 5
        assert (container.state, container.restart_count) == (cl.State.STOPPED, 0)


def test_signal_to_one_that_rests_reaches_nobody_unless_it_ends_the_rest(box: cl.ContainerRecipe) -> None:
    with quick(box.restart("always"), pause=1000.0).start("sh", "-c", "exit 3") as container:
        until(lambda: container.state is cl.State.RESTARTING)
        with pytest.raises(cl.Conflict):
            container.kill("USR1")
        assert container.state is cl.State.RESTARTING
        container.kill("TERM")
        assert container.wait(30.0).exit_code == 3
        assert container.state is cl.State.STOPPED
