"""Restart policies, with nobody alive but the container's supervisor."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
from collections.abc import Callable
from subprocess import Popen

import pytest
from attrs import evolve

import containerlib as cl
from containerlib.engine.lifetime import set_restart
from containerlib.runtime import connect
from containerlib.spec.lifetime import RestartOption, RestartPolicy
from rig.lifetime import (
    children_of,
    descriptors_of,
    directory_of,
    memory_of,
    quick,
    shim_of,
    start_and_kill,
    supervisor_killed,
    until,
)

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")
Script = Callable[[str], "Popen[str]"]

SEED = 20261126
COUNT = "echo run >>/runs; "
"""Each run leaves a line in the container's files, which the next one finds."""


def look_again(engine: cl.Engine) -> None:
    """As another process does that opens the same root."""
    with cl.Engine(root=engine.root) as other:
        other.containers.list()


def texts(container: cl.Container) -> list[str]:
    return [record.text for record in container.logs()]


def test_restart_on_failure_ends_after_its_retries_with_the_last_code(box: cl.ContainerRecipe) -> None:
    recipe = quick(box.restart("on-failure", retries=3))
    with recipe.start("sh", "-c", COUNT + "wc -l </runs; exit 7") as container:
        assert container.wait(30.0).exit_code == 7
        assert (container.restart_count, container.state) == (3, cl.State.STOPPED)
        assert texts(container) == ["1", "2", "3", "4"], "one log, and the files of the run before"


def test_restart_on_failure_leaves_success_alone(box: cl.ContainerRecipe) -> None:
    code = COUNT + '[ "$(wc -l </runs)" = 2 ]'
    with quick(box.restart("on-failure")).start("sh", "-c", code) as container:
        assert container.wait(30.0).exit_code == 0
        assert container.restart_count == 1


@pytest.mark.parametrize("policy", ["always", "unless-stopped"])
def test_restart_always_goes_on_after_success(box: cl.ContainerRecipe, policy: RestartPolicy) -> None:
    with quick(box.restart(policy)).start("true") as container:
        until(lambda: container.restart_count >= 5)


def test_restart_no_is_what_a_recipe_has(box: cl.ContainerRecipe) -> None:
    with box.start("false") as container:
        assert container.wait(10.0).exit_code == 1
        assert container.restart_count == 0


def test_restart_gives_each_run_new_namespaces_and_the_same_limits(box: cl.ContainerRecipe) -> None:
    code = "mount | grep -c ' /tmp '; touch /dev/shm/left; ls /dev/shm | wc -l; ulimit -n; echo $$; exit 1"
    recipe = quick(box.restart("on-failure", retries=1).rlimit("nofile", 77).mount(cl.tmpfs(), at="/tmp"))
    with recipe.start("sh", "-c", code) as container:
        container.wait(30.0)
        assert texts(container) == ["1", "1", "77", "1"] * 2


def test_restart_leaves_no_process_of_the_run_before(box: cl.ContainerRecipe) -> None:
    """Also among the host's processes, where no kernel ends what the first one leaves."""
    code = "ps | grep -v 'sh -c' | grep -c '[s]leep 4321'; sleep 4321.5 >&- 2>&- & exit 1"
    with quick(box.pid("host").restart("on-failure", retries=2)).start("sh", "-c", code) as container:
        container.wait(30.0)
        assert texts(container) == ["0"] * 3


def test_restart_of_a_created_container_does_not_wait_for_another_start(box: cl.ContainerRecipe) -> None:
    with quick(box.restart("on-failure", retries=2)).create("sh", "-c", "echo hi; exit 1") as container:
        assert container.state is cl.State.CREATED
        container.start()
        assert container.wait(30.0).exit_code == 1
        assert texts(container) == ["hi"] * 3


def test_restart_of_a_terminal_is_a_new_one(box: cl.ContainerRecipe) -> None:
    with quick(box.tty().restart("on-failure", retries=2)).start("sh", "-c", "tty; exit 1") as container:
        container.wait(30.0)
        assert [text.strip() for text in texts(container)] == ["/dev/pts/0"] * 3


