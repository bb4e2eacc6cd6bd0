"""What a container with a user namespace wrote, as an image has it: its own ids, and not the host's."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

import containerlib as cl
from containerlib.spec.options import SnapshotterName
from rig.images import Image, Layer, busybox_layer
from rig.snapshotters import usable

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

OWNED = Layer().directory("kept").file("kept/file", "old", uid=7, gid=8).file("gone", "").finish()
WRITE = (
    "echo new >/made; chown 9:10 /made; ln /made /twin; mkdir /dir; chown 11 /dir; rm /gone; "
    "echo more >>/kept/file; exec sleep 600"
)


@pytest.fixture(params=["auto", "fuse-overlayfs"])
def snapshotter(request: pytest.FixtureRequest, tmp_path: Path) -> SnapshotterName:
    return "auto" if request.param == "auto" else usable(request.param, tmp_path)


@pytest.fixture(params=["auto", "maps", "joined"])
def written(
    request: pytest.FixtureRequest, engine: cl.Engine, tmp_path: Path, box: cl.ContainerRecipe
) -> cl.Container:
    image = Image((busybox_layer(), OWNED), {"Env": ["PATH=/bin"]})
    (found,) = engine.images.load(image.write_layout(tmp_path / "owned"))
    recipe = engine.container(found)
    if request.param == "auto":
        recipe = recipe.userns("auto")
    elif request.param == "maps":  # whose ids on the host are ids of the image too
        recipe = recipe.userns(uids=[(0, 1, 60_000)], gids=[(0, 1, 60_000)])
    else:
        recipe = recipe.userns(box.userns("auto").start("sleep", "600"))
    container = recipe.start("sh", "-c", WRITE)
    container.wait_for(exec=("grep", "-q", "more", "/kept/file"))
    return container


def test_diff_of_mapped_ids_is_that_of_any_container(written: cl.Container) -> None:
    found = [str(change) for change in written.diff()]
    assert found == ["A /dir", "D /gone", "C /kept", "C /kept/file", "A /made", "A /twin"]


def test_commit_of_mapped_ids_gives_an_image_with_the_containers(written: cl.Container) -> None:
    image = written.commit("owned:2")
    show = (
        "stat -c %n:%u:%g / /kept /kept/file /made /twin /dir; cat /kept/file; ls /gone 2>&1 | grep -c o.such"
    )
    expected = "/:0:0 /kept:0:0 /kept/file:7:8 /made:9:10 /twin:9:10 /dir:11:0 oldmore 1"
    for recipe in (written.engine.container(image), written.engine.container(image).userns("auto")):
        assert recipe.run("sh", "-c", show).text.split() == expected.split()


def test_export_of_mapped_ids_has_the_containers(written: cl.Container) -> None:
    archive = io.BytesIO()
    written.export(archive)
    with tarfile.open(fileobj=io.BytesIO(archive.getvalue())) as tar:
        owners = {each.name.lstrip("./"): (each.uid, each.gid) for each in tar.getmembers()}
    assert (owners["kept/file"], owners["made"], owners["dir"]) == ((7, 8), (9, 10), (11, 0))
    assert (owners["bin/busybox"], owners["kept"]) == ((0, 0), (0, 0))
    assert "gone" not in owners
