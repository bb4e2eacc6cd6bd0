"""Layers that are files, on a file system from which the kernel mounts none."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import containerlib as cl
from rig.bundles import until
from rig.mounts import mounted_tmpfs

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[cl.Engine]:
    """An engine on a tmpfs, where EROFS needs loop devices."""
    if not Path("/dev/loop-control").exists():
        pytest.skip("no /dev/loop-control: modprobe loop")
    with (
        mounted_tmpfs(tmp_path / "state", size="64m") as state,
        cl.Engine(state, snapshotter="erofs") as engine,
    ):
        yield engine


def loops_of(engine: cl.Engine) -> list[str]:
    """Loop devices of its layers; the kernel has their paths from the mount namespace that they were opened in."""
    names = {path.name for path in Path(engine.root, "snapshots").iterdir()}
    found = []
    for path in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            text = path.read_text().strip()
        except OSError:  # it goes at this moment
            continue
        if text.rpartition("/")[2] in names:
            found.append(path.parts[3])
    return found


def test_layers_on_tmpfs_go_through_loop_devices_that_end_with_the_container(
    box: cl.ContainerRecipe, engine: cl.Engine
) -> None:
    assert {layer.kind for layer in engine.images.list()[0].record.layers} == {"erofs-loop"}
    with box.start("sleep", "600") as container:
        assert container.exec("echo", "well").text == "well\n"
        assert len(loops_of(engine)) == 1
    until(lambda: not loops_of(engine))


def test_layers_on_tmpfs_by_another_driver(box: cl.ContainerRecipe, engine: cl.Engine) -> None:
    if shutil.which("runc") is None:
        pytest.skip("no runc: apt-get install runc")
    with cl.Engine(engine.root, driver="runc") as other:
        assert other.container(other.images.list()[0]).run("echo", "well").text == "well\n"
    until(lambda: not loops_of(engine))


def test_layers_on_tmpfs_are_directories_by_default(engine: cl.Engine, busybox_image: Path) -> None:
    with cl.Engine(f"{engine.root}/other") as other:
        (image,) = other.images.load(busybox_image)
        assert image.record.layers[0].kind == "overlay"