def test_restart_keeps_standard_input_open(box: cl.ContainerRecipe) -> None:
    code = COUNT + '[ "$(wc -l </runs)" = 3 ] && exec cat; exit 1'
    with quick(box.stdin().restart("on-failure")).start("sh", "-c", code) as container:
        until(lambda: container.restart_count == 2 and container.state is cl.State.RUNNING)
        assert container.exec("readlink", "/proc/1/fd/0").text.startswith("pipe:")


def test_restart_that_cannot_start_counts_as_an_end(box: cl.ContainerRecipe) -> None:
    recipe = quick(box.restart("on-failure", retries=2))
    with recipe.start("sh", "-c", "rm /bin/sh /bin/busybox; exit 1") as container:
        assert container.wait(30.0).exit_code == 127
        assert container.restart_count == 2


def test_restart_first_start_that_fails_is_the_callers(
    box: cl.ContainerRecipe, left_nothing: Callable[[], None]
) -> None:
    with pytest.raises(cl.StageError) as caught:
        box.restart("always").start("/nothing")
    assert caught.value.exit_code == 127
    left_nothing()


def test_restart_waits_twice_as_long_each_time(box: cl.ContainerRecipe) -> None:
    """By the record of each end, and not by a clock of the test's: 100 ms, 200 ms."""
    with box.restart("on-failure", retries=2).start("sh", "-c", "date +%s%N; exit 1") as container:
        container.wait(60.0)
        times = [record.time for record in container.logs()]
    pauses = [(b - a).total_seconds() for a, b in itertools.pairwise(times)]
    assert pauses[0] >= 0.1
    assert pauses[1] >= 0.2


def restarting(recipe: cl.ContainerRecipe, **times: float) -> cl.ContainerRecipe:
    """`recipe`, whose supervisor waits 1 ms before the second start."""
    policy = evolve(recipe.restart("always").options.restart, pause=0.001, **times)
    return evolve(recipe, options=evolve(recipe.options, restart=policy))


def test_restart_waits_no_longer_than_the_most(box: cl.ContainerRecipe) -> None:
    """Doubled without end, the twentieth pause would be of a quarter of an hour."""
    with restarting(box, longest=0.01).start("true") as container:
        until(lambda: container.restart_count >= 20)


def test_restart_waits_as_at_first_after_a_run_that_went_well(box: cl.ContainerRecipe) -> None:
    with restarting(box, longest=3600.0, calm=0.005).start("usleep", "10000") as container:
        until(lambda: container.restart_count >= 20)


def test_restart_state_is_restarting_while_it_rests(box: cl.ContainerRecipe) -> None:
    with quick(box.restart("always"), pause=1000.0).start("sh", "-c", "exit 3") as container:
        until(lambda: container.state is cl.State.RESTARTING)
        with pytest.raises(cl.Conflict, match="restarting"):
            container.exec("true")
        with pytest.raises(cl.Conflict, match="restarting"):
            container.start()
        with pytest.raises(cl.Conflict, match="restarting"):
            container.remove()
        assert container.stop().exit_code == 3, "at once, with the end that it had"
        assert (container.state, container.restart_count) == (cl.State.STOPPED, 0)


@pytest.mark.parametrize("end", ["stop", "kill", "TERM", "remove"])
def test_restart_is_not_for_what_somebody_has_ended(box: cl.ContainerRecipe, end: str) -> None:
    code = COUNT + "trap 'exit 5' TERM; while :; do sleep 0.01; done"
    container = quick(box.restart("always")).start("sh", "-c", code, detach=True)
    try:
        if end == "stop":
            container.wait_for(exec=("test", "-e", "/runs"))
            assert container.stop(10.0).exit_code == 5
        elif end != "remove":
            container.wait_for(exec=("test", "-e", "/runs"))
            container.kill("KILL" if end == "kill" else end)
            assert container.wait(30.0).exit_code == (137 if end == "kill" else 5)
        if end != "remove":
            assert (container.state, container.restart_count) == (cl.State.STOPPED, 0)
    finally:
        container.remove(force=True)


