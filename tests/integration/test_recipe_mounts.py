"""What a container sees beside its image: binds, volumes and what is in them, and a tmpfs's options."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import containerlib as cl
from rig.images import Image, Layer, busybox_layer
from rig.mounts import mount

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

DATA = (
    Layer()
    .directory("data", 0o750, uid=7, gid=8)
    .file("data/kept", "old", 0o640, uid=9)
    .file("data/gone", "")
    .symlink("data/link", "kept")
    .hardlink("data/twin", "data/kept")
    .symlink("way", "/data")
    .finish()
)
CHANGED = Layer().whiteout("data/.wh.gone").file("data/new", "new").finish()


@pytest.fixture
def data(engine: cl.Engine, tmp_path: Path) -> cl.ContainerRecipe:
    """An image with a volume of two layers' files."""
    image = Image((busybox_layer(), DATA, CHANGED), {"Env": ["PATH=/bin"], "Volumes": {"/data": {}}})
    (found,) = engine.images.load(image.write_layout(tmp_path / "data"))
    return engine.container(found)


def test_empty_volume_gets_what_the_image_has(data: cl.ContainerRecipe) -> None:
    recipe = data.mount(data.engine.volume("v"), at="/data")
    show = "cd /data; ls; cat link; stat -c %u:%g:%a . kept; stat -c %h twin"
    expected = ["kept", "link", "new", "twin", "old7:8:750", "9:0:640", "2"]
    assert recipe.run("sh", "-c", show).text.split() == expected
    assert recipe.run("sh", "-c", "echo more > /data/kept; rm /data/new").exit_code == 0
    assert recipe.run("sh", "-c", "cat /data/kept; ls /data").text.split() == ["more", "kept", "link", "twin"]


def test_empty_volume_is_left_empty_where_that_was_asked(data: cl.ContainerRecipe) -> None:
    assert data.mount(data.engine.volume("v"), at="/data", copy=False).run("ls", "/data").text == ""


def test_empty_volume_on_a_linked_path_gets_what_the_link_leads_to(data: cl.ContainerRecipe) -> None:
    recipe = data.mount(data.engine.volume("v"), at="/way")
    assert recipe.run("ls", "/data").text.split() == ["kept", "link", "new", "twin"]


def test_images_volume_is_made_and_goes_with_its_container(data: cl.ContainerRecipe) -> None:
    with data.start("sleep", "100") as container:
        (volume,) = data.engine.volumes.list()
        assert container.exec("cat", "/data/new").text == "new"
        with pytest.raises(cl.Conflict):
            volume.remove()
    assert data.engine.volumes.list() == []


@pytest.mark.parametrize("volumes", [True, False])
def test_images_volume_stays_unless_it_is_to_be_removed(data: cl.ContainerRecipe, volumes: bool) -> None:
    container = data.start("true", detach=True)
    container.wait(30.0)
    container.remove(volumes=volumes)
    assert len(data.engine.volumes.list()) == (0 if volumes else 1)
    assert len(data.engine.prune().volumes) == (0 if volumes else 1)


def test_images_volume_is_not_made_where_the_recipe_mounts(data: cl.ContainerRecipe, tmp_path: Path) -> None:
    data.mount(str(tmp_path), at="/data").run("true")
    assert data.engine.volumes.list() == []


