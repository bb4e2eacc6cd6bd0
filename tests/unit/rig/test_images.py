"""The images that other tests stand on hold what they say."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

from rig.images import Image, Layer


def layer() -> bytes:
    return Layer().directory("bin").file("bin/true", b"#!", 0o755).hardlink("bin/yes", "bin/true").finish()


def test_layout_every_blob_has_the_name_of_its_content(tmp_path: Path) -> None:
    Image((layer(),)).write_layout(tmp_path / "image")
    blobs = list(tmp_path.joinpath("image/blobs/sha256").iterdir())
    assert len(blobs) == 3
    assert all(hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name for blob in blobs)


def test_layout_index_names_the_manifest_by_tag(tmp_path: Path) -> None:
    layout = Image((layer(),)).write_layout(tmp_path / "image", tag="v1")
    index = json.loads(layout.joinpath("index.json").read_bytes())
    (manifest,) = index["manifests"]
    assert manifest["annotations"]["org.opencontainers.image.ref.name"] == "v1"
    assert layout.joinpath("blobs/sha256", manifest["digest"].removeprefix("sha256:")).exists()


def test_docker_archive_lists_layers_that_match_the_diff_ids(tmp_path: Path) -> None:
    path = Image((layer(), layer())).write_docker_archive(tmp_path / "image.tar", tag="a:b")
    with tarfile.open(path) as tar:
        members = {info.name: tar.extractfile(info).read() for info in tar.getmembers()}  # type: ignore[union-attr]
    (entry,) = json.loads(members["manifest.json"])
    diff_ids = json.loads(members[entry["Config"]])["rootfs"]["diff_ids"]
    assert [f"sha256:{hashlib.sha256(members[name]).hexdigest()}" for name in entry["Layers"]] == diff_ids


def test_whiteout_of_a_file_in_a_directory_is_a_marker_beside_it() -> None:
    data = Layer().whiteout("etc/passwd").whiteout("etc/.wh..wh..opq").finish()
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert tar.getnames() == ["etc/.wh.passwd", "etc/.wh..wh..opq"]
