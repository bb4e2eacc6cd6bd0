"""Files between host and container, while the container does its worst: CVE-2018-15664, CVE-2019-14271, CVE-2022-1227,
and their like.
"""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

import containerlib as cl

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

ROUNDS = 150


@pytest.fixture
def box(engine: cl.Engine, busybox_image: Path) -> cl.ContainerRecipe:
    """A container of busybox."""
    (image,) = engine.images.load(busybox_image)
    return engine.container(image)


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A directory of the host with something to read, and nothing that may be added."""
    directory = tmp_path / "victim"
    directory.mkdir()
    (directory / "file").write_text("secret of the host")
    return directory


@pytest.fixture
def swapping(box: cl.ContainerRecipe, victim: Path) -> Iterator[cl.Container]:
    """/t/d is a directory with a file at one moment, and a link to the victim's path at the next."""
    swap = f"""
        mkdir -p /t {victim} /real; echo inside > /real/file; ln -s {victim} /link
        mv {victim} /gone
        touch /ready
        while :; do
            cp -a /real /t/new; mv /t/new /t/d; mv /t/d /t/old; cp -a /link /t/d; rm -rf /t/old; rm -f /t/d
        done
    """
    with box.start("sh", "-c", swap) as container:
        container.wait_for(exec=("test", "-e", "/ready"))
        yield container


def untouched(victim: Path) -> bool:
    there = [path.name for path in victim.iterdir()]
    return there == ["file"] and (victim / "file").read_text() == "secret of the host"


@contextlib.contextmanager
def whatever_it_says() -> Iterator[None]:
    """At the wrong moment there is nothing, or something else."""
    with contextlib.suppress(cl.NotFound, cl.Conflict, cl.AlreadyExists, cl.StageError):
        yield


def test_cve_2018_15664_link_swapped_in_while_files_come_in(
    swapping: cl.Container, victim: Path, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_text("payload")
    for _ in range(ROUNDS):
        with whatever_it_says():
            swapping.path("/t/d").copy_in(source, contents=True)
        with whatever_it_says():
            swapping.path("/t/d/file").write_text("payload")
        with whatever_it_says():
            swapping.path("/t/d/made").mkdir(parents=True)
    assert untouched(victim)


def test_cve_2018_15664_link_swapped_in_while_files_go_out(
    swapping: cl.Container, victim: Path, tmp_path: Path
) -> None:
    got = set()
    for number in range(ROUNDS):
        target = tmp_path / f"out-{number}"
        with whatever_it_says():
            swapping.path("/t").copy_out(target)
        got |= {path.read_text() for path in target.rglob("file") if not path.parent.is_symlink()}
        with whatever_it_says():
            got.add(swapping.path("/t/d/file").read_text())
    assert got <= {"inside\n", ""}
    assert untouched(victim)


def test_removal_through_a_link_swapped_in_stays_inside(swapping: cl.Container, victim: Path) -> None:
    for _ in range(ROUNDS):
        with whatever_it_says():
            swapping.path("/t/d/file").unlink()
        with whatever_it_says():
            swapping.path("/t/d/file").rename("/t/other")
    assert untouched(victim)


def test_cve_2019_14271_nothing_of_the_container_is_loaded(box: cl.ContainerRecipe, tmp_path: Path) -> None:
    # names are looked up with the host's own libraries, or not at all: ours by number, and in no process of its own
    traced = tmp_path / "out"
    with box.start("sleep", "1000") as container:
        container.path("/lib/x86_64-linux-gnu").mkdir(parents=True, exist_ok=True)
        container.path("/lib/x86_64-linux-gnu/libnss_files.so.2").write_bytes(b"hostile")
        container.path("/etc").copy_out(traced, owners=True)
        maps = Path("/proc/self/maps").read_text()
    assert traced.is_dir()
    assert str(container.id) not in maps


def test_cve_2022_1227_no_program_of_the_container_is_run(box: cl.ContainerRecipe, tmp_path: Path) -> None:
    with box.start("sleep", "1000") as container:
        before = container.exec("ls", "/proc").text.split()
        container.path("/bin").copy_out(tmp_path / "bin")
        container.path("/new").copy_in(tmp_path / "bin")
        after = container.exec("ls", "/proc").text.split()
    assert sum(name.isdigit() for name in before) == sum(name.isdigit() for name in after)


def test_rights_of_files_stay_in_the_container(box: cl.ContainerRecipe, tmp_path: Path) -> None:
    with box.start(
        "sh", "-c", "cp /bin/busybox /root-shell; chmod 6755 /root-shell; exec sleep 1000"
    ) as container:
        container.wait_for(exec=("test", "-g", "/root-shell"))
        container.path("/root-shell").copy_out(tmp_path / "shell", owners=True)
    assert stat.S_IMODE((tmp_path / "shell").stat().st_mode) == 0o755


def test_file_that_grows_for_ever_is_copied_as_far_as_it_was(box: cl.ContainerRecipe, tmp_path: Path) -> None:
    grow = "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx >> /log; done"
    with box.start("sh", "-c", grow) as container:
        container.wait_for(exec=("test", "-s", "/log"))
        container.path("/log").copy_out(tmp_path / "log")
    assert (tmp_path / "log").stat().st_size > 0


def test_stopped_container_with_hostile_links_for_mount_points(box: cl.ContainerRecipe, victim: Path) -> None:
    recipe = box.mount(box.engine.volume("data"), at="/data/deep")
    with recipe.start("sh", "-c", f"rm -rf /srv; ln -s {victim} /srv; ln -s / /up", detach=True) as container:
        try:
            container.wait()
            with whatever_it_says():
                container.path("/srv/new").write_text("payload")
            with whatever_it_says():
                container.path(f"/up/../../..{victim}/new").write_text("payload")
            assert container.path("/data/deep").is_dir()
        finally:
            container.remove(force=True)
    assert untouched(victim)
