"""Layers that a registry may not keep: pulled, left where they are, fetched later, and repaired."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from containerlib.errors import NotFound
from containerlib.images import ImageStore
from containerlib.spec.descriptor import MediaType
from containerlib.spec.image import Manifest
from containerlib.store import Store
from rig.fake_registry import FakeRegistry
from rig.images import Image, Layer, architecture, digest_of, encode
from rig.mock_server import MockServer

pytestmark = pytest.mark.privileged("CAP_CHOWN, CAP_MKNOD, CAP_SYS_ADMIN: unpacks layers as they are")

OWN = Image((Layer().file("which", "own").finish(),))
ADDRESS = "https://layers.example/base"


@pytest.fixture
def other(tmp_path: Path) -> Iterator[ImageStore]:
    """A store elsewhere."""
    store = Store(tmp_path / "other")
    yield ImageStore(tmp_path / "other", store)
    store.close()


def blobs(root: Path) -> set[str]:
    return {f"sha256:{path.name}" for path in (root / "content/blobs/sha256").iterdir()}


def foreign_image(machine: str) -> tuple[bytes, bytes, dict[str, bytes]]:
    """A manifest whose only layer is elsewhere, that layer, and what the registry has of it."""
    layer = Layer().file("which", machine).finish()
    config = Image((layer,), machine=machine).configuration
    named = {"mediaType": MediaType.LAYER_FOREIGN_GZIP.removesuffix("+gzip"), "digest": digest_of(layer)}
    manifest = encode(
        {
            "schemaVersion": 2,
            "mediaType": MediaType.MANIFEST,
            "config": {"mediaType": MediaType.CONFIG, "digest": digest_of(config), "size": len(config)},
            "layers": [{**named, "size": len(layer), "urls": [ADDRESS]}],
        }
    )
    return manifest, layer, {digest_of(config): config}


class Elsewhere:
    """A registry with an index of an image of this machine and one of another, whose layer is at ADDRESS."""

    def __init__(self, root: Path, *, own: bool) -> None:
        """`own`: this machine's has such a layer, and there is no other."""
        self.registry = FakeRegistry()
        manifest, self.layer, there = foreign_image(architecture() if own else "s390x")
        machine = architecture() if own else "s390x"
        entries = [
            {
                "mediaType": MediaType.MANIFEST,
                "digest": digest_of(manifest),
                "size": len(manifest),
                "platform": {"os": "linux", "architecture": machine},
            }
        ]
        documents = [(MediaType.MANIFEST, manifest)]
        if not own:
            ours, blobs = OWN.blobs()
            entries.append({**ours.descriptor, "platform": {"os": "linux", "architecture": architecture()}})
            documents.append((ours.media_type, ours.data))
            there |= {blob.digest: blob.data for blob in blobs}
        self.index = encode({"schemaVersion": 2, "mediaType": MediaType.INDEX, "manifests": entries})
        named = {digest_of(data): (kind, data) for kind, data in documents}
        self.registry.manifests["app"] = {**named, "latest": (MediaType.INDEX, self.index)}
        self.registry.blobs["app"] = there
        self.registry.fault = lambda request: (
            httpx.Response(200, content=self.layer) if request.url.host == "layers.example" else None
        )
        self.store = Store(root)
        self.server = MockServer(self.registry)
        self.images = ImageStore(root, self.store, transport=self.server.transport)

    @property
    def was_asked(self) -> bool:
        return "layers.example" in {request.url.host for request in self.server.requests}


def test_pull_of_a_foreign_layer_is_refused_by_name_unless_it_is_allowed(root: Path) -> None:
    place = Elsewhere(root, own=True)
    with pytest.raises(NotFound, match=f"{ADDRESS}: allow that with foreign_layers=True"):
        place.images.pull("registry.example/app")
    assert not place.was_asked
    record = place.images.pull("registry.example/app", foreign_layers=True)
    assert place.was_asked
    place.images.push([record.id], "registry.example/pushed")
    pushed = Manifest.from_bytes(place.registry.manifests["pushed"]["latest"][1])
    assert pushed.layers[0].urls == (ADDRESS,)
    assert set(place.registry.blobs["pushed"]) == {record.id}
    place.store.close()


@pytest.mark.parametrize("allowed", [False, True])
def test_foreign_layer_of_another_platform_stays_where_it_is_unless_it_is_allowed(
    root: Path, other: ImageStore, tmp_path: Path, allowed: bool
) -> None:
    place = Elsewhere(root, own=False)
    record = place.images.pull("registry.example/app", all_platforms=True, foreign_layers=allowed)
    assert place.was_asked is allowed
    assert (digest_of(place.layer) in blobs(root)) is allowed
    assert place.images.push([record.id], "registry.example/pushed") == digest_of(place.index)
    assert digest_of(place.layer) not in place.registry.blobs["pushed"]
    place.images.save([record.id], str(tmp_path / "saved"))
    other.load(tmp_path / "saved")
    assert blobs(tmp_path / "other") == blobs(root)
    place.store.close()


# ---- the face ----


def test_pull_that_allows_foreign_layers_fetches_what_an_earlier_one_left(root: Path) -> None:
    place = Elsewhere(root, own=False)
    place.images.pull("registry.example/app", all_platforms=True)
    left = blobs(root)
    place.server.requests.clear()
    place.images.pull("registry.example/app", all_platforms=True, foreign_layers=True)
    assert blobs(root) == {*left, digest_of(place.layer)}
    place.server.requests.clear()
    place.images.pull("registry.example/app", all_platforms=True, foreign_layers=True)
    place.images.pull("registry.example/app", all_platforms=True)
    assert {path.rpartition("/")[2] for _, _, path in place.server.seen()} == {"latest"}
    place.images.prune()
    assert digest_of(place.layer) in blobs(root)
    place.store.close()


def test_verify_repairs_a_foreign_layer_where_that_is_allowed(root: Path) -> None:
    place = Elsewhere(root, own=True)
    place.images.pull("registry.example/app", foreign_layers=True)
    path = root / "content/blobs/sha256" / digest_of(place.layer).removeprefix("sha256:")
    path.write_bytes(b"rot")
    (failure,) = place.images.verify(repair=True).failures
    assert f"{ADDRESS}: allow that with foreign_layers=True" in failure
    assert place.images.verify(repair=True, foreign_layers=True).is_whole
    assert path.read_bytes() == place.layer
    place.store.close()
