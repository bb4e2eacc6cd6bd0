"""An image in which everything is named by SHA-512: config, layers, what they unpack to, and the manifest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import containerlib as cl
from containerlib.images import ImageStore
from containerlib.store import Store
from rig.fake_registry import FakeRegistry
from rig.images import Image, Layer, busybox_layer
from rig.mock_server import MockServer
from rig.scripted_registry import ScriptedRegistry

pytestmark = pytest.mark.privileged(
    "CAP_CHOWN, CAP_MKNOD, CAP_SYS_ADMIN: unpacks layers and makes containers"
)

LAYERS = (busybox_layer(), Layer().file("name", "by sha512").finish())
IMAGE = Image(LAYERS, {"Cmd": ["cat", "/name"]}, algorithm="sha512")
MANIFEST, (CONFIG, *_) = IMAGE.blobs()


@pytest.fixture
def registry() -> Iterator[ScriptedRegistry]:
    with ScriptedRegistry(IMAGE) as registry:
        yield registry


@pytest.mark.parametrize("snapshotter", ["overlay", "erofs", "copy"], indirect=True)
def test_image_of_sha512_is_pulled_run_and_removed(registry: ScriptedRegistry, engine: cl.Engine) -> None:
    image = engine.image(f"{registry.address}/app@{MANIFEST.digest}").pull()
    assert image.id == CONFIG.digest
    assert engine.container(image).run().text == "by sha512"
    assert engine.images.verify().is_whole
    image.remove()
    left = [path for path in Path(engine.root, "content/blobs").rglob("*") if path.is_file()]
    assert [*left, *Path(engine.root, "snapshots").iterdir()] == []


def test_image_of_sha512_is_found_by_its_id_and_the_start_of_it(
    registry: ScriptedRegistry, engine: cl.Engine
) -> None:
    image = engine.image(registry.reference).pull()
    digits = image.id.removeprefix("sha512:")
    for name in (image.id, image.id[:20], digits, digits[:12]):
        assert engine.images.get(name).id == image.id
        assert engine.container(name).run().text == "by sha512"
    with pytest.raises(cl.NotFound):
        engine.images.get(f"sha256:{digits[:12]}")


def test_image_of_sha512_is_verified_and_repaired(registry: ScriptedRegistry, engine: cl.Engine) -> None:
    engine.image(f"{registry.address}/app@{MANIFEST.digest}").pull()
    blobs = sorted(Path(engine.root, "content/blobs/sha512").iterdir())
    assert len(blobs) == 1 + len(IMAGE.layers)
    for blob in blobs:
        blob.write_bytes(b"rot")
    report = engine.images.verify()
    assert {damage.digest for damage in report.damaged if damage.what == "blob"} == {
        f"sha512:{blob.name}" for blob in blobs
    }
    assert engine.images.verify(repair=True).is_whole
    assert engine.images.verify().is_whole


def test_image_of_sha512_is_saved_loaded_and_pushed(tmp_path: Path, engine: cl.Engine, root: Path) -> None:
    (image,) = engine.images.load(IMAGE.write_layout(tmp_path / "layout", tag="app:1"))
    image.save(tmp_path / "saved.tar")
    image.save(tmp_path / "saved", layout=True)
    fake = FakeRegistry()
    store = Store(root)
    other = ImageStore(root, store, transport=MockServer(fake).transport)
    for path in (tmp_path / "saved.tar", tmp_path / "saved"):
        (loaded,) = other.load(path)
        assert (loaded.id, loaded.references) == (image.id, image.references)
        other.push([loaded.id], "registry.example/app")
        assert set(fake.blobs.pop("app")) == {blob.digest for blob in IMAGE.blobs()[1]}
        other.remove(loaded.id)
        assert other.list() == []
    store.close()
