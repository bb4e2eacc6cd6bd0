"""create, start, stop, kill, pause, resume, wait, remove: states and their limits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import containerlib as cl
from containerlib import State
from containerlib.runtime.cgroups.cgroup import ContainerCgroup
from rig.images import Image, busybox_layer
from rig.snapshotters import EACH

pytestmark = [*EACH, pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")]

CATCHES = "trap 'echo asked; exit 3' TERM; echo ready; while :; do sleep 0.05; done"


def test_lifecycle_all_states_in_order(box: cl.ContainerRecipe, left_nothing: Callable[[], None]) -> None:
    container = box.create("sleep", "60")
    seen = [container.state]
    container.start()
    seen.append(container.state)
    container.pause()
    seen.append(container.state)
    container.resume()
    seen.append(container.state)
    container.kill()
    container.wait(10.0)
    seen.append(container.state)
    container.remove()
    assert seen == [State.CREATED, State.RUNNING, State.PAUSED, State.RUNNING, State.STOPPED]
    with pytest.raises(cl.NotFound, match="removed"):
        _ = container.state
    left_nothing()


def test_create_program_waits_for_start(box: cl.ContainerRecipe) -> None:
    with box.create("echo", "started") as container:
        time.sleep(0.1)
        assert list(container.logs()) == []
        container.start()
        assert container.wait(10.0).exit_code == 0
        assert [record.text for record in container.logs()] == ["started"]


def test_create_missing_command_is_127(box: cl.ContainerRecipe, left_nothing: Callable[[], None]) -> None:
    with pytest.raises(cl.StageError, match="no-such-program") as caught:
        box.create("no-such-program")
    assert caught.value.exit_code == 127
    left_nothing()


def test_run_whose_start_hangs_ends_in_time(
    box: cl.ContainerRecipe, monkeypatch: pytest.MonkeyPatch, left_nothing: Callable[[], None]
) -> None:
    create = ContainerCgroup.create

    def frozen(cgroup: ContainerCgroup, resources: Mapping[str, Any]) -> None:
        create(cgroup, resources)
        cgroup.freeze()  # so the container's first process stops where it joins

    monkeypatch.setattr(ContainerCgroup, "create", frozen)
    with pytest.raises(cl.Timeout):
        box.run("true", timeout=0.3)
    left_nothing()


def test_start_twice_conflicts(box: cl.ContainerRecipe) -> None:
    with box.start("sleep", "60") as container, pytest.raises(cl.Conflict, match="running") as caught:
        container.start()
    assert caught.value.state == "running"
    assert "must be created or stopped" in str(caught.value)


def test_start_again_finds_what_was_written(box: cl.ContainerRecipe) -> None:
    with box.start("sh", "-c", "test -e /marker && exit 7; touch /marker") as container:
        assert container.wait(10.0).exit_code == 0
        container.start()
        assert container.wait(10.0).exit_code == 7


def test_stop_signal_is_caught_inside_the_grace(box: cl.ContainerRecipe) -> None:
    with box.start("sh", "-c", CATCHES) as container:
        container.wait_for(log="ready", timeout=10.0)
        status = container.stop(timeout=10.0)
        assert (status.exit_code, status.signal) == (3, None)
        assert [record.text for record in container.logs()] == ["ready", "asked"]


def test_stop_own_signal_is_sent(box: cl.ContainerRecipe) -> None:
    code = "trap 'exit 4' INT; echo ready; while :; do sleep 0.05; done"
    with box.stop_signal("INT").start("sh", "-c", code) as container:
        container.wait_for(log="ready", timeout=10.0)
        assert container.stop(timeout=10.0).exit_code == 4


def test_stop_signal_of_the_image_is_sent_unless_the_recipe_has_one(
    engine: cl.Engine, tmp_path: Path
) -> None:
    made = Image((busybox_layer(),), {"StopSignal": "SIGINT"})
    (image,) = engine.images.load(made.write_layout(tmp_path / "layout"))
    recipe = engine.container(image)
    code = "trap 'exit 4' INT; trap 'exit 5' USR1; echo ready; while :; do sleep 0.05; done"
    for changed, exit_code in ((recipe, 4), (recipe.stop_signal("USR1"), 5)):
        with changed.start("sh", "-c", code) as container:
            container.wait_for(log="ready", timeout=10.0)
            assert container.stop(timeout=10.0).exit_code == exit_code


def test_stop_timeout_of_the_recipe_is_the_grace(box: cl.ContainerRecipe) -> None:
    """None at all: the program never hears the signal that it would catch."""
    with box.stop_timeout(0.0).start("sh", "-c", CATCHES) as container:
        container.wait_for(log="ready", timeout=10.0)
        assert container.stop().signal == 9
        container.start()
        while [record.text for record in container.logs()].count(
            "ready"
        ) < 2:  # the first run's is there already
            time.sleep(0.01)
        assert container.stop(timeout=10.0).exit_code == 3


def test_stop_stubborn_program_is_killed_after_the_grace(box: cl.ContainerRecipe) -> None:
    code = "trap 'echo no' TERM; echo ready; while :; do sleep 0.05; done"
    with box.start("sh", "-c", code) as container:
        container.wait_for(log="ready", timeout=10.0)
        started = time.monotonic()
        status = container.stop(timeout=0.5)
        assert (status.exit_code, status.signal) == (137, 9)
        assert 0.5 <= time.monotonic() - started < 5


def test_stop_program_that_cannot_hear_is_killed_at_once(box: cl.ContainerRecipe) -> None:
    with box.start("sleep", "60") as container:
        started = time.monotonic()
        assert container.stop(timeout=30.0).signal == 9
        assert time.monotonic() - started < 5


def test_stop_paused_container_hears_the_signal(box: cl.ContainerRecipe) -> None:
    with box.start("sh", "-c", CATCHES) as container:
        container.wait_for(log="ready", timeout=10.0)
        container.pause()
        assert container.stop(timeout=10.0).exit_code == 3


def test_stop_stopped_container_stays_so(box: cl.ContainerRecipe) -> None:
    with box.start("sh", "-c", "exit 5") as container:
        container.wait(10.0)
        assert container.stop().exit_code == 5


def test_kill_signal_is_delivered(box: cl.ContainerRecipe) -> None:
    code = "trap 'exit 6' HUP; echo ready; while :; do sleep 0.05; done"
    with box.start("sh", "-c", code) as container:
        container.wait_for(log="ready", timeout=10.0)
        container.kill("HUP")
        assert container.wait(10.0).exit_code == 6


def test_kill_paused_container_ends(box: cl.ContainerRecipe) -> None:
    with box.start("sleep", "60") as container:
        container.pause()
        container.kill()
        assert container.wait(10.0).signal == 9


def test_kill_stopped_container_conflicts(box: cl.ContainerRecipe) -> None:
    with box.start("true") as container:
        container.wait(10.0)
        with pytest.raises(cl.Conflict) as caught:
            container.kill()
        assert caught.value.state == "stopped"


def test_pause_stops_the_clock(box: cl.ContainerRecipe) -> None:
    code = "while :; do echo tick; sleep 0.02; done"
    with box.start("sh", "-c", code) as container:
        container.wait_for(log="tick", timeout=10.0)
        container.pause()
        time.sleep(0.1)
        before = len(list(container.logs()))
        time.sleep(0.2)
        assert len(list(container.logs())) == before
        container.resume()
        deadline = time.monotonic() + 5
        while len(list(container.logs())) == before and time.monotonic() < deadline:
            time.sleep(0.02)
        assert len(list(container.logs())) > before


def test_wait_too_long_times_out_with_log(box: cl.ContainerRecipe) -> None:
    with box.start("sh", "-c", "echo still here; sleep 60") as container:
        container.wait_for(log="still here", timeout=10.0)
        with pytest.raises(cl.Timeout, match="still here") as caught:
            container.wait(0.1)
        assert caught.value.log_tail == ("still here",)


def test_wait_in_several_threads_all_learn_the_end(box: cl.ContainerRecipe) -> None:
    codes: list[int] = []
    with box.start("sh", "-c", "sleep 0.3; exit 8") as container:
        threads = [
            threading.Thread(target=lambda: codes.append(container.wait(10.0).exit_code)) for _ in range(5)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert codes == [8] * 5


def test_wait_for_program_that_ends_first_conflicts(box: cl.ContainerRecipe) -> None:
    with box.start("sh", "-c", "echo broken >&2; exit 1") as container:
        with pytest.raises(cl.Conflict, match="broken"):
            container.wait_for(log="ready", timeout=10.0)


def test_wait_for_exec_waits_until_it_succeeds(box: cl.ContainerRecipe) -> None:
    with box.start("sh", "-c", "sleep 0.3; touch /tmp/ready; sleep 60") as container:
        container.wait_for(exec=("test", "-e", "/tmp/ready"), timeout=10.0)
        container.exec("test", "-e", "/tmp/ready")


def test_wait_out_of_memory_is_marked(box: cl.ContainerRecipe) -> None:
    code = "x=0123456789abcdef; while :; do x=$x$x; done"
    with box.limit(memory="16MiB", swap=0).start("sh", "-c", code) as container:
        status = container.wait(30.0)
        assert container.inspect().oom_killed
    assert (status.signal, status.oom_killed) == (9, True)


def test_remove_running_conflicts_unless_forced(
    box: cl.ContainerRecipe, left_nothing: Callable[[], None]
) -> None:
    container = box.start("sleep", "60")
    with pytest.raises(cl.Conflict, match="running"):
        container.remove()
    container.remove(force=True)
    with pytest.raises(cl.NotFound):
        container.remove()
    left_nothing()


def test_remove_created_and_paused(box: cl.ContainerRecipe, left_nothing: Callable[[], None]) -> None:
    box.create("true").remove()
    container = box.start("sleep", "60")
    container.pause()
    container.remove(force=True)
    left_nothing()


def test_block_stops_and_removes(box: cl.ContainerRecipe, left_nothing: Callable[[], None]) -> None:
    with box.start("sleep", "60") as container:
        assert container.state is State.RUNNING
    with pytest.raises(cl.NotFound):
        _ = container.state
    left_nothing()


def test_block_that_ends_well_stops_as_stop_does(box: cl.ContainerRecipe, tmp_path: Path) -> None:
    code = "trap 'touch /out/heard; exit 0' TERM; touch /out/ready; while :; do sleep 0.01; done"
    with box.mount(tmp_path, at="/out").start("sh", "-c", code) as container:
        container.wait_for(exec=("test", "-e", "/out/ready"))
    assert (tmp_path / "heard").exists()


def test_block_left_by_an_exception_removes_at_once(
    box: cl.ContainerRecipe, left_nothing: Callable[[], None]
) -> None:
    started = time.monotonic()
    code = "trap '' TERM; while :; do sleep 0.05; done"
    with pytest.raises(ValueError, match="cause"), box.start("sh", "-c", code):
        raise ValueError("cause")
    assert time.monotonic() - started < 5
    left_nothing()


def test_block_of_a_removed_container_is_fine(box: cl.ContainerRecipe) -> None:
    with box.start("sleep", "60") as container:
        container.remove(force=True)


def test_engine_closed_ends_what_it_owns(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    box.name("owned").start("sleep", "60")
    engine.close()
    assert engine.containers.list() == []


def test_containers_found_by_name_id_and_prefix(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    with box.name("web").label(team="a").start("sleep", "60") as container:
        for key in ("web", container.id, container.id[:12]):
            found = engine.containers.get(key)
            assert found == container
        assert engine.containers.list() == [container]
        assert (found.name, found.labels, found.detached) == ("web", {"team": "a"}, False)
        assert "web" in repr(found)
        assert "running" in repr(found)


def test_name_taken_says_what_to_do(box: cl.ContainerRecipe, left_nothing: Callable[[], None]) -> None:
    with box.name("web").start("sleep", "60"):
        with pytest.raises(cl.AlreadyExists, match=r"remove\(force=True\)"):
            box.name("web").run("true")
    box.name("web").run("true")
    left_nothing()


def test_image_of_a_container_is_not_removed(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    with box.start("sleep", "60"):
        with pytest.raises(cl.Conflict):
            engine.images.list()[0].remove()
    engine.images.list()[0].remove()
    assert engine.images.list() == []


def test_volume_of_a_container_is_not_removed(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    volume = engine.volume("www").create()
    with box.mount(volume, at="/www").start("sleep", "60"):
        with pytest.raises(cl.Conflict):
            volume.remove()
    volume.remove()


def test_prune_removes_cgroups_without_container(engine: cl.Engine, left_nothing: Callable[[], None]) -> None:
    from containerlib.runtime import ContainerCgroup

    orphan = ContainerCgroup(engine.core.cgroup_path("f" * 64))
    orphan.create()
    assert engine.prune().cgroups == (orphan.path,)
    assert not any(Path(directory).exists() for directory in orphan.directories)
    left_nothing()


def test_prune_leaves_other_roots_alone(engine: cl.Engine, tmp_path: Path) -> None:
    with cl.Engine(root=tmp_path / "other") as other:
        with other.container(other.host_image()).start("sleep", "60") as container:
            assert engine.prune().cgroups == ()
            container.exec("true")