def test_restart_goes_on_after_another_signal(box: cl.ContainerRecipe) -> None:
    code = COUNT + "trap 'exit 5' USR1; while :; do sleep 0.01; done"
    with quick(box.restart("always")).start("sh", "-c", code) as container:
        container.wait_for(exec=("test", "-e", "/runs"))
        container.kill("USR1")
        until(lambda: container.restart_count == 1)


def test_restart_stopped_container_that_is_started_has_its_policy_again(box: cl.ContainerRecipe) -> None:
    with quick(box.restart("always")).start("sh", "-c", COUNT + "sleep 0.01") as container:
        until(lambda: container.restart_count >= 2)
        container.stop(0.0)
        container.start()
        until(lambda: container.restart_count >= 2)


def test_wait_next_exit_returns_while_it_goes_on(box: cl.ContainerRecipe) -> None:
    with quick(box.restart("always"), pause=0.05).start("sh", "-c", "sleep 0.05; exit 4") as container:
        for _ in range(3):
            assert container.wait(30.0, condition="next-exit").exit_code == 4
        with pytest.raises(cl.Timeout):
            container.wait(0.2)


def test_restart_verb_stops_and_starts(box: cl.ContainerRecipe) -> None:
    with box.start("sh", "-c", COUNT + "trap 'exit 0' TERM; while :; do sleep 0.01; done") as container:
        container.wait_for(exec=("test", "-e", "/runs"))
        container.restart(10.0)
        until(lambda: container.exec("cat", "/runs").text == "run\nrun\n")
        container.stop()
        container.restart()
        assert container.state is cl.State.RUNNING


def test_restart_policy_changes_while_it_runs(box: cl.ContainerRecipe) -> None:
    with box.start("sh", "-c", "sleep 0.2; exit 1") as container:
        set_restart(container._instance, RestartOption("always", pause=0.001, longest=0.001))
        until(lambda: container.restart_count >= 1)
        set_restart(container._instance, RestartOption("no"))
        assert container.wait(30.0).exit_code == 1


def test_restart_policy_is_not_for_what_is_removed_at_its_end(box: cl.ContainerRecipe) -> None:
    container = box.start("sleep", "600", remove=True)
    with pytest.raises(cl.InvalidArgument):
        set_restart(container._instance, RestartOption("always"))
    container.remove(force=True)


def test_restart_older_clients_signal_leaves_the_policy_alone(box: cl.ContainerRecipe) -> None:
    """The flag that says otherwise is 0 in what they send."""
    with quick(box.restart("always")).start("sleep", "600") as container:
        supervisor = connect(str(directory_of(container)))
        assert supervisor is not None
        with supervisor:
            supervisor.signal(signal.SIGKILL, everyone=True)
        until(lambda: container.restart_count == 1)


def test_restart_follow_of_the_log_goes_on(box: cl.ContainerRecipe) -> None:
    with quick(box.restart("on-failure", retries=4)).start("sh", "-c", "echo hi; exit 1") as container:
        assert [record.text for record in container.logs(follow=True)] == ["hi"] * 5


def test_restart_refused_where_the_container_is_removed_at_its_end(box: cl.ContainerRecipe) -> None:
    recipe = box.restart("always")
    for verb in (recipe.run, recipe.spawn, lambda: recipe.start(remove=True)):
        with pytest.raises(cl.InvalidArgument, match="again"):
            verb()


def test_restart_goes_on_when_its_starter_was_killed(engine: cl.Engine, script: Script) -> None:
    code = 'box.name("kept").restart("always").start("sleep", "0.05", detach=True)'
    start_and_kill(script, code)
    container = engine.containers.get("kept")
    try:
        before = container.restart_count
        until(lambda: container.restart_count > before)
    finally:
        container.remove(force=True)


