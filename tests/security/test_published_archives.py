"""Published attacks by the archives that images come in: none writes outside, none takes the caller's memory."""

from __future__ import annotations

import io
import tarfile
import tracemalloc
from pathlib import Path

import pytest

import containerlib as cl
from containerlib.errors import InvalidArgument
from rig.images import Image, Layer, busybox_layer, encode

pytestmark = pytest.mark.privileged("CAP_CHOWN, CAP_MKNOD, CAP_SYS_ADMIN: unpacks layers as they are")

LARGE = 64 * 1024 * 1024


@pytest.mark.parametrize("snapshotter", ["overlay", "erofs", "copy"], indirect=True)
@pytest.mark.parametrize("name", [".", "./", "/", "./."])
def test_layer_whose_root_is_a_link_is_refused_and_writes_nothing_outside(
    engine: cl.Engine, tmp_path: Path, name: str
) -> None:
    """CVE-2021-29136: what comes after is written to where the link of the layer's root leads."""
    outside = tmp_path / "outside"
    outside.mkdir()
    layer = Layer().symlink(name, str(outside)).file("evil", "evil").finish()
    layout = Image((busybox_layer(), layer), {"Cmd": ["sh"]}).write_layout(tmp_path / "layout")
    with pytest.raises(InvalidArgument, match="a name in it is empty") as caught:
        engine.images.load(layout)
    assert caught.value.field == "layer"
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("name", ["index.json", "manifest.json", "blobs/sha256/" + "a" * 64])
def test_archive_with_a_document_without_end_is_refused_in_little_memory(
    engine: cl.Engine, tmp_path: Path, name: str
) -> None:
    """CVE-2023-25153: an imported archive's index or manifest is read into memory, however large it is."""
    entry = {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": f"sha256:{'a' * 64}",
        "size": LARGE,
    }
    with tarfile.open(tmp_path / "archive.tar", "w") as archive:
        if name.startswith("blobs"):
            index = encode({"schemaVersion": 2, "manifests": [entry]})
            add(archive, "index.json", index)
        add(archive, name, b" " * LARGE)
    tracemalloc.start()
    try:
        with pytest.raises(InvalidArgument, match="no honest document"):
            engine.images.load(tmp_path / "archive.tar")
        assert tracemalloc.get_traced_memory()[1] < LARGE // 4
    finally:
        tracemalloc.stop()
    assert engine.images.list() == []


def add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))
