"""What can be waited for, and states that are true by then."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen

import pytest

import containerlib as cl
from containerlib.runtime import ContainerCgroup
from rig.images import Image, busybox_layer
from rig.lifetime import directory_of, shim_of, until

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")
Script = Callable[[str], "Popen[str]"]


@contextmanager
def detached(recipe: cl.ContainerRecipe, *argv: str) -> Iterator[cl.Container]:
    container = recipe.start(*argv, detach=True)
    try:
        yield container
    finally:
        container.remove(force=True)


def volumes(engine: cl.Engine) -> list[str]:
    return [volume.name for volume in engine.volumes.list()]


# ---- start after a stop ----


@pytest.mark.slow
def test_start_at_once_after_the_state_is_stopped_gives_a_whole_container(box: cl.ContainerRecipe) -> None:
    with detached(box, "sh", "-c", "echo run >>/runs") as container:
        for _ in range(50):
            while container.state is not cl.State.STOPPED:
                pass
            container.start()
        container.wait(10.0)
        assert container.path("/runs").read_text() == "run\n" * 51


def test_start_while_the_last_supervisor_clears_away_waits_for_its_end(box: cl.ContainerRecipe) -> None:
    with detached(box, "sleep", "600") as container:
        shim, (first, *_) = shim_of(container), container.top()
        os.kill(shim, signal.SIGSTOP)
        os.kill(first.pid, signal.SIGKILL)
        until(lambda: container.state is cl.State.STOPPED)
        starting = threading.Thread(target=container.start)
        starting.start()
        starting.join(0.2)
        assert starting.is_alive(), "it waits"
        os.kill(shim, signal.SIGCONT)
        starting.join(30.0)
        assert container.state is cl.State.RUNNING
        assert shim_of(container) != shim
        assert container.exec("echo", "here").text == "here\n"
        assert container.stop(0.0).exit_code == 137


def test_start_while_what_is_dying_comes_into_its_groups_waits(
    engine: cl.Engine, box: cl.ContainerRecipe
) -> None:
    """What a killed supervisor was starting joins a group when it gets there, and only then hears of its end."""
    with detached(box, "true") as container:
        path = engine.core.cgroup_path(container.id)
        places = list(ContainerCgroup(path)._candidates().values())
        code = " ".join(f"echo $$ >{place}/cgroup.procs;" for place in places)
        command = ["sh", "-c", f"while :; do sh -c '{code}'; done"]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as stragglers:
            try:
                for _ in range(40):
                    container.wait(10.0)
                    until(lambda: not any(map(os.path.isdir, places)), 10.0)
                    ContainerCgroup(path).create({})
                    container.start()
            finally:
                stragglers.kill()


# ---- the end ----


def test_wait_after_its_supervisor_was_killed_returns_when_it_has_stopped(box: cl.ContainerRecipe) -> None:
    for _ in range(10):
        with detached(box, "sleep", "600") as container:
            os.kill(shim_of(container), signal.SIGKILL)
            assert container.wait(10.0).exit_code == 137
            assert container.state is cl.State.STOPPED


def test_wait_of_a_paused_container_whose_supervisor_was_killed_lets_it_die(box: cl.ContainerRecipe) -> None:
    with detached(box, "sleep", "600") as container:
        container.pause()
        os.kill(shim_of(container), signal.SIGKILL)
        assert container.wait(10.0).exit_code == 137
        assert container.state is cl.State.STOPPED


def test_wait_for_an_unknown_condition_names_those_that_are(box: cl.ContainerRecipe) -> None:
    with (
        box.start("sleep", "600") as container,
        pytest.raises(cl.InvalidArgument, match=r"removed.*running") as caught,
    ):
        container.wait(condition="gone")  # type: ignore[call-overload]
    assert caught.value.field == "condition"


# ---- removed ----


def test_wait_removed_of_what_its_supervisor_removes_has_its_end_and_frees_its_name(
    engine: cl.Engine, box: cl.ContainerRecipe
) -> None:
    recipe = box.name("job")
    for code in (0, 3):
        container = recipe.start("sh", "-c", f"exit {code}", detach=True, remove=True)
        try:
            assert container.wait(10.0, condition="removed").exit_code == code
        except (cl.NotFound, cl.Unavailable):  # it was faster than this
            continue
    assert engine.containers.list() == []


def test_wait_removed_from_another_process_ends_with_the_removal(
    box: cl.ContainerRecipe, script: Script
) -> None:
    container = box.name("one").start("sleep", "600", detach=True)
    code = """
    print("waiting", flush=True)
    print(engine.containers.get("one").wait(condition="removed").exit_code)
    """
    with script(code) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "waiting\n"
        container.stop(0.0)
        container.start()
        container.kill("TERM")
        container.remove(force=True)
        assert other.stdout.read() == "137\n"


def test_wait_removed_runs_out_while_it_is_there(box: cl.ContainerRecipe) -> None:
    with detached(box, "true") as container:
        container.wait(10.0)
        with pytest.raises(cl.Timeout, match=r"still there after 0\.05 s"):
            container.wait(0.05, condition="removed")
    with pytest.raises(cl.NotFound):
        container.wait(condition="removed")


# ---- running, healthy ----


def test_wait_running_returns_when_somebody_has_started_it(box: cl.ContainerRecipe, script: Script) -> None:
    container = box.name("late").create("sleep", "600")
    with container:
        with pytest.raises(cl.Timeout, match="does not run"):
            container.wait(0.05, condition="running")
        with script('engine.containers.get("late").wait(30.0, condition="running")\nprint("runs")') as other:
            container.start()
            assert other.stdout is not None
            assert other.stdout.read() == "runs\n"


def test_wait_healthy_is_a_condition_too(box: cl.ContainerRecipe) -> None:
    recipe = box.healthy_when(cl.command("test", "-e", "/well"), every=0.01, start_every=0.01)
    with recipe.start("sh", "-c", "touch /well; exec sleep 600") as container:
        assert container.wait(30.0, condition="healthy") is None  # type: ignore[func-returns-value]
        assert container.health is not None
        assert container.health.status == "healthy"


# ---- volumes of what a supervisor has removed ----


@pytest.fixture
def voluminous(engine: cl.Engine, tmp_path: Path) -> cl.ContainerRecipe:
    """A container whose image has a volume."""
    image = Image((busybox_layer(),), {"Env": ["PATH=/bin"], "Volumes": {"/data": {}}})
    (found,) = engine.images.load(image.write_layout(tmp_path / "voluminous"))
    return engine.container(found)


@pytest.mark.parametrize("who", ["open", "remove", "name", "wait"])
def test_unnamed_volumes_of_what_its_supervisor_has_removed_go_with_its_record(
    engine: cl.Engine, voluminous: cl.ContainerRecipe, who: str
) -> None:
    container = voluminous.name("job").start("sleep", "600", detach=True, remove=True)
    assert len(volumes(engine)) == 1
    waiting = threading.Thread(target=container.wait, kwargs={"condition": "removed"})
    if who == "wait":
        waiting.start()
    container.kill("KILL")
    until(lambda: not directory_of(container).exists())
    if who == "open":
        cl.Engine(root=engine.root).core.close()
    elif who == "remove":
        container.remove()
    elif who == "name":
        with engine.container(engine.host_image()).name("job").start("sleep", "600"):
            pass
    else:
        waiting.join(30.0)
    assert volumes(engine) == []
    assert engine.containers.list() == []


def test_unnamed_volume_of_what_has_been_removed_stays_while_another_has_it(
    engine: cl.Engine, voluminous: cl.ContainerRecipe, box: cl.ContainerRecipe
) -> None:
    container = voluminous.start("sleep", "600", detach=True, remove=True)
    with box.volumes_from(container).start("sleep", "600"):
        container.kill("KILL")
        until(lambda: not directory_of(container).exists())
        cl.Engine(root=engine.root).core.close()
        assert len(volumes(engine)) == 1
    assert len(engine.volumes.prune().volumes) == 1
