"""Volumes that are more than a directory: mounts of their own, bounds, drivers; what they give and what they leave."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve

import containerlib as cl
from rig.belongings import supervisors
from rig.images import Image, Layer, busybox_layer
from rig.loops import loop_device
from rig.mounts import mount, mounted_tmpfs

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

DATA = Layer().directory("data", 0o750, uid=7, gid=8).file("data/kept", "old", uid=9).finish()


@pytest.fixture
def data(engine: cl.Engine, tmp_path: Path) -> cl.ContainerRecipe:
    """An image with files in /data."""
    image = Image((busybox_layer(), DATA), {"Env": ["PATH=/bin"]})
    (found,) = engine.images.load(image.write_layout(tmp_path / "data"))
    return engine.container(found)


def mounts(engine: cl.Engine) -> list[str]:
    """Of this mount namespace, below the engine's root."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line.split()[4] for line in lines if f"{engine.root}/" in line.split()[4]]


def temporary(engine: cl.Engine, name: str = "scratch") -> cl.VolumeRecipe:
    return engine.volume(name).option(type="tmpfs", device="tmpfs", o="size=1m,mode=750,uid=5")


def test_volume_of_memory_is_there_while_a_container_uses_it(box: cl.ContainerRecipe) -> None:
    engine = box.engine
    volume = temporary(engine).create()
    recipe = box.mount(volume, at="/x")
    assert mounts(engine) == []
    with recipe.start("sleep", "100") as one:
        assert mounts(engine) == [str(volume.path)]
        line = one.exec("grep", " /x ", "/proc/mounts").text
        assert line.startswith("tmpfs /x tmpfs rw")
        assert "size=1024k" in line
        assert one.exec("stat", "-c", "%u:%a", "/x").text == "5:750\n"
        one.exec("sh", "-c", "echo shared > /x/file")
        assert recipe.run("cat", "/x/file").text == "shared\n"
        assert mounts(engine) == [str(volume.path)]
        assert (
            b"No space"
            in recipe.run("dd", "if=/dev/zero", "of=/x/big", "bs=2M", "count=1", check=False).stderr
        )
    assert mounts(engine) == []
    assert list(volume.path.iterdir()) == []
    assert recipe.run("ls", "/x").text == ""
    volume.remove()
    assert engine.volumes.list() == []


def test_volume_is_unmounted_when_its_container_is_stopped_and_mounted_when_it_starts_again(
    box: cl.ContainerRecipe,
) -> None:
    container = box.mount(temporary(box.engine), at="/x").start("sleep", "100", detach=True)
    try:
        assert len(mounts(box.engine)) == 1
        container.stop(timeout=0.0)
        assert mounts(box.engine) == []
        container.start()
        assert len(mounts(box.engine)) == 1
        assert container.exec("grep", "-c", " /x tmpfs ", "/proc/mounts").text == "1\n"
    finally:
        container.remove(force=True)
    assert mounts(box.engine) == []


def test_volume_of_a_container_that_ended_by_itself_is_unmounted_by_the_next_engine(
    box: cl.ContainerRecipe,
) -> None:
    container = box.mount(temporary(box.engine), at="/x").start("true", detach=True)
    container.wait(30.0)
    with cl.Engine(root=box.engine.root) as opened:
        assert mounts(opened) == []
    container.remove()


def test_files_of_a_stopped_container_are_seen_with_its_volumes(
    box: cl.ContainerRecipe, tmp_path: Path
) -> None:
    (tmp_path / "there").mkdir()
    volume = box.engine.volume("v").option(type="none", device=str(tmp_path / "there"), o="bind")
    container = box.mount(volume, at="/x").start("sh", "-c", "echo x > /x/file", detach=True)
    container.wait(30.0)
    container.stop()
    assert mounts(box.engine) == []
    assert container.path("/x/file").read_text() == "x\n"
    assert mounts(box.engine) == []
    container.remove()


def test_directory_of_the_host_as_a_volume_keeps_its_files_when_that_goes(
    data: cl.ContainerRecipe, tmp_path: Path
) -> None:
    there = tmp_path / "there"
    there.mkdir()
    volume = data.engine.volume("v").option(type="none", device=str(there), o="bind").create()
    assert data.mount(volume, at="/data").run("cat", "/data/kept").text == "old"
    assert [path.name for path in there.iterdir()] == ["kept"]
    status = there.stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777, (there / "kept").stat().st_uid) == (
        7,
        8,
        0o750,
        9,
    )
    volume.remove()
    assert (there / "kept").read_text() == "old"


