"""Containers that their supervisor removes: nobody else needs to be alive."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import pytest

import containerlib as cl
from containerlib.engine.lock import locked
from rig.lifetime import directory_of, shim_of, until
from rig.mounts import mount
from rig.threads import at_once

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")
Script = Callable[[str], "Popen[str]"]
Nothing = Callable[[], None]


def gone(container: cl.Container) -> bool:
    return not directory_of(container).exists()


@pytest.mark.parametrize("detach", [True, False])
def test_remove_takes_all_when_it_has_ended(
    box: cl.ContainerRecipe, left_nothing: Nothing, detach: bool
) -> None:
    container = box.start("sh", "-c", "exit 4", detach=detach, remove=True)
    until(lambda: gone(container))
    left_nothing()
    with pytest.raises(cl.NotFound):
        _ = container.state


def test_remove_tells_who_waits_how_it_ended_and_is_done_by_then(
    box: cl.ContainerRecipe, left_nothing: Nothing
) -> None:
    container = box.start("sh", "-c", "sleep 0.2; exit 4", detach=True, remove=True)
    assert container.wait(30.0).exit_code == 4
    assert gone(container)
    left_nothing()


def test_remove_never_says_another_end_than_it_had(box: cl.ContainerRecipe, left_nothing: Nothing) -> None:
    """Who asks while it is being removed hears how it ended, or that it is gone."""
    codes = set()
    for _ in range(30):
        container = box.start("sh", "-c", "exit 7", detach=True, remove=True)

        def ask(_: int, container: cl.Container = container) -> int:
            with contextlib.suppress(cl.NotFound):
                return container.wait(30.0).exit_code
            return 7

        codes |= set(at_once(ask, threads=3))
    assert codes == {7}
    until(lambda: not list(Path(box.engine.root, "containers").iterdir()))
    left_nothing()


def test_remove_stop_ends_and_removes(box: cl.ContainerRecipe, left_nothing: Nothing) -> None:
    container = box.start("sleep", "600", detach=True, remove=True)
    assert container.stop(0.0).exit_code == 137
    left_nothing()


def test_remove_goes_on_without_the_starter(engine: cl.Engine, script: Script, left_nothing: Nothing) -> None:
    code = 'box.name("kept").start("sh", "-c", "sleep 0.5", detach=True, remove=True)'
    with script(f"{code}\nprint('started', flush=True)\nimport time; time.sleep(60)") as starter:
        assert starter.stdout is not None
        assert starter.stdout.readline() == "started\n"
        container = engine.containers.get("kept")
        starter.kill()
        starter.wait()
    until(lambda: gone(container))
    left_nothing()


def test_remove_name_is_free_afterwards(box: cl.ContainerRecipe, left_nothing: Nothing) -> None:
    for _ in range(3):
        container = box.name("job").start("true", detach=True, remove=True)
        until(lambda container=container: gone(container))
    left_nothing()


def test_remove_name_is_taken_while_it_runs(box: cl.ContainerRecipe) -> None:
    container = box.name("job").start("sleep", "600", detach=True, remove=True)
    with pytest.raises(cl.AlreadyExists):
        box.name("job").start("true", detach=True, remove=True)
    container.remove(force=True)


def test_remove_record_is_forgotten_by_the_next_engine(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    container = box.start("true", detach=True, remove=True)
    until(lambda: gone(container))
    with cl.Engine(root=engine.root) as other:
        assert other.core.store.containers.list() == []


def test_remove_deep_and_odd_trees_go_and_what_links_lead_to_stays(
    box: cl.ContainerRecipe, tmp_path: Path, left_nothing: Nothing
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("kept")
    code = (
        f"ln -s {outside} /link; ln -s {outside}/file /file; mkfifo /fifo; mkdir -m 0 /closed; touch /closed/x;"
        "i=0; while [ $i -lt 600 ]; do mkdir d; touch 'd/a\nb'; ln -s / d/root; cd d; i=$((i+1)); done;"
        "cd /; mkdir many; i=0; while [ $i -lt 2000 ]; do : >many/$i; i=$((i+1)); done"
    )
    container = box.mount(str(outside), at="/mounted").start("sh", "-c", code, detach=True, remove=True)
    until(lambda: gone(container))
    assert (outside / "file").read_text() == "kept"
    left_nothing()


def test_remove_does_not_enter_what_is_mounted(box: cl.ContainerRecipe, tmp_path: Path) -> None:
    """A mount on the host below the directory stays, with what is in it; an engine that is opened later reports it."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "file").write_text("kept")
    container = box.start("sleep", "600", detach=True, remove=True)
    point = directory_of(container) / "upper" / "point"
    point.mkdir()
    mount("--bind", other, point)
    shim = shim_of(container)
    try:
        container.kill("KILL")
        until(lambda: not Path(f"/proc/{shim}/root").exists())
        assert (other / "file").read_text() == "kept"
    finally:
        subprocess.run(["umount", point], check=True)
    with cl.Engine(root=container.engine.root) as engine:
        assert engine.containers.list() == []
    assert gone(container)