def test_volumes_from_another_container_are_on_the_same_paths(
    data: cl.ContainerRecipe, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("host")
    first = data.name("first").mount(str(tmp_path), at="/host").mount(cl.tmpfs(), at="/scratch")
    with first.start("sh", "-c", "echo x > /data/x; sleep 100") as container:
        container.wait_for(exec=("test", "-e", "/data/x"))
        again = data.volumes_from("first", read_only=True)
        assert again.run("cat", "/data/x", "/host/file").text == "x\nhost"
        done = again.run("sh", "-c", "touch /data/y; touch /host/y; ls -d /scratch", check=False)
        assert done.stderr.count(b"Read-only file system") == 2
        assert b"/scratch: No such file" in done.stderr
        assert again.mount(cl.tmpfs(), at="/host").volumes_from(container).run("ls", "/host").text == ""


def test_volumes_from_nobody_is_not_found(data: cl.ContainerRecipe) -> None:
    with pytest.raises(cl.NotFound, match="no container 'none'"):
        data.volumes_from("none").run("true")
    assert data.engine.volumes.list() == []


def test_part_of_a_volume_is_shown(box: cl.ContainerRecipe) -> None:
    volume = box.engine.volume("v").create()
    (volume.path / "a" / "b").mkdir(parents=True)
    (volume.path / "a" / "b" / "file").write_text("here\n")
    recipe = box.mount(volume, at="/x", subpath="a/b")
    assert recipe.run("cat", "/x/file").text == "here\n"
    container = recipe.start("cat", "/x/file", detach=True)
    assert container.wait(30.0).exit_code == 0
    (volume.path / "a" / "b").rename(volume.path / "a" / "was")
    (volume.path / "a" / "b").mkdir()
    (volume.path / "a" / "b" / "file").write_text("new\n")
    container.start()
    container.wait(30.0)
    assert [record.text for record in container.logs()][-1] == "new"
    container.remove()


def test_part_of_a_volume_does_not_lead_out_of_it(box: cl.ContainerRecipe, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("no")
    volume = box.engine.volume("v").create()
    (volume.path / "out").symlink_to(tmp_path)
    with pytest.raises(cl.NotFound, match="has no 'out'"):
        box.mount(volume, at="/x", subpath="out").run("ls", "/x")


def test_mount_below_a_part_of_a_volume_stays_out_of_proc(box: cl.ContainerRecipe, tmp_path: Path) -> None:
    """A descriptor's path is in /proc, what it shows is not: a link to /proc there is no place for a mount."""
    volume = box.engine.volume("v").create()
    (volume.path / "part").mkdir()
    (volume.path / "part" / "self").symlink_to("/proc/self")
    recipe = box.mount(volume, at="/x", subpath="part").mount(str(tmp_path), at="/x/self/attr")
    with pytest.raises(cl.StageError):
        recipe.run("true")


def test_bind_without_what_is_mounted_below(box: cl.ContainerRecipe, source: Path) -> None:
    (source / "below" / "file").touch()
    show = ("ls", "/x/below")
    assert box.mount(source, at="/x").run(*show).text == "file\n"
    assert box.mount(source, at="/x", recursive=False).run(*show).text == ""


def test_bind_read_only_with_writable_mounts_below(box: cl.ContainerRecipe, source: Path) -> None:
    touch = ("sh", "-c", "touch /x/below/file && touch /x/file")
    for recursive, files in ((True, []), ("readonly", []), ("writable", ["file"])):
        recipe = box.mount(source, at="/x", read_only=True, recursive=recursive)  # type: ignore[arg-type]
        assert recipe.run(*touch, check=False).exit_code != 0
        assert os.listdir(source / "below") == files  # noqa: PTH208


def test_bind_of_what_the_host_has_read_only_stays_so(box: cl.ContainerRecipe, source: Path) -> None:
    mount("-o", "remount,bind,ro", source / "below")
    for place in (source / "below", source):
        done = box.mount(place, at="/x").run("sh", "-c", "touch /x/file || touch /x/below/file", check=False)
        assert (b"Read-only" in done.stderr) == (place != source)
    assert os.listdir(source / "below") == []  # noqa: PTH208


def test_bind_that_is_a_slave_sees_what_the_host_mounts_later(box: cl.ContainerRecipe, source: Path) -> None:
    mount("--make-rshared", source)
    (source / "late").mkdir()
    recipe = box.mount(source, at="/slave", propagation="rslave").mount(source, at="/private")
    with recipe.start("sleep", "100") as container:
        mount("-t", "tmpfs", "late", source / "late")
        (source / "late" / "file").touch()
        assert container.exec("ls", "/slave/late").text == "file\n"
        assert container.exec("ls", "/private/late").text == ""


def test_bind_that_is_shared_shows_the_host_what_the_container_mounts(
    box: cl.ContainerRecipe, source: Path
) -> None:
    mount("--make-rshared", source)
    (source / "late").mkdir()
    recipe = box.privileged().mount(source, at="/x", propagation="rshared")
    with recipe.start("sleep", "100") as container:
        container.exec("sh", "-c", "mount -t tmpfs late /x/late && touch /x/late/file")
        assert os.listdir(source / "late") == ["file"]  # noqa: PTH208


def test_bind_with_other_ids_shows_files_under_them(box: cl.ContainerRecipe, tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "file").touch()
    recipe = box.mount(tmp_path / "dir", at="/x", id_map=[(0, 1000, 10)])
    done = recipe.run("sh", "-c", "stat -c %u:%g /x/file", check=False)
    if b"Invalid argument" in done.stderr:
        pytest.skip("this file system cannot be id-mapped")
    assert done.text == "1000:1000\n"


def test_tmpfs_has_its_options(box: cl.ContainerRecipe) -> None:
    recipe = box.mount(cl.tmpfs(size="1MiB", mode=0o750, uid=5, gid=6, inodes=10, exec=True), at="/x")
    assert recipe.run("stat", "-c", "%u:%g:%a", "/x").text == "5:6:750\n"
    line = recipe.run("grep", " /x ", "/proc/mounts").text
    assert "size=1024k,nr_inodes=10," in line
    assert "nosuid" in line
    assert "noexec" not in line


def test_image_is_mounted_to_be_read(data: cl.ContainerRecipe, box: cl.ContainerRecipe) -> None:
    image = cl.Image(box.engine, box.engine.core.images.get(data.image.reference))  # type: ignore[union-attr]
    recipe = box.mount(image, at="/srv/image")
    assert recipe.run("sh", "-c", "ls /srv/image/data; cat /srv/image/data/kept").text.split() == [
        "kept",
        "link",
        "new",
        "twin",
        "old",
    ]
    assert b"Read-only" in recipe.run("touch", "/srv/image/x", check=False).stderr
    assert recipe.userns("auto").run("stat", "-c", "%u:%g", "/srv/image/data").text == "7:8\n"


def test_image_that_is_mounted_is_not_removed(data: cl.ContainerRecipe, box: cl.ContainerRecipe) -> None:
    (image,) = [each for each in box.engine.images.list() if each.id == data.image.reference]  # type: ignore[union-attr]
    container = box.mount(image, at="/image").start("cat", "/image/data/new", detach=True)
    container.wait(30.0)
    with pytest.raises(cl.Conflict):
        image.remove()
    container.start()
    container.wait(30.0)
    assert [record.text for record in container.logs()] == ["new", "new"]
    container.remove()
    image.remove()


def test_image_hides_no_other_mount(data: cl.ContainerRecipe, box: cl.ContainerRecipe) -> None:
    (image,) = [each for each in box.engine.images.list() if each.id == data.image.reference]  # type: ignore[union-attr]
    with pytest.raises(cl.InvalidArgument, match="/image/x"):
        box.mount(image, at="/image").mount(cl.tmpfs(), at="/image/x").run("true")


def test_image_that_is_nowhere_is_not_found(box: cl.ContainerRecipe) -> None:
    with pytest.raises(cl.Error):
        box.mount(box.engine.image("127.0.0.1:1/none:1"), at="/image").run("true")
    assert box.engine.containers.list() == []
