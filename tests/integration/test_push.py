"""Push to a real registry: what arrives, what is not sent, and what a kill leaves."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import httpx
import pytest

import containerlib as cl
from containerlib.errors import InvalidArgument, NotFound, Unauthorized, Unavailable
from containerlib.images import ImageStore, Progress
from containerlib.images.registry.client import Registry as Client
from containerlib.spec.image import Index, MediaType, parse_manifest
from containerlib.spec.reference import Reference
from containerlib.store import Store
from rig.fault_proxy import FaultProxy
from rig.images import Image, Layer
from rig.registry import Registry
from rig.scripted_server import Answer, Request

pytestmark = pytest.mark.privileged("CAP_CHOWN, CAP_MKNOD, CAP_SYS_ADMIN: unpacks layers as they are")

BOTTOM = Layer().file("data", os.urandom(300_000)).finish()
TOP = Layer().file("app", "#!/bin/sh\n", 0o755).finish()
IMAGE = Image((BOTTOM, TOP), {"Cmd": ["/app"]})


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return IMAGE.write_layout(tmp_path_factory.mktemp("layout") / "image")


class Watched(httpx.HTTPTransport):
    """The network, with the requests that went through it."""

    def __init__(self) -> None:
        super().__init__(limits=httpx.Limits(max_connections=8))
        self.methods: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.methods.append(request.method)
        return super().handle_request(request)


def test_push_gives_the_image_that_was_loaded(
    registry: Registry, images: ImageStore, layout: Path, root: Path, tmp_path: Path
) -> None:
    (record,) = images.load(layout)
    steps: list[Progress] = []
    reference = registry.reference("pushed", "1")
    digest = images.push([record.id], reference, progress=steps.append)
    assert digest == IMAGE.blobs()[0].digest
    assert registry.tags("pushed") == ["1"]
    other = Store(tmp_path / "other")
    pulled = ImageStore(tmp_path / "other", other).pull(reference)
    other.close()
    assert pulled.id == record.id
    uploads = {step.digest: step for step in steps if step.phase == "upload"}
    assert uploads.keys() == {blob.digest for blob in IMAGE.blobs()[1]}
    assert all(step.current == step.total for step in uploads.values())
    assert steps[-1] == Progress("done", digest, 0, 0)
    assert list((root / "leases").iterdir()) == []


def test_push_of_what_is_there_costs_one_request_each(registry: Registry, layout: Path, root: Path) -> None:
    store = Store(root)
    watched = Watched()
    images = ImageStore(root, store, transport=watched)
    (record,) = images.load(layout)
    images.push([record.id], registry.reference("app"))
    watched.methods.clear()
    images.push([record.id], registry.reference("app", "again"))
    assert sorted(watched.methods) == ["HEAD", "HEAD", "HEAD", "PUT"]
    images.tag(record.id, registry.reference("app"))
    watched.methods.clear()
    images.push([record.id], registry.reference("other"))
    assert sorted(watched.methods) == ["POST", "POST", "POST", "PUT"]  # mounted, all three
    store.close()
    assert registry.tags("other") == ["latest"]


def test_push_of_several_is_an_index_of_their_platforms(
    registry: Registry, images: ImageStore, tmp_path: Path
) -> None:
    ids = []
    for architecture in ("amd64", "arm64"):
        made = Image((Layer().file("which", architecture).finish(),), machine=architecture)
        (record,) = images.load(made.write_layout(tmp_path / architecture), platform=f"linux/{architecture}")
        ids.append(record.id)
    reference = registry.reference("multi")
    digest = images.push(ids, reference)
    with Client(registry.address) as client:
        data, _ = client.manifest(Reference.parse(reference))
    index = parse_manifest(data)
    assert isinstance(index, Index)
    assert [str(entry.platform) for entry in index.manifests] == ["linux/amd64", "linux/arm64"]
    assert str(index.descriptor().digest) == digest
    for image_id, architecture in zip(ids, ("amd64", "arm64"), strict=True):
        assert images.pull(reference, platform=f"linux/{architecture}").id == image_id
    with pytest.raises(InvalidArgument, match="two of the images"):
        images.push([ids[0], ids[0]], reference)
    images.push(ids, registry.reference("multi", "docker"), manifest_format="docker")
    with Client(registry.address) as client:
        data, media_type = client.manifest("multi:docker")
    assert media_type == MediaType.DOCKER_LIST
    assert {entry.media_type for entry in Index.from_bytes(data).manifests} == {MediaType.DOCKER_MANIFEST}


def test_push_by_the_face(registry: Registry, engine: cl.Engine, layout: Path) -> None:
    (image,) = engine.images.load(layout)
    digest = image.push(registry.reference("face"))
    assert digest == engine.images.push(image, to=registry.reference("face", "2"))
    assert sorted(registry.tags("face")) == ["2", "latest"]
    with pytest.raises(InvalidArgument, match="a tag has none"):
        image.push(f"{registry.address}/face@{digest}")
    with pytest.raises(InvalidArgument):
        engine.images.push(to=registry.reference("face"))
    with pytest.raises(InvalidArgument, match="none of 'oci', 'docker'"):
        image.push(registry.reference("face"), manifest_format="v1")  # type: ignore[arg-type]
    with pytest.raises(NotFound):
        engine.images.push("nowhere:1", to=registry.reference("face"))
    with pytest.raises(Unavailable):
        image.push("127.0.0.1:9/face")


def test_push_goes_on_while_the_image_is_removed(
    registry: Registry, images: ImageStore, layout: Path
) -> None:
    (record,) = images.load(layout)

    def remove(_: Progress) -> None:
        if images.list():
            images.remove(record.id)

    digest = images.push([record.id], registry.reference("app"), progress=remove)
    assert images.list() == []
    assert images.pull(f"{registry.address}/app@{digest}").id == record.id


def test_push_of_which_a_blob_is_refused_does_not_wait_for_the_others(
    registry: Registry, images: ImageStore, layout: Path
) -> None:
    (record,) = images.load(layout)
    hold, served, waiting = threading.Event(), [], threading.Semaphore(0)
    refused, *others = [blob.digest for blob in IMAGE.blobs()[1]]

    def fault(request: Request) -> Answer | None:
        if any(digest in request.path for digest in others):
            waiting.release()
            served.append(hold.wait(20))
        elif refused in request.path:
            assert all(waiting.acquire(timeout=20) for _ in others)
            return Answer(403)
        return None

    with FaultProxy(registry.address) as proxy:
        proxy.fault = fault
        with pytest.raises(Unauthorized):
            images.push([record.id], f"{proxy.address}/app")
        assert not served
        hold.set()


def test_push_that_progress_ends_leaves_no_tag(registry: Registry, images: ImageStore, layout: Path) -> None:
    (record,) = images.load(layout)

    def stop(step: Progress) -> None:
        raise KeyError(step.digest)

    with pytest.raises(KeyError):
        images.push([record.id], registry.reference("app"), progress=stop)
    with Client(registry.address) as client, pytest.raises(NotFound):
        client.tags("app")
    assert images.push([record.id], registry.reference("app"))