def test_remove_by_hand_at_the_same_time_ends_well(box: cl.ContainerRecipe, left_nothing: Nothing) -> None:
    for _ in range(20):
        container = box.start("sleep", "0.02", detach=True, remove=True)

        def remove(_: int, container: cl.Container = container) -> None:
            with contextlib.suppress(cl.NotFound):
                container.remove(force=True)

        at_once(remove, threads=2)
        assert gone(container)
    left_nothing()


def test_remove_waits_for_nobody_who_holds_the_lock(box: cl.ContainerRecipe, left_nothing: Nothing) -> None:
    """Whoever has it may wait for the supervisor: that leaves the rest to the next engine."""
    container = box.start("sleep", "600", detach=True, remove=True)
    shim = shim_of(container)
    with locked(container._instance):
        container.kill("KILL")
        until(lambda: not Path(f"/proc/{shim}/root").exists())
        assert not gone(container)
    with cl.Engine(root=container.engine.root) as engine:
        assert engine.containers.list() == []
    left_nothing()


def test_remove_of_a_killed_supervisor_is_the_next_engines(
    box: cl.ContainerRecipe, left_nothing: Nothing
) -> None:
    container = box.start("sleep", "600", detach=True, remove=True)
    os.kill(shim_of(container), signal.SIGKILL)
    until(lambda: container.state is cl.State.STOPPED)
    with cl.Engine(root=container.engine.root) as engine:
        assert engine.containers.list() == []
    left_nothing()


def test_remove_restart_keeps_it(box: cl.ContainerRecipe, left_nothing: Nothing) -> None:
    container = box.start("sh", "-c", "echo run >>/runs; sleep 600", detach=True, remove=True)
    container.wait_for(exec=("test", "-e", "/runs"))
    container.restart(0.0)
    until(lambda: container.exec("cat", "/runs").text == "run\nrun\n")
    container.stop(0.0)
    left_nothing()


def test_remove_start_that_fails_is_the_callers(box: cl.ContainerRecipe, left_nothing: Nothing) -> None:
    with pytest.raises(cl.StageError):
        box.start("/nothing", detach=True, remove=True)
    left_nothing()


def test_remove_of_a_created_one_is_when_it_has_run(box: cl.ContainerRecipe, left_nothing: Nothing) -> None:
    container = box.create("true", detach=True, remove=True)
    assert container.state is cl.State.CREATED
    container.start()
    until(lambda: gone(container))
    left_nothing()


def test_remove_as_a_block_ends_well(box: cl.ContainerRecipe, left_nothing: Nothing) -> None:
    with box.start("sleep", "600", remove=True) as container:
        assert container.state is cl.State.RUNNING
    left_nothing()


def test_remove_not_detached_ends_with_its_engine(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    with cl.Engine(root=engine.root) as other:
        container = other.container(other.images.list()[0]).start("sleep", "600", remove=True)
        pid = shim_of(container)
    assert not Path(f"/proc/{pid}/root").exists()
    assert gone(container)


def test_remove_not_detached_ends_with_its_owner(
    engine: cl.Engine, script: Script, left_nothing: Nothing
) -> None:
    code = 'box.name("owned").start("sleep", "600", remove=True)'
    with script(f"{code}\nprint('started', flush=True)\nimport time; time.sleep(60)") as starter:
        assert starter.stdout is not None
        assert starter.stdout.readline() == "started\n"
        container = engine.containers.get("owned")
        starter.kill()
        starter.wait()
    until(lambda: gone(container))
    left_nothing()
