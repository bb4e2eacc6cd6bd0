"""Pull from a real registry: formats, platforms, what is shared, and what other tools make of our layout."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from containerlib.errors import Conflict, NotFound, Unsupported
from containerlib.images import ImageStore, Progress
from containerlib.spec.digest import Digest
from containerlib.spec.image import Descriptor, Index, MediaType
from containerlib.spec.platform import Platform
from rig.images import Image, Layer
from rig.layers import opened, text
from rig.registry import Registry
from rig.snapshotters import EACH

pytestmark = [
    *EACH,
    pytest.mark.privileged("CAP_CHOWN, CAP_MKNOD, CAP_SYS_ADMIN: unpacks layers as they are"),
]

BOTTOM = (
    Layer().directory("etc").file("etc/passwd", "root:x:0:0::/root:/bin/sh\n").file("data", "x" * 300_000)
)
TOP = Layer().whiteout("data").file("app", "#!/bin/sh\n", 0o755, uid=7, gid=8)
IMAGE = Image((BOTTOM.finish(), TOP.finish()), {"Cmd": ["/app"], "Env": ["A=1"]})


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return IMAGE.write_layout(tmp_path_factory.mktemp("layout") / "image")


def skopeo(*argv: str) -> str:
    command = ["skopeo", "--insecure-policy", *argv]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--format", "v2s2"),
        ("--dest-compress-format", "zstd", "--dest-compress"),
        ("--dest-decompress",),
    ],
    ids=["gzip", "docker schema 2", "zstd", "plain"],
)
def test_pull_format_gives_the_image(
    options: tuple[str, ...], registry: Registry, images: ImageStore, layout: Path, tmp_path: Path
) -> None:
    if "--dest-decompress" in options or "zstd" in options:  # only a directory keeps what is asked for
        recoded = tmp_path / "recoded"
        skopeo("copy", "-q", *options, f"oci:{layout}", f"dir:{recoded}")
        reference = registry.reference("app")
        skopeo("copy", "-q", "--dest-tls-verify=false", f"dir:{recoded}", f"docker://{reference}")
    else:
        reference = registry.push(layout, "app", "latest", *options)
    record = images.pull(reference)
    assert text(record.layers[1], "etc/passwd") == "root:x:0:0::/root:/bin/sh\n"
    with opened(record.layers[0]) as top:
        assert (top / "data").is_char_device()
        status = (top / "app").stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (7, 8, 0o755)
    assert record.id == str(Digest.of(record.config.to_bytes()))
    assert record.references == (reference,)
    assert (record.config.cmd, record.config.env) == (("/app",), ("A=1",))
    assert record.size_bytes == 300_000 + 26 + 10


def test_pull_again_fetches_nothing(registry: Registry, images: ImageStore, layout: Path) -> None:
    reference = registry.push(layout, "app")
    first = images.pull(reference)
    steps: list[Progress] = []
    assert images.pull(reference, progress=steps.append) == first
    assert [step.phase for step in steps] == ["done"]


def test_pull_tells_of_each_blob_and_layer_how_much_has_come(
    registry: Registry, images: ImageStore, layout: Path
) -> None:
    steps: list[Progress] = []
    record = images.pull(registry.push(layout, "app"), progress=steps.append)
    _, (config, *layers) = IMAGE.blobs()
    for blob in (config, *layers):
        came = [step for step in steps if (step.phase, step.digest) == ("download", blob.digest)]
        assert {step.total for step in came} == {len(blob.data)}
        assert [step.current for step in came] == sorted(step.current for step in came)
        assert came[-1].current == len(blob.data)
    for blob, data in zip(layers, IMAGE.layers, strict=True):
        unpacked = [step for step in steps if (step.phase, step.digest) == ("unpack", blob.digest)]
        assert {step.total for step in unpacked} == {0}
        assert unpacked[-1].current == len(data)
    assert steps[-1] == Progress("done", record.id, 0, 0)
    assert [step.phase for step in steps].count("done") == 1


def test_pull_index_takes_the_platform(registry: Registry, images: ImageStore, tmp_path: Path) -> None:
    tags = {}
    for architecture in ("amd64", "arm64"):
        image = Image((Layer().file("which", architecture).finish(),))
        layout = image.write_layout(tmp_path / architecture)
        registry.push(layout, "app", architecture)
        manifest, _ = image.blobs()
        tags[architecture] = Descriptor(
            manifest.media_type,
            Digest.parse(manifest.digest),
            len(manifest.data),
            platform=Platform("linux", architecture),
        )
    _put_index(registry, "app", "all", Index(tuple(tags.values())))
    for architecture in tags:
        record = images.pull(registry.reference("app", "all"), platform=f"linux/{architecture}")
        assert text(record.layers[0], "which") == architecture
    with pytest.raises(NotFound, match=r"linux/s390x; there is: linux/amd64, linux/arm64"):
        images.pull(registry.reference("app", "all"), platform="linux/s390x")


def _put_index(registry: Registry, repository: str, tag: str, index: Index) -> None:
    argv = ["curl", "-sSf", "-X", "PUT", "-H", f"Content-Type: {MediaType.INDEX}", "--data-binary", "@-"]
    url = f"{registry.url}/v2/{repository}/manifests/{tag}"
    subprocess.run([*argv, url], input=index.to_bytes(), check=True)


def test_pull_by_digest(registry: Registry, images: ImageStore, layout: Path) -> None:
    registry.push(layout, "app")
    digest = IMAGE.blobs()[0].digest
    reference = f"{registry.address}/app@{digest}"
    assert images.pull(reference).references == (reference,)
    assert images.get(reference).id == images.list()[0].id
    with pytest.raises(NotFound, match="is not in the registry"):
        images.pull(f"{registry.address}/app@sha256:{'0' * 64}")


def test_pull_images_that_share_a_layer_share_its_snapshot(
    registry: Registry, images: ImageStore, layout: Path, root: Path, tmp_path: Path
) -> None:
    other = Image((IMAGE.layers[0], Layer().file("other", "").finish()))
    first = images.pull(registry.push(layout, "app"))
    second = images.pull(registry.push(other.write_layout(tmp_path / "other"), "other"))
    assert first.layers[1] == second.layers[1]
    assert len(list((root / "snapshots").iterdir())) == 3
    images.remove(first.id)
    assert [record.id for record in images.list()] == [second.id]
    assert {str(path) for path in (root / "snapshots").iterdir()} == {layer.path for layer in second.layers}


def test_layout_is_read_by_skopeo_and_pushed_from(
    registry: Registry, images: ImageStore, layout: Path, root: Path
) -> None:
    reference = registry.push(layout, "app")
    record = images.pull(reference)
    images.tag(reference, "localhost/mine:1")
    assert len(json.loads(skopeo("inspect", f"oci:{root}/content:localhost/mine:1"))["Layers"]) == 2
    again = registry.reference("again")
    skopeo(
        "copy", "-q", "--dest-tls-verify=false", f"oci:{root}/content:localhost/mine:1", f"docker://{again}"
    )
    assert images.pull(again).id == record.id


def test_remove_frees_what_only_it_had(
    registry: Registry, images: ImageStore, layout: Path, root: Path
) -> None:
    reference = registry.push(layout, "app")
    record = images.pull(reference)
    images.tag(record.id, "mine")
    images.remove(reference)
    assert images.get("mine").layers == record.layers
    with pytest.raises(Conflict, match="in use by web: remove them first"):
        images.remove("mine", in_use=lambda image_id: ["web"] if image_id == record.id else [])
    images.remove("mine", in_use=lambda _: [])
    assert images.list() == []
    assert list((root / "snapshots").iterdir()) == list((root / "content/blobs/sha256").iterdir()) == []
    with pytest.raises(NotFound, match="pull or load it first"):
        images.get("mine")


def test_tag_that_moves_leaves_the_old_image_by_id(
    registry: Registry, images: ImageStore, layout: Path, tmp_path: Path
) -> None:
    reference = registry.push(layout, "app")
    old = images.pull(reference)
    registry.push(Image((Layer().file("new", "").finish(),)).write_layout(tmp_path / "new"), "app")
    new = images.pull(reference)
    assert new.id != old.id
    assert images.get(reference).id == new.id
    assert images.get(old.id[:19]).references == ()


def test_pull_artifact_that_is_no_image_is_unsupported(registry: Registry, images: ImageStore) -> None:
    for data in (b"{}",):
        _put_blob(registry, "art", data)
    descriptor = {
        "mediaType": "application/vnd.oci.empty.v1+json",
        "digest": str(Digest.of(b"{}")),
        "size": 2,
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": MediaType.MANIFEST,
        "config": descriptor,
        "layers": [descriptor],
    }
    argv = ["curl", "-sSf", "-X", "PUT", "-H", f"Content-Type: {MediaType.MANIFEST}", "--data-binary", "@-"]
    url = f"{registry.url}/v2/art/manifests/latest"
    subprocess.run([*argv, url], input=json.dumps(manifest).encode(), check=True)
    with pytest.raises(Unsupported, match="not an image that can run"):
        images.pull(registry.reference("art"))


def _put_blob(registry: Registry, repository: str, data: bytes) -> None:
    start = ["curl", "-sSf", "-X", "POST", "-o", os.devnull, "-w", "%header{location}"]
    url = f"{registry.url}/v2/{repository}/blobs/uploads/"
    location = subprocess.run([*start, url], check=True, capture_output=True, text=True).stdout
    put = ["curl", "-sSf", "-X", "PUT", "-H", "Content-Type: application/octet-stream", "--data-binary", "@-"]
    subprocess.run([*put, f"{location}&digest={Digest.of(data)}"], input=data, check=True)
