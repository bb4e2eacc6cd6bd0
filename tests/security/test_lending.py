"""What a container lends to others is the mount that it was given, whatever its processes make of the path."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import containerlib as cl

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

READ = ("sh", "-c", "ls /dev/shm; cat /dev/shm/* 2>/dev/null")


@pytest.fixture
def box(engine: cl.Engine, busybox_image: Path) -> cl.ContainerRecipe:
    (image,) = engine.images.load(busybox_image)
    return engine.container(image)


@pytest.fixture
def attacker(box: cl.ContainerRecipe, tmp_path: Path) -> Iterator[cl.Container]:
    """It may mount, and has a directory of the host's; its shared memory has one file."""
    (tmp_path / "host").mkdir()
    (tmp_path / "host/secret").write_text("of the host")
    recipe = box.cap_add("SYS_ADMIN").seccomp("unconfined").ipc("shareable")
    with recipe.mount(tmp_path / "host", at="/host").start("sleep", "1000") as container:
        container.exec("sh", "-c", "echo lent > /dev/shm/mine")
        yield container


@pytest.mark.parametrize(
    "attack",
    [
        "mount --bind /host /dev/shm",
        "mount -t tmpfs none /dev; mkdir /dev/shm; mount --bind /host /dev/shm",
        "mount -t tmpfs none /dev; ln -s /host /dev/shm",
        "mkdir /aside; mount --move /dev/shm /aside; mount --bind /host /dev/shm",
        "mkdir -p /x/dev; ln -s /host /x/dev/shm; mount --bind /x/dev /dev",
    ],
)
def test_shared_memory_is_what_it_was_whatever_is_mounted_over_it(
    box: cl.ContainerRecipe, attacker: cl.Container, attack: str
) -> None:
    attacker.exec("sh", "-ec", attack)
    assert attacker.exec("sh", "-c", "cat /dev/shm/secret").text == "of the host"
    assert box.ipc(attacker).run(*READ, check=False).text == "mine\nlent\n"


@pytest.mark.parametrize(
    "attack", ["umount -l /dev/shm; rmdir /dev/shm; ln -s /host /dev/shm", "umount -l /dev"]
)
def test_shared_memory_that_was_unmounted_is_lent_to_nobody(
    box: cl.ContainerRecipe, attacker: cl.Container, attack: str
) -> None:
    attacker.exec("sh", "-ec", attack)
    with pytest.raises(cl.StageError) as caught:
        box.ipc(attacker).run(*READ)
    assert caught.value.stage == "borrow"
    assert attacker.exec("true").exit_code == 0, "and it goes on"


def test_mount_that_was_lent_tells_nothing_of_later_ones(
    box: cl.ContainerRecipe, attacker: cl.Container
) -> None:
    """Its mounts do not spread, in either direction."""
    with box.ipc(attacker).start("sleep", "1000") as borrower:
        attacker.exec("sh", "-ec", "mkdir /dev/shm/below; mount --bind /host /dev/shm/below")
        assert borrower.exec("ls", "/dev/shm/below").text == ""


def test_image_whose_shared_memory_is_a_link_lends_nothing(box: cl.ContainerRecipe, tmp_path: Path) -> None:
    volume = box.engine.volume("dev").create()
    (volume.path / "shm").symlink_to("/etc")
    with box.ipc("shareable").mount(volume, at="/dev").start("sleep", "100") as donor:
        with pytest.raises(cl.StageError, match="nothing there to lend"):
            box.ipc(donor).run("true")
