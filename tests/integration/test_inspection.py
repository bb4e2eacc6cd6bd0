"""What is seen of a container from outside: its facts, and its top directory."""

from __future__ import annotations

from pathlib import Path

import pytest

import containerlib as cl
from rig.images import Image, Layer, busybox_layer

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")


def test_inspect_of_a_detached_container_has_no_owner(box: cl.ContainerRecipe) -> None:
    detached = box.start("sleep", "600", detach=True)
    try:
        assert (detached.inspect().owner_pid, detached.inspect().detached) == (None, True)
    finally:
        detached.remove(force=True)
    with box.start("sleep", "600") as owned:
        assert owned.inspect().owner_pid is not None


def test_inspect_has_no_mount_that_nobody_asked_for(box: cl.ContainerRecipe) -> None:
    """Secrets have a tmpfs."""
    recipe = box.secret("token", b"x").mount(cl.tmpfs(), at="/asked")
    with recipe.start("sleep", "600") as container:
        info = container.inspect()
        assert [mount.target for mount in info.mounts] == ["/asked"]
        assert info.secrets == ("token",)


def test_top_directory_has_the_images_mode_and_owner(engine: cl.Engine, tmp_path: Path) -> None:
    top = Layer().directory("./", 0o1771, uid=5, gid=6).finish()
    layout = Image((busybox_layer(), top)).write_layout(tmp_path / "layout")
    (image,) = engine.images.load(layout)
    assert engine.container(image).run("stat", "-c", "%a:%u:%g", "/").text == "1771:5:6\n"
