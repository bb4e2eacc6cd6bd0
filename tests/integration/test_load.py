"""Images from files: layouts, archives of both kinds, compressed or not, and hostile ones."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

import containerlib as cl
from containerlib._sys.trees import remove_tree
from containerlib.errors import InvalidArgument, NotFound, RegistryError
from containerlib.images import ImageStore
from rig.images import Image, Layer
from rig.layers import names, text
from rig.snapshotters import EACH

pytestmark = [
    *EACH,
    pytest.mark.privileged("CAP_CHOWN, CAP_MKNOD, CAP_SYS_ADMIN: unpacks layers as they are"),
]

IMAGE = Image(
    (Layer().file("a", "1").finish(), Layer().file("b", "2").finish()), {"Cmd": ["/a"], "Labels": {"x": "y"}}
)


def archive_of(layout: Path, path: Path) -> Path:
    with tarfile.open(path, "w") as archive:
        archive.add(layout, arcname=".")
    return path


def assert_loaded(images: ImageStore, path: Path, *references: str) -> None:
    (record,) = images.load(path)
    assert record.references == references
    assert [names(layer) for layer in record.layers] == [["b"], ["a"]]
    assert record.config.to_bytes() == IMAGE.configuration
    assert images.get(record.id) == record


def assert_clean(root: Path) -> None:
    assert [*root.glob("snapshots/*"), *root.glob("content/ingest/*"), *root.glob("content/blobs/*/*")] == []


def test_load_layout_directory(images: ImageStore, tmp_path: Path) -> None:
    assert_loaded(images, IMAGE.write_layout(tmp_path / "layout", tag="latest"))


def test_load_layout_with_a_full_name_is_called_so(images: ImageStore, tmp_path: Path) -> None:
    layout = IMAGE.write_layout(tmp_path / "layout", tag="example.com/app:1")
    assert_loaded(images, layout, "example.com/app:1")


def test_load_layout_archive(images: ImageStore, tmp_path: Path) -> None:
    layout = IMAGE.write_layout(tmp_path / "layout", tag="app:1")
    assert_loaded(images, archive_of(layout, tmp_path / "layout.tar"), "docker.io/library/app:1")


def test_load_docker_save_archive(images: ImageStore, tmp_path: Path) -> None:
    archive = IMAGE.write_docker_archive(tmp_path / "image.tar", tag="app:1")
    assert_loaded(images, archive, "docker.io/library/app:1")


def test_load_compressed_archive(images: ImageStore, tmp_path: Path, root: Path) -> None:
    archive = IMAGE.write_docker_archive(tmp_path / "image.tar", tag="app:1")
    compressed = tmp_path / "image.tar.gz"
    compressed.write_bytes(gzip.compress(archive.read_bytes()))
    assert_loaded(images, compressed, "docker.io/library/app:1")
    assert list(root.glob("content/ingest/*")) == []


def test_load_newer_docker_save_archive_takes_manifests_and_names(images: ImageStore, tmp_path: Path) -> None:
    layout = IMAGE.write_layout(tmp_path / "layout", tag="1")
    _, (config, *layers) = IMAGE.blobs()
    paths = [f"blobs/sha256/{blob.digest[7:]}" for blob in (config, *layers)]
    entry = {"Config": paths[0], "RepoTags": ["app:1", "app:2"], "Layers": paths[1:]}
    layout.joinpath("manifest.json").write_text(json.dumps([entry]))
    archive = archive_of(layout, tmp_path / "image.tar")
    assert_loaded(images, archive, "docker.io/library/app:1", "docker.io/library/app:2")


def test_load_archive_of_skopeo(images: ImageStore, tmp_path: Path) -> None:
    layout = IMAGE.write_layout(tmp_path / "layout")
    command = ["skopeo", "--insecure-policy", "copy", "-q", f"oci:{layout}"]
    archive = tmp_path / "image.tar"
    subprocess.run([*command, f"docker-archive:{archive}:example.com/app:1"], check=True)
    (record,) = images.load(archive)
    assert record.references == ("example.com/app:1",)
    assert text(record.layers[0], "b") == "2"


def test_load_old_archive_with_linked_layers(images: ImageStore, tmp_path: Path) -> None:
    """Old `docker save` writes a layer once, and links to it from where it comes again."""
    same = IMAGE.layers[0]
    image = Image((same, same), {})
    members = Layer().file("one/layer.tar", same).symlink("two/layer.tar", "../one/layer.tar")
    entry = {"Config": "c.json", "RepoTags": None, "Layers": ["one/layer.tar", "two/layer.tar"]}
    members.file("c.json", image.configuration).file("manifest.json", json.dumps([entry]))
    archive = tmp_path / "image.tar"
    archive.write_bytes(members.finish())
    (record,) = images.load(archive)
    assert len(record.layers) == 2


def hostile(**changes: object) -> bytes:
    """A docker archive with one entry of manifest.json changed."""
    entry = {"Config": "c.json", "RepoTags": ["app:1"], "Layers": ["a.tar", "b.tar"], **changes}
    members = Layer().file("manifest.json", json.dumps([entry])).file("c.json", IMAGE.configuration)
    members.file("a.tar", IMAGE.layers[0]).file("b.tar", IMAGE.layers[1])
    members.symlink("out.tar", "/etc/passwd").symlink("loop.tar", "loop.tar").symlink(
        "up.tar", "../../../etc/passwd"
    )
    return members.finish()


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", InvalidArgument),
        (b"no archive" * 1000, InvalidArgument),
        (gzip.compress(b"no archive" * 1000), InvalidArgument),
        (b"\x1f\x8b damaged", InvalidArgument),
        (Layer().file("readme", "hello").finish(), InvalidArgument),
        (Layer().file("manifest.json", "{}").finish(), InvalidArgument),
        (Layer().file("manifest.json", b" " * (5 << 20)).finish(), InvalidArgument),
        (
            Layer().file("index.json", '{"manifests": [{"digest": "sha256:../../x"}]}').finish(),
            InvalidArgument,
        ),
        (Layer().file("index.json", '{"manifests": []}').finish(), NotFound),
        (hostile(Config="missing.json"), NotFound),
        (hostile(Config="/etc/passwd"), NotFound),
        (hostile(Config="../../../../etc/passwd"), NotFound),
        (hostile(Layers=["a.tar", "out.tar"]), NotFound),
        (hostile(Layers=["a.tar", "up.tar"]), NotFound),
        (hostile(Layers=["a.tar", "loop.tar"]), NotFound),
        (hostile(Layers=["a.tar"]), InvalidArgument),
        (hostile(Layers=["a.tar", "a.tar"]), RegistryError),
        (hostile(Layers="a.tar"), InvalidArgument),
        (hostile(RepoTags=["../UP"]), InvalidArgument),
        (hostile()[:2048], NotFound),
    ],
)
def test_load_bad_archive_is_refused_and_leaves_nothing(
    data: bytes, kind: type[Exception], images: ImageStore, tmp_path: Path, root: Path
) -> None:
    archive = tmp_path / "bad.tar"
    archive.write_bytes(data)
    with pytest.raises(kind) as caught:
        images.load(archive)
    assert type(caught.value) is kind
    assert_clean(root)


def test_load_layout_with_a_changed_blob_is_refused(images: ImageStore, tmp_path: Path, root: Path) -> None:
    layout = IMAGE.write_layout(tmp_path / "layout")
    _, (_, layer, _) = IMAGE.blobs()
    blob = layout / "blobs/sha256" / layer.digest[7:]
    blob.write_bytes(bytes(len(layer.data)))
    with pytest.raises(RegistryError) as caught:
        images.load(layout)
    assert caught.value.code == "DIGEST_INVALID"
    assert_clean(root)


def test_load_layout_with_a_pipe_for_a_blob_does_not_hang(images: ImageStore, tmp_path: Path) -> None:
    layout = IMAGE.write_layout(tmp_path / "layout")
    _, (config, *_) = IMAGE.blobs()
    blob = layout / "blobs/sha256" / config.digest[7:]
    blob.unlink()
    os.mkfifo(blob)
    with pytest.raises(NotFound):
        images.load(layout)


def test_load_what_is_not_there_is_not_found(images: ImageStore, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no file or directory"):
        images.load(tmp_path / "missing")


def test_load_makes_a_snapshot_again_that_was_deleted_by_hand(images: ImageStore, tmp_path: Path) -> None:
    layout = IMAGE.write_layout(tmp_path / "layout")
    (first,) = images.load(layout)
    remove_tree(first.layers[0].path)
    (second,) = images.load(layout)
    assert text(second.layers[0], "b") == "2"


def test_load_by_the_engine_for_a_platform_reports_progress_and_says_what_came(
    engine: cl.Engine, tmp_path: Path
) -> None:
    image = Image(IMAGE.layers, IMAGE.config, machine="s390x")
    layout = image.write_layout(tmp_path / "layout", tag="app:1")
    with pytest.raises(NotFound, match="no image for linux/"):
        engine.images.load(layout)
    steps: list[cl.Progress] = []
    (loaded,) = engine.images.load(layout, platform="linux/s390x", progress=steps.append)
    assert {step.phase for step in steps} == {"download", "unpack", "done"}
    assert loaded.digest == image.blobs()[0].digest
    assert (loaded.config.cmd, dict(loaded.config.labels)) == (("/a",), {"x": "y"})
    assert loaded.config.platform.architecture == "s390x"
