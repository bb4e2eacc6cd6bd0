"""Layers that are files, where the kernel does not mount them in the newest way."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import containerlib as cl
from containerlib.images import ImageStore
from containerlib.runtime import OverlayRoot
from rig.bundles import Rack, make_directory, until
from rig.images import Image, Layer, busybox_layer
from rig.mounts import mounted_tmpfs
from rig.user_namespaces import in_user_namespace, open_parents

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


@pytest.mark.parametrize("snapshotter", ["erofs"], indirect=True)
def test_layers_by_the_old_mount_call_are_stacked_as_by_the_new(
    rack: Rack, images: ImageStore, tmp_path: Path
) -> None:
    """What kernels before 6.7 do, on this one: a page of options has room for as many layers as Docker builds."""
    more = [Layer().file("top", str(number)).file(f"made/{number}", "").finish() for number in range(126)]
    (record,) = images.load(Image((busybox_layer(), *more)).write_layout(tmp_path / "deep"))
    assert {layer.kind for layer in record.layers} == {"erofs"}
    place = str(rack.directory / "old")
    code = "cat /top; ls /made | wc -l; echo x > /made/new; rm /made/7; ls /made | wc -l"
    for upper, work in ((f"{place}/upper", f"{place}/work"), (None, None)):
        root = OverlayRoot(record.layers, upper, work, classic=True)
        assert rack.run("sh", "-c", code, name="old", root=root).text.split() == ["125126", "126"]
        shutil.rmtree(place)


@pytest.mark.parametrize("snapshotter", ["erofs"], indirect=True)
def test_layers_by_the_old_mount_call_are_id_mapped(rack: Rack, images: ImageStore, tmp_path: Path) -> None:
    (record,) = images.load(Image((busybox_layer(),)).write_layout(tmp_path / "image"))
    root = OverlayRoot(record.layers, None, None, classic=True, mapped=True)
    rack.directory.mkdir()
    rack.directory.chmod(0o755)
    open_parents(tmp_path)
    make_directory(str(rack.directory / "old"))
    (rack.directory / "old").chmod(0o755)
    done = rack.run("stat", "-c", "%u", "/bin/busybox", name="old", root=root, change=in_user_namespace)
    assert done.text == "0"
