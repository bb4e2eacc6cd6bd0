"""Checkpoints that a container's supervisor has taken while it runs, and goes on from."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import stat
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import containerlib as cl
from containerlib.engine.lock import locked
from containerlib.runtime.checkpoint import find_criu
from containerlib.spec.lifetime import CheckpointOption
from rig.bundles import parent_of, until
from rig.checkpoints import COUNT, counted

pytestmark = [
    pytest.mark.privileged("CAP_SYS_ADMIN: makes containers, and CRIU dumps them"),
    pytest.mark.usefixtures("criu_on_path"),
]

EVERY = 0.3


PROGRAM = ("sh", "-c", COUNT.replace("echo $i", "echo $i; echo $i >/counted"))
"""It counts, and writes to a file how far."""


@pytest.fixture(autouse=True)
def removed(engine: cl.Engine) -> Iterator[None]:
    """Also what outlives the block of its start."""
    yield
    for container in engine.containers.list():
        container.remove(force=True)


def has_kept(container: cl.Container, least: int = 1) -> bool:
    """Whether its newest checkpoint is at least the `least`th."""
    kept = container.checkpoints()
    return bool(kept) and kept[-1].number >= least


def end_program(container: cl.Container) -> None:
    """As a bug of its own does, which no policy takes for somebody's wish."""
    pid = container.inspect().pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


def test_checkpoints_are_taken_and_the_last_kept_with_no_process_of_ours(
    engine: cl.Engine, box: cl.ContainerRecipe, tmp_path: Path
) -> None:
    code = f"""
        import pickle, sys
        import containerlib as cl
        recipe = pickle.load(sys.stdin.buffer)
        recipe.checkpoint_every({EVERY}, keep=2).name("kept").start(*{PROGRAM!r}, detach=True)
    """
    subprocess.run([sys.executable, "-P", "-c", textwrap.dedent(code)], input=pickle.dumps(box), check=True)
    container = engine.containers.get("kept")
    until(lambda: has_kept(container, 4))
    no_more(container)
    kept = container.checkpoints()
    assert [each.number for each in kept] == [kept[-1].number - 1, kept[-1].number]
    assert kept[0].created_at < kept[-1].created_at
    assert kept[-1].size_bytes > 10_000
    plan = Path(container.inspect().directory, "checkpoints", "last", "run").read_bytes()
    assert b"criu.kdat" not in plan  # which is of this boot, and it is for the next one too
    for path in Path(container.inspect().directory, "checkpoints").rglob("*"):
        if not path.is_symlink():
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_restart_goes_on_from_the_last_checkpoint(box: cl.ContainerRecipe) -> None:
    recipe = box.checkpoint_every(EVERY).restart("always", from_checkpoint=True)
    with recipe.start(*PROGRAM) as container:
        assert container.inspect().checkpointing == CheckpointOption(EVERY)
        until(lambda: has_kept(container, 2))
        no_more(container)
        before = counted(container)[-1]
        until(lambda: counted(container)[-1] > before + 3)
        end_program(container)
        until(lambda: container.restart_count == 1 and counted(container)[-1] > before + 9)
        seen = counted(container)
        (again,) = (at for at in range(1, len(seen)) if seen[at] <= seen[at - 1])
        assert 1 < seen[again] <= before + 1


def no_more(container: cl.Container) -> None:
    """From here on none is taken."""
    Path(container.inspect().directory, "keeper").unlink()
    for _ in range(2):  # one may be about to be executed
        until(lambda: not keepers(container))
        threading.Event().wait(0.05)


