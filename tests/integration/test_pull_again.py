"""A second pull: one request where nothing has changed, and all that is needed where something has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from containerlib.images import ImageRecord, ImageStore, Progress
from containerlib.spec.platform import Platform
from rig.fault_proxy import FaultProxy
from rig.images import Image, Layer
from rig.registry import Registry
from rig.scripted_registry import ScriptedRegistry
from rig.snapshotters import EACH

pytestmark = [
    *EACH,
    pytest.mark.privileged("CAP_CHOWN, CAP_MKNOD, CAP_SYS_ADMIN: unpacks layers as they are"),
]

NEWER = Image((Layer().file("data", "new").finish(),), {"Cmd": ["/app"]})
IMAGE = Image((Layer().file("data", os.urandom(5000)).finish(),), {"Cmd": ["/app"]})


@pytest.fixture
def scripted() -> Iterator[ScriptedRegistry]:
    with ScriptedRegistry(IMAGE) as scripted:
        yield scripted


def pull(images: ImageStore, scripted: ScriptedRegistry, **options: str) -> tuple[ImageRecord, list[str]]:
    """The image, and what was asked for."""
    scripted.requests.clear()
    record = images.pull(scripted.reference, **options)
    return record, [f"{r.method} {r.path.partition('/v2/app/')[2]}" for r in scripted.requests]


def test_second_pull_of_an_unchanged_tag_is_one_request(
    scripted: ScriptedRegistry, images: ImageStore
) -> None:
    first, _ = pull(images, scripted)
    steps: list[Progress] = []
    scripted.requests.clear()
    second = images.pull(scripted.reference, progress=steps.append)
    assert [(r.method, r.path) for r in scripted.requests] == [("HEAD", "/v2/app/manifests/latest")]
    assert second == first
    assert [step.phase for step in steps] == ["done"]


def test_second_pull_by_digest_is_no_request(scripted: ScriptedRegistry, images: ImageStore) -> None:
    reference = f"{scripted.address}/app@{scripted.manifest.digest}"
    first = images.pull(reference)
    scripted.requests.clear()
    assert images.pull(reference) == first
    assert not scripted.requests


def test_second_pull_of_a_tag_that_has_moved_fetches_what_is_new(
    scripted: ScriptedRegistry, images: ImageStore
) -> None:
    first, _ = pull(images, scripted)
    manifest, blobs = NEWER.blobs()
    scripted.manifest = manifest
    scripted.blobs.update({blob.digest: blob.data for blob in blobs})
    second, asked = pull(images, scripted)
    assert second.id != first.id
    assert asked[:2] == ["HEAD manifests/latest", "GET manifests/latest"]
    assert pull(images, scripted)[1] == ["HEAD manifests/latest"]


def test_second_pull_for_another_platform_looks_again(scripted: ScriptedRegistry, images: ImageStore) -> None:
    pull(images, scripted)
    assert pull(images, scripted, platform=str(Platform.host()))[1] == [
        "HEAD manifests/latest",
        "GET manifests/latest",
    ]


def test_second_pull_of_a_name_that_was_given_here_looks_again(
    scripted: ScriptedRegistry, images: ImageStore
) -> None:
    record, _ = pull(images, scripted)
    images.tag(record.id, scripted.reference)
    assert pull(images, scripted)[1] == ["GET manifests/latest"]


def test_second_pull_of_an_image_with_something_gone_fetches_it(
    scripted: ScriptedRegistry, images: ImageStore, root: Path
) -> None:
    record, _ = pull(images, scripted)
    algorithm, _, name = scripted.layers[0].partition(":")
    Path(root, "content/blobs", algorithm, name).unlink()
    again, asked = pull(images, scripted)
    assert again == record
    assert f"GET blobs/{scripted.layers[0]}" in asked


def test_second_pull_from_docker_registry_is_one_request(
    registry: Registry, images: ImageStore, tmp_path: Path
) -> None:
    registry.push(IMAGE.write_layout(tmp_path / "layout"), "app")
    with FaultProxy(registry.address) as proxy:
        first = images.pull(f"{proxy.address}/app")
        proxy.requests.clear()
        assert images.pull(f"{proxy.address}/app") == first
        assert [(r.method, r.path) for r in proxy.requests] == [("HEAD", "/v2/app/manifests/latest")]
