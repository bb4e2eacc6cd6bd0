"""Images and containers as files: saved, exported, committed, squashed; peers read what we write."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import containerlib as cl
from rig.engines import Docker, Podman
from rig.images import Image, Layer, busybox_layer
from rig.snapshotters import EACH

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

pytestmark = [
    *EACH,
    pytest.mark.privileged("CAP_SYS_ADMIN, CAP_CHOWN, CAP_MKNOD: makes containers, unpacks layers"),
]

REMOVES = Layer().whiteout("etc/group").file("etc/motd", "hello\n").directory("kept").finish()


@pytest.fixture
def layered(engine: cl.Engine, tmp_path: Path) -> cl.Image:
    """An image of two layers, the upper of which deletes a file of the lower one."""
    image = Image((busybox_layer(), REMOVES), {"Cmd": ["cat", "/etc/motd"], "Env": ["A=1"]})
    (loaded,) = engine.images.load(image.write_layout(tmp_path / "layout", tag="layered:1"))
    return loaded


@pytest.fixture
def other(tmp_path: Path) -> cl.Engine:
    return cl.Engine(tmp_path / "other")


def skopeo_digest(place: str) -> str:
    if shutil.which("skopeo") is None:
        pytest.skip("no skopeo: install skopeo")
    output = subprocess.run(["skopeo", "inspect", "--raw", place], check=True, capture_output=True).stdout
    return json.dumps(json.loads(output), sort_keys=True)


# ---- save ----


def test_save_and_load_elsewhere_is_the_same_image(
    layered: cl.Image, other: cl.Engine, tmp_path: Path
) -> None:
    layered.save(tmp_path / "image.tar")
    with other:
        (loaded,) = other.images.load(tmp_path / "image.tar")
        assert (loaded.id, loaded.references) == (layered.id, layered.references)
        assert other.container(loaded).run().text == "hello\n"


def test_save_layout_and_load_elsewhere_is_the_same_image(
    layered: cl.Image, other: cl.Engine, tmp_path: Path
) -> None:
    layered.save(tmp_path / "saved", layout=True)
    with other:
        (loaded,) = other.images.load(tmp_path / "saved")
        assert (loaded.id, loaded.references) == (layered.id, layered.references)


def test_save_twice_is_the_same_bytes(layered: cl.Image) -> None:
    archives = [io.BytesIO(), io.BytesIO()]
    for archive in archives:
        layered.save(archive)
    assert archives[0].getvalue() == archives[1].getvalue()


def test_save_several_shares_their_blobs(engine: cl.Engine, layered: cl.Image, busybox_image: Path) -> None:
    (below,) = engine.images.load(busybox_image)
    archive = io.BytesIO()
    engine.images.save(layered, below.id, to=archive)
    with tarfile.open(fileobj=io.BytesIO(archive.getvalue())) as found:
        blobs = [member.name for member in found if member.isfile() and "blobs" in member.name]
    assert (
        len(blobs) == len(set(blobs)) == 6
    )  # two manifests, two configs, and two layers, of which both have one


@pytest.mark.parametrize("layout", [True, False])
def test_save_is_read_by_skopeo(layered: cl.Image, tmp_path: Path, layout: bool) -> None:
    layered.save(tmp_path / "saved", layout=layout)
    kind = "oci" if layout else "oci-archive"
    assert len(json.loads(skopeo_digest(f"{kind}:{tmp_path}/saved:1"))["layers"]) == 2


def test_save_is_loaded_by_podman_with_its_name(
    layered: cl.Image, busybox_image: Path, tmp_path: Path
) -> None:
    layered.save(tmp_path / "image.tar")
    with Podman(tmp_path, Path("/usr/bin/crun"), busybox_image) as podman:
        assert podman("load", "-i", f"{tmp_path}/image.tar").status == 0
        listed = podman("images", "--no-trunc", "--format", "{{.Id}} {{.Repository}}:{{.Tag}}").stdout
        podman("rmi", "--all", "--force")
    assert f"{layered.id.removeprefix('sha256:')} docker.io/library/layered:1" in listed.replace(
        "sha256:", ""
    )


def test_save_is_loaded_by_docker_with_its_name(
    layered: cl.Image, busybox_image: Path, tmp_path: Path
) -> None:
    layered.save(tmp_path / "image.tar")
    with Docker(tmp_path, Path("/usr/sbin/runc"), busybox_image) as docker:
        docker.load(tmp_path / "image.tar")
        listed = docker("images", "--no-trunc", "--format", "{{.ID}} {{.Repository}}:{{.Tag}}").stdout
    assert f"{layered.id} layered:1" in listed


def test_save_to_a_path_that_cannot_be_written_leaves_nothing(layered: cl.Image, tmp_path: Path) -> None:
    with pytest.raises(cl.StageError, match=r"none/image\.tar"):
        layered.save(tmp_path / "none/image.tar")
    assert not tmp_path.joinpath("none").exists()


def test_save_goes_on_while_the_image_is_removed(
    engine: cl.Engine, layered: cl.Image, other: cl.Engine, tmp_path: Path
) -> None:
    class Removing(io.BytesIO):
        def write(self, data: Buffer, /) -> int:
            if engine.images.list():
                layered.remove()
            return super().write(data)

    archive = Removing()
    layered.save(archive)
    assert engine.images.list() == []
    (tmp_path / "image.tar").write_bytes(archive.getvalue())
    with other:
        (loaded,) = other.images.load(tmp_path / "image.tar")
        assert other.container(loaded).run().text == "hello\n"


def test_save_that_fails_leaves_the_old_file(layered: cl.Image, tmp_path: Path, engine: cl.Engine) -> None:
    target = tmp_path / "image.tar"
    target.write_text("old")
    for blob in Path(engine.root, "content/blobs/sha256").iterdir():
        if blob.stat().st_size > 100_000:
            blob.unlink()
    with pytest.raises(cl.StageError, match="pull the image again"):
        layered.save(target)
    assert target.read_text() == "old"
    assert list(tmp_path.glob(".*")) == []


def test_save_layout_into_a_directory_that_has_something_is_refused(
    layered: cl.Image, tmp_path: Path
) -> None:
    tmp_path.joinpath("full").mkdir()
    tmp_path.joinpath("full/x").touch()
    with pytest.raises(cl.AlreadyExists, match="not empty"):
        layered.save(tmp_path / "full", layout=True)


def test_save_into_a_text_file_is_refused(layered: cl.Image) -> None:
    with pytest.raises(cl.InvalidArgument, match='"wb"'):
        layered.save(io.StringIO())  # type: ignore[arg-type]


# ---- diff, export ----


def test_diff_says_what_was_added_changed_and_deleted(engine: cl.Engine, layered: cl.Image) -> None:
    script = "echo x > /etc/new; echo x >> /etc/motd; rm /etc/passwd; rm -r /kept; mkdir /kept; touch /kept/a"
    with engine.container(layered).create() as container:
        container.start()
        container.wait()
    recipe = engine.container(layered)
    with recipe.start("sh", "-c", script) as container:
        container.wait()
        assert [str(change) for change in container.diff()] == [
            "C /etc", "C /etc/motd", "A /etc/new", "D /etc/passwd", "C /kept", "A /kept/a",
        ]  # fmt: skip


def test_diff_of_a_directory_made_again_names_what_was_in_it(engine: cl.Engine, layered: cl.Image) -> None:
    with engine.container(layered).start(
        "sh", "-c", "rm -r /home /etc; mkdir /etc; echo x > /etc/motd"
    ) as container:
        container.wait()
        changes = {str(change) for change in container.diff()}
    assert {"D /home", "C /etc", "C /etc/motd", "D /etc/passwd"} <= changes
    assert "D /etc/group" not in changes  # an upper layer of the image had deleted it


def test_diff_of_a_directory_that_hides_what_was_in_it_names_that(
    engine: cl.Engine, layered: cl.Image
) -> None:
    """All of it is gone by one mark on the new directory."""
    with engine.container(layered).start("sh", "-c", "rm -r /usr; mkdir /usr; echo x >/usr/new") as container:
        container.wait()
        assert [str(change) for change in container.diff()] == ["C /usr", "D /usr/bin", "A /usr/new"]


def test_diff_of_the_host_image_is_refused(host: cl.ContainerRecipe) -> None:
    with host.start("sleep", "100") as container, pytest.raises(cl.Unsupported, match="in memory"):
        container.diff()


def test_export_is_what_the_container_sees(engine: cl.Engine, layered: cl.Image, tmp_path: Path) -> None:
    with engine.container(layered).start("sh", "-c", "echo x > /new; sleep 100") as container:
        container.wait_for(exec=("test", "-s", "/new"))
        container.export(tmp_path / "files.tar")
        seen = container.exec("sh", "-c", "cd / && find . -xdev | sort").text.splitlines()
    with tarfile.open(tmp_path / "files.tar") as archive:
        names = {f"./{name}" if name != "." else name for name in archive.getnames()}
        assert archive.extractfile("new").read() == b"x\n"  # type: ignore[union-attr]
    mounted = ("./dev", "./proc", "./sys", "./etc/hosts", "./etc/hostname", "./etc/resolv.conf", "./etc/mtab")
    assert names - {"./dev", "./proc", "./sys"} == {name for name in seen if not name.startswith(mounted)}


# ---- commit ----


def test_commit_is_an_image_of_the_changes(engine: cl.Engine, layered: cl.Image) -> None:
    with engine.container(layered).start("sh", "-c", "rm /etc/motd; echo new > /etc/issue") as container:
        container.wait()
        image = container.commit(
            "committed:1", cmd=("cat", "/etc/issue"), env={"B": "2"}, labels={"by": "test"}, message="changed"
        )
    assert image.references == ("docker.io/library/committed:1",)
    assert engine.container(image).run().text == "new\n"
    assert engine.container(image).run("sh", "-c", "echo $A $B; ls /etc").text.splitlines()[0] == "1 2"
    assert "motd" not in engine.container(image).run("ls", "/etc").text
    assert len(image.record.config.diff_ids) == 3
    assert json.loads(image.record.config.raw)["history"][-1]["comment"] == "changed"


def test_commit_is_read_by_a_peer(engine: cl.Engine, layered: cl.Image, tmp_path: Path) -> None:
    with engine.container(layered).start("touch", "/new") as container:
        container.wait()
        image = container.commit("committed:1", compression="zstd")
    image.save(tmp_path / "saved", layout=True)
    manifest = json.loads(skopeo_digest(f"oci:{tmp_path}/saved:1"))
    assert [layer["mediaType"].rpartition("+")[2] for layer in manifest["layers"]] == ["gzip", "gzip", "zstd"]


def test_commit_of_the_same_changes_with_an_epoch_is_the_same_image(
    engine: cl.Engine, layered: cl.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    ids = set()
    for _ in range(2):
        with engine.container(layered).start("sh", "-c", "echo x > /new") as container:
            container.wait()
            ids.add(container.commit().id)
    assert len(ids) == 1


def test_commit_holds_a_running_container_and_lets_it_go_on(engine: cl.Engine, layered: cl.Image) -> None:
    loop = "i=0; while true; do i=$((i+1)); echo $i > /count; done"
    with engine.container(layered).start("sh", "-c", loop) as container:
        container.wait_for(exec=("test", "-s", "/count"))
        image = container.commit()
        assert container.state is cl.State.RUNNING
        before = container.exec("cat", "/count").text.strip() or "0"
        container.wait_for(exec=("sh", "-c", f"test $(cat /count) -gt {before}"))
    assert engine.container(image).run("ls", "/count").text == "/count\n"


def test_commit_of_one_that_is_killed_meanwhile_is_an_image(engine: cl.Engine, layered: cl.Image) -> None:
    with (
        engine.container(layered).start("sleep", "100") as container,
        ThreadPoolExecutor(1) as pool,
    ):
        container.exec("dd", "if=/dev/urandom", "of=/large", "bs=1M", "count=64")
        image = pool.submit(container.commit)
        while container.state is not cl.State.PAUSED:
            assert not image.done()
        container.kill()
        assert engine.container(image.result()).run("ls", "/large").text == "/large\n"


def test_commit_has_all_files_as_they_were_at_one_moment(engine: cl.Engine, layered: cl.Image) -> None:
    """There is a large file between two that are written one after the other, time and again."""
    loop = (
        "dd if=/dev/urandom of=/m bs=1M count=20 2>/dev/null; i=0; "
        "while true; do i=$((i+1)); echo $i >/tmp/n; mv /tmp/n /z; echo $i >/tmp/n; mv /tmp/n /a; done"
    )
    with engine.container(layered).start("sh", "-c", loop) as container:
        container.wait_for(exec=("test", "-s", "/a"), timeout=60.0)
        image = container.commit()
    first, last = map(int, engine.container(image).run("cat", "/a", "/z").text.split())
    assert first <= last <= first + 1


def test_commit_of_a_paused_container_leaves_it_paused(engine: cl.Engine, layered: cl.Image) -> None:
    with engine.container(layered).start("sleep", "100") as container:
        container.pause()
        container.commit()
        assert container.state is cl.State.PAUSED


def test_commit_that_fails_leaves_no_image_and_lets_the_container_go_on(
    engine: cl.Engine, layered: cl.Image
) -> None:
    with engine.container(layered).start("sleep", "100") as container:
        with pytest.raises(cl.InvalidArgument, match="tag"):
            container.commit(f"a@sha256:{'0' * 64}")
        assert container.state is cl.State.RUNNING
        assert [image.id for image in engine.images.list()] == [layered.id]
        assert list(Path(engine.root, "content/ingest").iterdir()) == []


# ---- import, squash ----


def test_export_and_import_is_the_same_tree(engine: cl.Engine, layered: cl.Image, tmp_path: Path) -> None:
    with engine.container(layered).create() as container:
        container.export(tmp_path / "files.tar")
    image = engine.images.import_(
        tmp_path / "files.tar", "imported:1", cmd=("cat", "/etc/motd"), env={"A": "1"}
    )
    assert image.references == ("docker.io/library/imported:1",)
    assert len(image.record.config.diff_ids) == 1
    assert engine.container(image).run().text == "hello\n"


def test_import_takes_a_compressed_stream(engine: cl.Engine) -> None:
    import gzip

    image = engine.images.import_(io.BytesIO(gzip.compress(busybox_layer())), cmd=("echo", "hi"))
    assert engine.container(image).run().text == "hi\n"


def test_import_takes_a_directory(engine: cl.Engine, busybox_rootfs: Path) -> None:
    image = engine.images.import_(busybox_rootfs, entrypoint=("echo",), cmd=("hi",), compression="zstd")
    assert engine.container(image).run().text == "hi\n"


def test_import_of_the_same_directory_with_an_epoch_is_the_same_image(
    engine: cl.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    ids = set()
    for number in range(2):
        copy = tmp_path / str(number)
        copy.joinpath("etc").mkdir(parents=True)
        copy.joinpath("etc/motd").write_text("hello")
        os.utime(copy / "etc/motd", (1_800_000_000 + number, 1_800_000_000 + number))
        ids.add(engine.images.import_(copy).id)
    assert len(ids) == 1


def test_import_of_a_directory_with_a_name_that_stands_for_a_deletion_is_refused(
    engine: cl.Engine, tmp_path: Path
) -> None:
    tmp_path.joinpath("files/etc").mkdir(parents=True)
    tmp_path.joinpath("files/etc/.wh.passwd").touch()
    with pytest.raises(cl.InvalidArgument, match=r"/etc/\.wh\.passwd cannot be in a layer"):
        engine.images.import_(tmp_path / "files")
    assert engine.images.list() == []


@pytest.mark.parametrize("data", [b"", b"no archive" * 100])
def test_import_of_what_is_no_archive_leaves_nothing(engine: cl.Engine, data: bytes) -> None:
    with pytest.raises(cl.InvalidArgument) as caught:
        engine.images.import_(io.BytesIO(data), "bad:1")
    assert caught.value.field == "layer"
    assert engine.images.list() == []
    assert list(Path(engine.root, "content/ingest").iterdir()) == []
    assert list(Path(engine.root, "snapshots").iterdir()) == []


def test_import_of_a_file_that_is_no_archive_says_which(engine: cl.Engine, tmp_path: Path) -> None:
    tmp_path.joinpath("notes").write_text("no archive\n" * 100)
    with pytest.raises(cl.InvalidArgument, match=r"notes' is no whole tar archive"):
        engine.images.import_(tmp_path / "notes")


def test_import_of_a_missing_file_names_it(engine: cl.Engine, tmp_path: Path) -> None:
    with pytest.raises(cl.NotFound, match=r"none\.tar"):
        engine.images.import_(tmp_path / "none.tar")


def test_squash_is_the_same_files_in_one_layer(engine: cl.Engine, layered: cl.Image) -> None:
    image = layered.squash("squashed:1")
    assert len(image.record.config.diff_ids) == 1
    assert [step.created_by for step in image.config.history] == ["squash"]
    assert engine.container(image).run().text == "hello\n"
    mounted = ["proc", "dev", "sys", "hosts", "hostname", "resolv.conf", "mtab"]
    changed = [".", "./etc"]  # by what is made for a container in it
    find = " ".join(
        ["find . -xdev", *(f"! -name {name}" for name in mounted), *(f"! -path {path}" for path in changed)]
    )
    all_files = f"{find} -exec stat -c '%n %a %u %g %Y' {{}} +"
    sizes = f"{find} ! -type d -exec stat -c '%n %h %s' {{}} +"  # a directory's is its file system's affair
    listing = f"cd / && ({all_files}; {sizes}) | sort"
    trees = [engine.container(each).run("sh", "-c", listing).text for each in (layered, image)]
    assert trees[0] == trees[1]


def test_add_layer_killed_at_any_moment_leaves_nothing_half_named(
    engine: cl.Engine, layered: cl.Image, busybox_rootfs: Path
) -> None:
    program = (
        "import sys, containerlib as cl\n"
        f"engine = cl.Engine({engine.root!r}, snapshotter={engine.snapshotter!r})\n"
        f"engine.images.import_({str(busybox_rootfs)!r}, 'imported:1')\n"
    )
    for delay in (0.15, 0.2, 0.25, 0.3, 0.4, 0.5):
        process = subprocess.Popen([sys.executable, "-c", program])
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    engine.prune()
    assert list(Path(engine.root, "content/ingest").iterdir()) == []
    for image in engine.images.list():
        assert engine.container(image).run("true", check=False).exit_code == 0