@pytest.mark.parametrize("pause", [0.01, 1000.0])
def test_restart_of_an_owned_container_ends_with_its_owner(
    engine: cl.Engine, script: Script, pause: float
) -> None:
    code = f"""
    from attrs import evolve
    recipe = box.name("owned").restart("always")
    policy = evolve(recipe.options.restart, pause={pause})
    evolve(recipe, options=evolve(recipe.options, restart=policy)).start("sleep", "0.01")
    print('started', flush=True)
    import time; time.sleep(60)
    """
    with script(code) as starter:
        assert starter.stdout is not None
        assert starter.stdout.readline() == "started\n"
        container = engine.containers.get("owned")
        until(lambda: container.restart_count > 2 or container.state is cl.State.RESTARTING)
        starter.kill()
        starter.wait()
    container.wait(30.0)
    assert container.state is cl.State.STOPPED
    look_again(engine)
    assert engine.containers.list() == []


@pytest.mark.parametrize("moment", ["running", "resting"])
def test_restart_after_the_supervisor_was_killed_is_the_next_engines(
    engine: cl.Engine, box: cl.ContainerRecipe, moment: str
) -> None:
    argv = ("sleep", "600") if moment == "running" else ("true",)
    container = quick(box.restart("always"), pause=1000.0).start(*argv, detach=True)
    try:
        if moment == "resting":
            until(lambda: container.state is cl.State.RESTARTING)
        os.kill(shim_of(container), signal.SIGKILL)
        until(lambda: container.state is cl.State.STOPPED)
        look_again(engine)
        expected = cl.State.RUNNING if moment == "running" else cl.State.RESTARTING
        until(lambda: container.state is expected)
    finally:
        container.remove(force=True)


def test_restart_after_the_supervisor_was_killed_is_not_for_what_was_stopped(
    engine: cl.Engine, box: cl.ContainerRecipe
) -> None:
    container = box.restart("always").start(
        "sh", "-c", "trap : TERM; while :; do sleep 0.01; done", detach=True
    )
    try:
        container.wait_for(exec=("true",))
        container.kill("TERM")  # which it does not end by
        os.kill(shim_of(container), signal.SIGKILL)
        until(lambda: container.state is cl.State.STOPPED)
        look_again(engine)
        assert container.state is cl.State.STOPPED
        assert container.wait(10.0).exit_code == 137
    finally:
        container.remove(force=True)


def test_restart_after_the_supervisor_was_killed_counts_retries(
    engine: cl.Engine, box: cl.ContainerRecipe
) -> None:
    code = COUNT + '[ "$(wc -l </runs)" = 3 ] && exec sleep 600; exit 1'
    recipe = quick(box.restart("on-failure", retries=2))
    container = recipe.start("sh", "-c", code, detach=True)
    try:
        until(lambda: container.restart_count == 2 and container.state is cl.State.RUNNING)
        os.kill(shim_of(container), signal.SIGKILL)
        until(lambda: container.state is cl.State.STOPPED)
        look_again(engine)
        assert container.state is cl.State.STOPPED
    finally:
        container.remove(force=True)


@pytest.mark.slow
def test_restart_supervisor_killed_at_any_moment_leaves_what_the_next_engine_starts(
    engine: cl.Engine, box: cl.ContainerRecipe
) -> None:
    container = quick(box.restart("always")).start("sleep", "0.005", detach=True)
    try:
        for _ in supervisor_killed(container, 40, seed=SEED):
            look_again(engine)
            before = container.restart_count
            until(lambda before=before: container.restart_count > before)
    finally:
        container.remove(force=True)
    report = engine.prune()
    assert (report.containers, report.directories, report.cgroups) == ((), (), ())