def keepers(container: cl.Container) -> set[int]:
    """The programs that take one of its checkpoints now."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if container.id.encode() in words and b"keep" in words:
            found.add(int(path.parent.name))
    return found


def test_restart_puts_files_back_and_goes_on_as_often_as_it_must(box: cl.ContainerRecipe) -> None:
    program = "echo early >/file; mkdir /kept; " + COUNT
    recipe = box.checkpoint_every(EVERY).restart("always", from_checkpoint=True)
    with recipe.start("sh", "-c", program) as container:
        until(lambda: has_kept(container, 2))
        no_more(container)
        last = container.checkpoints()[-1]
        for count in (1, 2):
            container.exec("sh", "-c", "echo late >/file; rmdir /kept; touch /late")
            end_program(container)
            until(lambda: container.restart_count == count and container.state is cl.State.RUNNING)  # noqa: B023
            until(lambda: len(container.exec("sh", "-c", "cat /file; ls / | grep -c 'kept\\|late'").text) > 0)
            assert container.exec("cat", "/file").text == "early\n"
            names = container.exec("ls", "/").text.split()
            assert "kept" in names
            assert "late" not in names
            assert counted(container).count(1) == 1
        assert container.checkpoints()[-1] == last


def test_service_keeps_its_memory_and_takes_new_clients_after_a_crash(
    engine: cl.Engine, redis_image: Path, network: None
) -> None:
    (image,) = engine.images.load(redis_image)
    recipe = engine.container(image).user("0").publish(6379).checkpoint_every(EVERY)
    recipe = recipe.restart("on-failure", from_checkpoint=True)
    with recipe.start("--save", "", "--bind", "0.0.0.0", "--protected-mode", "no") as container:  # noqa: S104
        container.wait_for(log="Ready to accept", timeout=30.0)
        (port,) = container.ports
        with socket.create_connection(("127.0.0.1", port.host), timeout=10.0) as client:
            assert talk(client, "SET", "key", "value") == "+OK\r\n"
            seen = container.checkpoints()[-1].number if container.checkpoints() else 0
            until(lambda: has_kept(container, seen + 2))
            assert talk(client, "GET", "key") == "$5\r\nvalue\r\n"  # which the dumps have not closed
        end_program(container)
        until(lambda: container.restart_count == 1 and container.state is cl.State.RUNNING)
        with socket.create_connection(("127.0.0.1", port.host), timeout=10.0) as client:
            assert talk(client, "GET", "key") == "$5\r\nvalue\r\n"


def talk(client: socket.socket, *words: str) -> str:
    client.sendall(" ".join(words).encode() + b"\r\n")
    return client.recv(1000).decode()


def test_kept_checkpoint_becomes_an_image_that_outlives_its_container(box: cl.ContainerRecipe) -> None:
    with box.checkpoint_every(EVERY).start(*PROGRAM) as container:
        until(lambda: has_kept(container))
        no_more(container)
        kept = container.checkpoints()[-1]
        checkpoint = kept.save("kept:1")
        sealed = kept.save(key=bytes(32))
        left = Path(container.inspect().directory, "checkpoints", str(kept.number)).glob("*sealed*")
        assert list(left) == []
    with pytest.raises(cl.NotFound, match="no longer there"):
        kept.save()
    with checkpoint.restore() as again:
        until(lambda: bool(counted(again)))
        assert counted(again)[0] > 1
    with pytest.raises(cl.InvalidArgument, match="encrypted"):
        sealed.restore()
    with sealed.restore(key=bytes(32)) as again:
        until(lambda: bool(counted(again)))


def test_restart_begins_anew_where_there_is_no_checkpoint_or_it_is_damaged(box: cl.ContainerRecipe) -> None:
    recipe = box.restart("always", from_checkpoint=True).checkpoint_every(60.0)
    with recipe.start(*PROGRAM) as container:
        until(lambda: len(counted(container)) > 3)
        end_program(container)
        until(lambda: counted(container).count(1) == 2)
    with recipe.checkpoint_every(EVERY).start(*PROGRAM) as container:
        until(lambda: has_kept(container))
        no_more(container)
        container.exec("touch", "/late")
        damage(container)
        end_program(container)
        until(lambda: counted(container).count(1) == 2, seconds=20.0)
        assert container.restart_count == 2
        container.exec("ls", "/late")  # what it has to begin with is what it had


def damage(container: cl.Container) -> None:
    """Its last checkpoint."""
    last = Path(container.inspect().directory, "checkpoints", "last")
    next((last / "layer/checkpoint").glob("pages-*.img")).unlink()


def test_container_whose_supervisor_was_killed_goes_on_from_its_last_checkpoint(
    engine: cl.Engine, box: cl.ContainerRecipe
) -> None:
    recipe = box.checkpoint_every(EVERY).restart("unless-stopped", from_checkpoint=True).name("lost")
    container = recipe.start(*PROGRAM, detach=True)
    until(lambda: has_kept(container, 2))
    no_more(container)
    pid = container.inspect().pid
    assert pid is not None
    os.kill(parent_of(pid), signal.SIGKILL)
    until(lambda: container.state is cl.State.STOPPED)
    before = counted(container)[-1]
    with cl.Engine(engine.root) as other:
        again = other.containers.get("lost")
        until(lambda: counted(again)[-1] > before + 3)
        assert counted(again).count(1) == 1


def test_container_whose_supervisor_was_killed_begins_anew_where_its_checkpoint_is_damaged(
    engine: cl.Engine, box: cl.ContainerRecipe
) -> None:
    recipe = box.checkpoint_every(EVERY).restart("always", from_checkpoint=True).name("lost")
    container = recipe.start(*PROGRAM, detach=True)
    until(lambda: has_kept(container))
    no_more(container)
    container.exec("touch", "/late")
    damage(container)
    pid = container.inspect().pid
    assert pid is not None
    os.kill(parent_of(pid), signal.SIGKILL)
    until(lambda: container.state is cl.State.STOPPED)
    with cl.Engine(engine.root) as other:
        again = other.containers.get("lost")
        until(lambda: counted(again).count(1) == 2)
        again.exec("ls", "/late")


def test_container_that_somebody_starts_begins_anew_and_does_not_fall_back(box: cl.ContainerRecipe) -> None:
    recipe = box.checkpoint_every(1.0).restart("on-failure", from_checkpoint=True)
    with recipe.start(*PROGRAM) as container:
        until(lambda: has_kept(container))
        no_more(container)
        container.stop(timeout=0.0)
        container.start()
        place = Path(container.inspect().directory)
        (place / "keeper").unlink()  # before it is due
        until(lambda: counted(container).count(1) == 2)
        assert not (place / "checkpoints" / "last").exists()
        end_program(container)
        until(lambda: counted(container).count(1) == 3)


def test_dump_in_progress_does_not_outlive_the_end_of_the_container(box: cl.ContainerRecipe) -> None:
    for _ in range(3):
        with box.checkpoint_every(0.01).start(*PROGRAM) as container:
            until(lambda: bool(keepers(container)))
            container.stop(timeout=0.0)
            until(lambda: not keepers(container))
            assert container.state is cl.State.STOPPED
            assert list(container.engine.events(actions=["checkpoint_failed"])) == []
    container = box.checkpoint_every(0.01).start("sleep", "0.5", detach=True, remove=True)
    directory = Path(container.inspect().directory)
    until(lambda: not directory.exists())


def test_dump_in_progress_is_taken_back_before_the_next_run(box: cl.ContainerRecipe) -> None:
    with box.checkpoint_every(1.0).restart("always").start(*PROGRAM) as container:
        place = Path(container.inspect().directory, "checkpoints")
        with locked(container._instance):  # for which it waits
            until((place / "1").exists)
            end_program(container)
            until(lambda: container.restart_count == 1)
            assert not list(place.iterdir())


def test_killed_keeper_leaves_the_container_running_and_the_next_clears_up(box: cl.ContainerRecipe) -> None:
    with box.checkpoint_every(0.05, keep=1).start(*PROGRAM) as container:
        place = Path(container.inspect().directory, "checkpoints")
        for round_ in range(8):
            until(lambda: bool(keepers(container)))
            threading.Event().wait(round_ * 0.05)
            for pid in keepers(container):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        seen = len(counted(container))
        until(lambda: len(counted(container)) > seen + 3)
        newest = max((each.number for each in container.checkpoints()), default=0)
        until(lambda: has_kept(container, newest + 1))
        no_more(container)
        names = {path.name for path in place.iterdir()}
        assert names <= {"last", *(str(each.number) for each in container.checkpoints())}
        assert len(names) <= 3


def test_full_disk_fails_the_checkpoint_with_an_event_and_nothing_else(
    busybox_image: Path, small_disk: Path
) -> None:
    program = "head -c 12000000 /dev/urandom >/dev/shm/large; " + COUNT
    with cl.Engine(small_disk / "root") as engine:
        (image,) = engine.images.load(busybox_image)
        with engine.container(image).checkpoint_every(EVERY).start("sh", "-c", program) as container:
            until(lambda: any(each.action == "checkpoint_failed" for each in engine.events()))
            failed = next(each for each in engine.events() if each.action == "checkpoint_failed")
            assert "No space left on device" in failed.attributes["reason"]
            until(lambda: not keepers(container))
            place = Path(container.inspect().directory, "checkpoints")
            assert {each.name for each in place.iterdir()} <= {"last", "1", "failed.log"}
            assert "Error" in (place / "failed.log").read_text()
            seen = len(counted(container))
            until(lambda: len(counted(container)) > seen)


def test_paused_container_is_not_checkpointed(box: cl.ContainerRecipe) -> None:
    with box.checkpoint_every(EVERY).start(*PROGRAM) as container:
        until(lambda: has_kept(container))
        container.pause()
        until(lambda: not keepers(container))
        newest = container.checkpoints()[-1].number
        threading.Event().wait(3 * EVERY)
        assert container.checkpoints()[-1].number == newest
        assert not any(each.action == "checkpoint_failed" for each in container.engine.events())
        container.resume()
        until(lambda: has_kept(container, newest + 1))


def test_container_that_has_no_checkpoints_is_refused_at_its_start(
    engine: cl.Engine, box: cl.ContainerRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(cl.Unsupported, match="host's image"):
        engine.container(engine.host_image()).checkpoint_every(1.0).start("sleep", "9")
    with pytest.raises(cl.Unsupported, match="init"):
        box.init().checkpoint_every(1.0).start("sleep", "9")
    monkeypatch.setenv("PATH", "/nowhere")
    find_criu.cache_clear()
    with pytest.raises(cl.Unsupported, match="no program 'criu'"):
        box.checkpoint_every(1.0).start("sleep", "9")
    find_criu.cache_clear()
    assert engine.containers.list() == []
