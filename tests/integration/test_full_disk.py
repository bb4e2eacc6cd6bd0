"""A disk without room, for what is written down of a container's start and of its end."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import containerlib as cl
from rig.lifetime import quick, until
from rig.mounts import without_room

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")


@pytest.fixture
def full(small_disk: Path, busybox_image: Path) -> Iterator[cl.ContainerRecipe]:
    """A recipe of an engine whose state is on the small disk."""
    with cl.Engine(root=small_disk / "root") as engine:
        (image,) = engine.images.load(busybox_image)
        yield engine.container(image)


@contextlib.contextmanager
def without_files(disk: Path, *, but: int) -> Iterator[None]:
    """So many more can be made on the disk."""
    place = disk / "files"
    place.mkdir()
    free = os.statvfs(disk).f_ffree - but
    remount = ["mount", "-o", f"remount,nr_inodes={os.statvfs(disk).f_files - free}", str(disk)]
    subprocess.run(remount, check=True)
    try:
        yield
    finally:
        place.rmdir()
        subprocess.run(["mount", "-o", "remount,nr_inodes=100000", str(disk)], check=True)


def test_start_that_cannot_be_written_down_fails_and_leaves_nothing(
    full: cl.ContainerRecipe, small_disk: Path
) -> None:
    stages = []
    for free in range(16):
        with without_files(small_disk, but=free):
            try:
                container = full.start("sleep", "600", detach=True)
            except cl.StageError as error:
                stages.append(error.stage)
            else:
                assert container.state is cl.State.RUNNING
                assert container.exec("echo", "hi").text == "hi\n"
        for container in full.engine.containers.list():
            container.remove(force=True)
    assert "record" in stages
    assert full.engine.prune().failures == ()


def test_end_on_a_full_disk_is_known_to_who_asks_later(full: cl.ContainerRecipe, small_disk: Path) -> None:
    container = full.start("sh", "-c", "trap 'exit 7' USR1; while :; do sleep 0.05; done", detach=True)
    container.wait_for(exec=("grep", "-q", "SigCgt:.*2..$", "/proc/1/status"))
    with without_room(small_disk):
        container.kill("USR1")
        until(lambda: container.state is cl.State.STOPPED)
        until(lambda: not (small_disk / "root/containers" / container.id / "shim.sock").exists())
        assert container.wait(10.0).exit_code == 7
    ends = full.engine.events(subject=container.id, actions=["die"])
    assert [event.attributes["exit_code"] for event in ends] == ["7"]
    container.start()
    assert container.stop(0).exit_code == 137
    container.remove()


def test_health_on_a_full_disk_is_what_was_known_last(full: cl.ContainerRecipe, small_disk: Path) -> None:
    check = cl.command("sh", "-c", "echo checked >>/dev/shm/checks")
    with full.healthy_when(check, every=0.05).start("sleep", "600") as container:
        container.wait_healthy(30.0)
        checks = Path(f"/proc/{container.inspect().pid}/root/dev/shm/checks")
        with without_room(small_disk):
            before, size = container.health, checks.stat().st_size
            until(lambda: checks.stat().st_size > size + 4 * len("checked\n"))
            health = container.health
            assert health is not None
            assert before is not None
            assert (health.status, len(health.log) >= len(before.log)) == ("healthy", True)
        now = container.health
        until(lambda: container.health != now)


def test_restarts_on_a_full_disk_are_told_once_and_the_lost_ones_as_missed(
    full: cl.ContainerRecipe, small_disk: Path, tmp_path: Path
) -> None:
    def runs() -> int:
        return (tmp_path / "runs").stat().st_size // len("run\n")

    def told() -> list[cl.Event]:
        return list(full.engine.events(actions=["die", "missed"]))

    recipe = quick(full.restart("always"), pause=0.05).mount(tmp_path, at="/out")
    with recipe.start("sh", "-c", "echo run >>/out/runs; exit 3") as container:
        until(lambda: container.restart_count >= 2)
        assert told()
        with without_room(small_disk):
            before = runs()
            until(lambda: runs() >= before + 4)
        before = runs()
        until(lambda: runs() >= before + 4)
        container.stop()
        lost = sum(int(event.attributes["ends"]) for event in told() if event.action == "missed")
        ends = [event.time for event in told() if event.action == "die"]
        assert len(ends) == len({*ends})
        assert lost >= 2
        assert lost + len(ends) >= runs()


@pytest.mark.parametrize("bounds", [{}, {"max_size": 4096, "max_files": 3}])
def test_log_on_a_full_disk_says_how_many_lines_are_missing(
    full: cl.ContainerRecipe, small_disk: Path, bounds: dict[str, int]
) -> None:
    """The room for that record was allocated before."""
    lines = 100_000
    script = f"until [ -e /dev/shm/go ]; do sleep 0.01; done; seq 1 {lines}"
    with full.log(**bounds).start("sh", "-c", script) as container:
        go = Path(f"/proc/{container.inspect().pid}/root/dev/shm/go")
        with without_room(small_disk):
            go.touch()
            assert container.wait(10.0).exit_code == 0
        texts = [record.text for record in container.logs()]
    notes = [text for text in texts if not text.isdecimal()]
    missing = sum(
        int(re.findall(r"^containerlib: (\d+) lines .* are missing here", note)[0]) for note in notes
    )
    assert len(texts) - len(notes) + missing == lines
