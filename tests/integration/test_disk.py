"""What a root takes on disk, and what of it a prune removes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import containerlib as cl
from containerlib._sys.sizes import size_on_disk
from rig.images import Image, Layer, busybox_layer
from rig.snapshotters import EACH

pytestmark = [*EACH, pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")]

MIB = 1 << 20


def test_disk_usage_has_each_kind(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    write = "head -c 3000000 /dev/zero > /big; head -c 2000000 /dev/zero > /data/file; seq 100000"
    container = box.name("web").mount(engine.volume("www"), at="/data").start("sh", "-c", write, detach=True)
    container.wait()
    usage = engine.disk_usage()
    (image,), (written,), (volume,) = usage.images, usage.containers, usage.volumes
    assert (image.shared_bytes, image.unique_bytes > MIB) == (0, True)
    assert usage.images_bytes == image.unique_bytes
    assert (written.name, written.state) == ("web", cl.State.STOPPED)
    assert 3_000_000 <= written.writable_bytes < 3_000_000 + MIB
    assert 500_000 < written.log_bytes < 10 * MIB
    assert (volume.name, volume.containers) == ("www", ("web",))
    assert 2_000_000 <= volume.size_bytes < 2_000_000 + MIB
    assert usage.total_bytes == sum(
        (usage.images_bytes, written.writable_bytes, written.log_bytes, volume.size_bytes)
    )
    container.remove()


def test_disk_usage_tells_which_containers_have_a_volume(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    for name, volume in (("one", "first"), ("two", "second"), ("three", "second")):
        box.name(name).mount(engine.volume(volume), at="/data").start("true", detach=True).wait()
    box.name("none").start("true", detach=True).wait()
    usage = {each.name: each.containers for each in engine.disk_usage().volumes}
    assert usage == {"first": ("one",), "second": ("two", "three")}
    for container in engine.containers.list():
        container.remove()


def test_disk_usage_of_a_copy_is_all_of_its_files(tmp_path: Path) -> None:
    with cl.Engine(root=tmp_path / "copies", snapshotter="copy") as engine:
        layout = Image((busybox_layer(),)).write_layout(tmp_path / "layout")
        (image,) = engine.images.load(layout)
        container = engine.container(image).start("true", detach=True)
        container.wait()
        (usage,) = engine.disk_usage().containers
        assert usage.writable_bytes > MIB
        container.remove()


def test_disk_usage_counts_older_files_of_a_log(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    recipe = box.log(max_size="64KiB", max_files=3)
    container = recipe.start("seq", "100000", detach=True)
    container.wait()
    (usage,) = engine.disk_usage().containers
    assert 130_000 < usage.log_bytes < 3 * 131_072
    container.remove()


def test_disk_usage_tells_what_images_share(engine: cl.Engine, tmp_path: Path) -> None:
    more = Layer().file("more", "x" * 5000).finish()
    (first,) = engine.images.load(Image((busybox_layer(),)).write_layout(tmp_path / "first", tag="first:1"))
    (second,) = engine.images.load(
        Image((busybox_layer(), more)).write_layout(tmp_path / "second", tag="second:1")
    )
    usage = engine.disk_usage()
    by_id = {image.id: image for image in usage.images}
    assert by_id[first.id].shared_bytes == by_id[second.id].shared_bytes > MIB
    assert 5000 < by_id[second.id].unique_bytes < by_id[second.id].shared_bytes
    unique = sum(image.unique_bytes for image in usage.images)
    assert usage.images_bytes == unique + by_id[first.id].shared_bytes


def test_prune_of_containers_takes_the_stopped_ones_that_are_meant(
    engine: cl.Engine, box: cl.ContainerRecipe
) -> None:
    stopped = [box.label(team=team).start("true", detach=True) for team in ("web", "db")]
    for container in stopped:
        container.wait()
    with box.label(team="web").start("sleep", "1000") as running, box.create("true") as created:
        assert engine.containers.prune(older_than=3600.0).containers == ()
        pruned = engine.containers.prune(labels={"team": "web"})
        assert pruned.containers == (stopped[0].id,)
        assert pruned.reclaimed_bytes > 0
        assert engine.containers.prune().containers == (stopped[1].id,)
        assert engine.containers.list() == [running, created]
    with pytest.raises(cl.InvalidArgument, match="label"):
        engine.containers.prune(labels={"team": 1})  # type: ignore[dict-item]


def test_prune_of_volumes_takes_those_that_no_container_has(
    engine: cl.Engine, box: cl.ContainerRecipe
) -> None:
    for name, label in (("free", "a"), ("old", "b"), ("used", "a")):
        engine.volume(name).label(group=label).create()
    engine.volume("nameless").label({"containerlib.anonymous": "of nobody"}).create()
    box.mount(engine.volume("free"), at="/srv").run("sh", "-c", "head -c 200000 /dev/zero >/srv/file")
    with box.mount(engine.volume("used"), at="/srv").start("sleep", "1000"):
        assert engine.volumes.prune().volumes == ("nameless",)
        pruned = engine.volumes.prune(named=True, labels={"group": "a"})
        assert (pruned.volumes, pruned.reclaimed_bytes >= 200_000) == (("free",), True)
        assert engine.volumes.prune(named=True, older_than=3600.0).volumes == ()
        assert engine.volumes.prune(named=True).volumes == ("old",)
    assert [volume.name for volume in engine.volumes.list()] == ["used"]


def test_size_on_disk_follows_no_link_and_counts_a_hard_link_once(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.joinpath("sub").mkdir(parents=True)
    top.joinpath("file").write_bytes(b"x" * 100_000)
    size = size_on_disk(str(top))
    os.link(top / "file", top / "sub/again")
    top.joinpath("link").symlink_to("/usr")
    assert 100_000 <= size <= size_on_disk(str(top)) <= size + 8192
    assert size_on_disk(str(tmp_path / "none")) == 0