def test_restart_first_process_killed_at_any_moment_leaves_a_true_state(box: cl.ContainerRecipe) -> None:
    """The program's end and the kill race; none of them is lost."""
    with quick(box.restart("always")).start("sleep", "0.01") as container:
        for _ in range(50):
            for pid in children_of(shim_of(container)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        count = container.restart_count
        until(lambda: container.restart_count > count)
        container.stop(0.0)
        assert container.state is cl.State.STOPPED
    assert not directory_of(container).exists()


@pytest.mark.slow
def test_restart_a_thousand_times_leaks_nothing(box: cl.ContainerRecipe) -> None:
    with quick(box.restart("always")).start("true") as container:
        until(lambda: container.restart_count >= 50)
        shim = shim_of(container)
        os.kill(shim, signal.SIGSTOP)
        descriptors = descriptors_of(shim)
        os.kill(shim, signal.SIGCONT)
        until(lambda: container.restart_count >= 1050, seconds=300.0)
        set_restart(container._instance, RestartOption("always", pause=1000.0))
        until(lambda: container.state is cl.State.RESTARTING and not children_of(shim))
        # those of a run, and of who asks for its state, come and go
        until(lambda: descriptors_of(shim) <= descriptors + 8)
        assert memory_of(shim) <= 150


def test_restart_among_another_containers_processes_waits_until_these_are_there_again(
    box: cl.ContainerRecipe,
) -> None:
    with box.name("other").start("sleep", "600") as other:
        recipe = quick(box.pid(other).restart("always"), pause=0.05)
        with recipe.start("sh", "-c", "readlink /proc/self/ns/pid; exec sleep 600") as member:
            other.stop(timeout=0.0)  # and with its first process go all others
            until(lambda: member.restart_count > 2)
            assert "does not run" in (member.inspect().error or "")
            other.start()
            until(lambda: member.state is cl.State.RUNNING)
            assert member.inspect().error is None
            until(lambda: texts(member)[-1:] == [other.exec("readlink", "/proc/self/ns/pid").text.strip()])


def test_restart_whose_other_container_was_removed_goes_on_failing_with_its_reason(
    box: cl.ContainerRecipe,
) -> None:
    other = box.start("sleep", "600")
    code = "while [ ! -e /go ]; do sleep 0.01; done; exit 1"
    with quick(box.network(other).restart("on-failure", retries=3)).start("sh", "-c", code) as member:
        other.remove(force=True)
        member.exec("touch", "/go")
        assert member.wait(60.0).exit_code == 128
        assert (member.restart_count, member.state) == (3, cl.State.STOPPED)
        assert "was removed" in (member.inspect().error or "")
        with pytest.raises(cl.NotFound):
            member.start()


def test_restart_that_cannot_start_its_program_says_why(box: cl.ContainerRecipe) -> None:
    recipe = quick(box.restart("on-failure", retries=1))
    with recipe.start("sh", "-c", "rm /bin/sh /bin/busybox; exit 1") as container:
        assert container.wait(30.0).exit_code == 127
        error = container.inspect().error
        assert error is not None
        assert error.startswith("exec: sh: ENOENT")


def test_restart_by_another_program_that_opens_the_root_joins_again(box: cl.ContainerRecipe) -> None:
    with box.start("sleep", "600", detach=True) as other:
        code = "readlink /proc/self/ns/net; exec sleep 600"
        member = box.network(other).restart("always").start("sh", "-c", code, detach=True)
        try:
            until(lambda: len(texts(member)) == 1)
            os.kill(shim_of(member), signal.SIGKILL)
            until(lambda: member.state is cl.State.STOPPED)
            look_again(box.engine)
            until(lambda: len(texts(member)) == 2)
            assert set(texts(member)) == {other.exec("readlink", "/proc/self/ns/net").text.strip()}
        finally:
            member.remove(force=True)
            other.remove(force=True)


def test_restart_has_its_secrets_again(box: cl.ContainerRecipe) -> None:
    recipe = quick(box.secret("token", b"hidden").restart("on-failure", retries=2))
    with recipe.start("sh", "-c", "cat /run/secrets/token; echo; exit 1") as container:
        container.wait(30.0)
        assert texts(container) == ["hidden"] * 3