def test_directory_that_is_missing_is_told_by_name(box: cl.ContainerRecipe, tmp_path: Path) -> None:
    volume = box.engine.volume("v").option(type="none", device=str(tmp_path / "none"), o="bind")
    with pytest.raises(cl.NotFound, match=r"'v' is .*/none"):
        box.mount(volume, at="/x").run("true")
    assert mounts(box.engine) == []


@pytest.mark.parametrize(("word", "expected"), [("bind", ""), ("rbind", "file\n")])
def test_read_only_covers_what_is_mounted_below(
    box: cl.ContainerRecipe, source: Path, word: str, expected: str
) -> None:
    (source / "below" / "file").touch()
    volume = box.engine.volume("v").option(type="none", device=str(source), o=word).create()
    recipe = box.mount(volume, at="/x", read_only=True)
    assert recipe.run("ls", "/x/below").text == expected
    done = recipe.run("sh", "-c", "touch /x/new; touch /x/below/new", check=False)
    assert done.stderr.count(b"Read-only file system") == 2
    assert box.mount(volume, at="/x").run("touch", "/x/new", "/x/below/new").exit_code == 0


def test_options_make_the_mount_itself_read_only(box: cl.ContainerRecipe, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    volume = box.engine.volume("v").option(type="none", device=str(tmp_path / "there"), o="bind,ro")
    assert b"Read-only" in box.mount(volume, at="/x", copy=False).run("touch", "/x/a", check=False).stderr


def test_overlay_is_a_volume(box: cl.ContainerRecipe, tmp_path: Path) -> None:
    with mounted_tmpfs(tmp_path / "disk", size="4m") as disk:
        for name in ("lower", "upper", "work"):
            (disk / name).mkdir()
        (disk / "lower" / "below").write_text("lower\n")
        volume = (
            box.engine.volume("v")
            .option(type="overlay", device="overlay")
            .option(o=f"lowerdir={disk}/lower,upperdir={disk}/upper,workdir={disk}/work")
            .create()
        )
        recipe = box.mount(volume, at="/x")
        assert recipe.run("sh", "-c", "cat /x/below; echo more > /x/below").text == "lower\n"
        assert (disk / "lower" / "below").read_text() == "lower\n"
        assert (disk / "upper" / "below").read_text() == "more\n"


def test_block_device_is_a_volume_which_two_containers_have(box: cl.ContainerRecipe, tmp_path: Path) -> None:
    with loop_device(tmp_path / "disk", "mkfs.ext4", "-q") as device:
        volume = box.engine.volume("v").option(type="ext4", device=device, o="noatime").create()
        recipe = box.mount(volume, at="/x")
        with recipe.start("sleep", "100") as container:
            container.exec("sh", "-c", "echo x > /x/file")
            assert recipe.run("cat", "/x/file").text == "x\n"
            assert f"{device} /x ext4 rw,noatime" in container.exec("cat", "/proc/mounts").text
        assert recipe.run("cat", "/x/file").text == "x\n"
        volume.remove()
        subprocess.run(["e2fsck", "-n", "-f", device], check=True, capture_output=True)


def test_container_that_has_no_part_in_a_volume_does_not_hold_it(
    box: cl.ContainerRecipe, tmp_path: Path
) -> None:
    """One that starts while it is mounted has a copy of the host's mounts for a moment, and not for longer."""
    with loop_device(tmp_path / "disk", "mkfs.ext4", "-q") as device:
        volume = box.engine.volume("v").option(type="ext4", device=device).create()
        with box.mount(volume, at="/x").start("sleep", "100") as first:
            first.exec("touch", "/x/file")
            other = box.start("sleep", "100")
        assert mounts(box.engine) == []
        lines = [Path(f"/proc/{pid}/mountinfo").read_text() for _, pid in supervisors(box.engine)]
        assert len(lines) == 1
        assert device not in lines[0] + other.exec("cat", "/proc/mounts").text
        other.remove(force=True)


def test_part_of_a_volume_that_is_a_mount_is_shown(box: cl.ContainerRecipe, tmp_path: Path) -> None:
    (tmp_path / "there" / "a" / "b").mkdir(parents=True)
    (tmp_path / "there" / "a" / "b" / "file").write_text("here")
    (tmp_path / "there" / "out").symlink_to(tmp_path)
    volume = box.engine.volume("v").option(type="none", device=str(tmp_path / "there"), o="bind").create()
    container = box.mount(volume, at="/x", subpath="a/b").start("cat", "/x/file", detach=True)
    container.wait(30.0)
    container.start()
    container.wait(30.0)
    assert [record.text for record in container.logs()] == ["here", "here"]
    container.remove()
    with pytest.raises(cl.NotFound, match="has no 'out'"):
        box.mount(volume, at="/x", subpath="out").run("true")
    assert mounts(box.engine) == []


def test_container_that_its_supervisor_starts_again_still_has_its_volume(box: cl.ContainerRecipe) -> None:
    recipe = box.mount(temporary(box.engine), at="/x").restart("on-failure", retries=2)
    container = recipe.start("sh", "-c", "echo x >> /x/file; wc -l < /x/file; exit 3", detach=True)
    assert container.wait(60.0).exit_code == 3
    assert [record.text for record in container.logs()] == ["1", "2", "3"]
    container.remove()
    assert mounts(box.engine) == []


def test_volume_that_a_container_has_is_not_removed_whether_it_runs_or_not(box: cl.ContainerRecipe) -> None:
    volume = temporary(box.engine).create()
    container = box.name("web").mount(volume, at="/x").start("sleep", "100", detach=True)
    for _ in range(2):
        with pytest.raises(cl.Conflict, match="'scratch' is in use by web") as caught:
            volume.remove()
        assert caught.value.state == "in use"
        assert box.engine.volumes.prune(named=True).volumes == ()
        container.stop(timeout=0.0)
    container.remove()
    assert box.engine.volumes.prune(named=True).volumes == ("scratch",)


def test_file_system_that_the_kernel_has_not_is_refused(box: cl.ContainerRecipe) -> None:
    if "\tnfs\n" in Path("/proc/filesystems").read_text():
        pytest.skip("this kernel has NFS")
    volume = box.engine.volume("v").option(type="nfs", device=":/data", o="addr=127.0.0.1,rw").create()
    with pytest.raises(cl.Unsupported, match="'v' is of the type 'nfs'"):
        box.mount(volume, at="/x").run("true")
    assert (mounts(box.engine), box.engine.containers.list()) == ([], [])
    volume.remove()


def test_server_that_nobody_knows_is_told_by_name(box: cl.ContainerRecipe) -> None:
    volume = box.engine.volume("v").option(type="nfs", device=":/data", o="addr=no-such-host.invalid,rw")
    with pytest.raises(cl.NotFound, match=r"no-such-host\.invalid"):
        box.mount(volume, at="/x").run("true")
    assert (mounts(box.engine), box.engine.containers.list()) == ([], [])


@pytest.mark.parametrize("options", [{"color": "red"}, {"size": "much"}, {"type": "tmpfs"}])
def test_options_are_refused_before_anything_is_done(
    host: cl.ContainerRecipe, options: dict[str, str]
) -> None:
    volume = host.engine.volume("v").option(options)
    for verb in (volume.create, lambda: host.mount(volume, at="/x")):
        with pytest.raises(cl.InvalidArgument) as caught:
            verb()
        assert caught.value.field == "option"
    host.mount(volume.driver("other"), at="/x")
    assert host.engine.volumes.list() == []


def test_mount_makes_the_volume_as_its_recipe_says(box: cl.ContainerRecipe) -> None:
    recipe = temporary(box.engine).label(team="web")
    box.mount(recipe, at="/x").run("true")
    (volume,) = box.engine.volumes.list()
    assert (volume.labels, volume.driver) == ({"team": "web"}, "local")
    assert volume.options == {"type": "tmpfs", "device": "tmpfs", "o": "size=1m,mode=750,uid=5"}
    assert volume.created_at is not None


def test_volume_without_a_name_goes_with_its_container(data: cl.ContainerRecipe) -> None:
    recipe = data.mount(data.engine.volume().label(team="web"), at="/data")
    with recipe.start("sleep", "100") as container:
        (volume,) = data.engine.volumes.list()
        assert volume.labels["team"] == "web"
        assert container.exec("cat", "/data/kept").text == "old"
        with pytest.raises(cl.Conflict):
            volume.remove()
        with recipe.start("true"):
            assert len(data.engine.volumes.list()) == 2
    assert data.engine.volumes.list() == []


def test_volume_without_a_name_that_is_created_by_itself_stays(engine: cl.Engine) -> None:
    volume = engine.volume().create()
    assert len(volume.name) == 64
    assert engine.prune().volumes == ()
    volume.remove()


def test_first_use_by_many_at_once_finds_the_images_files(data: cl.ContainerRecipe) -> None:
    from concurrent.futures import ThreadPoolExecutor

    recipe = data.mount(data.engine.volume("v"), at="/data")
    with ThreadPoolExecutor(4) as pool:
        texts = pool.map(lambda _: recipe.run("cat", "/data/kept").text, range(4))
    assert [*texts] == ["old"] * 4


def test_volume_of_one_container_is_filled_by_another_whose_image_has_files(
    data: cl.ContainerRecipe, box: cl.ContainerRecipe
) -> None:
    """As with docker: what the first has mounted is the volume that the second fills."""
    volume = data.engine.volume("v").create()
    with box.mount(volume, at="/x").start("sleep", "100") as container:
        data.mount(volume, at="/data").run("true")
        assert container.exec("cat", "/x/kept").text == "old"


def test_files_in_a_user_namespace_belong_to_the_caller(box: cl.ContainerRecipe, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    volume = box.engine.volume("v").create()
    recipe = box.userns("auto").mount(volume, at="/v").mount(tmp_path / "there", at="/x", id_map=True)
    done = recipe.run("sh", "-c", "touch /v/file /x/file; stat -c %u:%g /v/file /x/file", check=False)
    if b"Invalid argument" in done.stderr:
        pytest.skip("this file system cannot be id-mapped")
    assert done.text == "0:0\n0:0\n"
    for place in (volume.path / "file", tmp_path / "there" / "file"):
        assert (place.stat().st_uid, place.stat().st_gid) == (os.geteuid(), os.getegid())


def test_files_of_an_ordinary_user_are_the_containers_roots_and_stay_his(
    box: cl.ContainerRecipe, tmp_path: Path
) -> None:
    there = tmp_path / "home"
    there.mkdir()
    os.chown(there, 1000, 1000)
    recipe = box.mount(there, at="/x", id_map=[(1000, 0, 1)])
    done = recipe.run("sh", "-c", "stat -c %u /x; touch /x/file; stat -c %u /x/file")
    assert done.text == "0\n0\n"
    assert (there / "file").stat().st_uid == 1000


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Path]:
    """A directory with another file system mounted in it."""
    source = tmp_path / "source"
    (source / "below").mkdir(parents=True)
    mount("--bind", source, source)
    mount("--make-private", source)
    with mounted_tmpfs(source / "below", size="1m"):
        yield source
    subprocess.run(["umount", source], check=True)


def test_volume_is_mounted_for_each_of_many_that_come_and_go(box: cl.ContainerRecipe) -> None:
    """Who unmounts what the last one left never takes it from the next one, who is being started."""
    from concurrent.futures import ThreadPoolExecutor

    volume = temporary(box.engine).create()
    look = ("sh", "-c", "grep ' /x ' /proc/mounts")

    def some(number: int) -> list[str]:
        with cl.Engine(root=box.engine.root) as engine:
            recipe = evolve(box, engine=engine).mount(volume, at="/x")
            return [recipe.run(*look).text.split()[2] for _ in range(12)]

    with ThreadPoolExecutor(3) as pool:
        assert {kind for kinds in pool.map(some, range(3)) for kind in kinds} == {"tmpfs"}
    assert mounts(box.engine) == []


def test_what_is_elsewhere_takes_nothing_here(box: cl.ContainerRecipe, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").write_bytes(bytes(1 << 20))
    volume = box.engine.volume("v").option(type="none", device=str(tmp_path / "there"), o="bind").create()
    with box.mount(volume, at="/x").start("sleep", "100"):
        assert len(mounts(box.engine)) == 1
        assert [each.size_bytes for each in box.engine.disk_usage().volumes] == [0]
    done = box.engine.volumes.prune(named=True)
    assert (done.volumes, done.reclaimed_bytes) == (("v",), 0)
