"""All platforms of an index: pulled, kept, found damaged, saved, pushed on and removed as one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import containerlib as cl
from containerlib.errors import InvalidArgument, NotFound, Unsupported
from containerlib.images import ImageStore
from containerlib.spec.descriptor import MediaType
from containerlib.spec.image import Index
from containerlib.store import Store
from rig.fake_registry import FakeRegistry
from rig.fault_proxy import FaultProxy
from rig.images import Image, Layer, ManyPlatforms, architecture, digest_of, encode
from rig.mock_server import MockServer
from rig.registry import Registry
from rig.scripted_server import Answer, Request, ScriptedServer

pytestmark = pytest.mark.privileged("CAP_CHOWN, CAP_MKNOD, CAP_SYS_ADMIN: unpacks layers as they are")

OWN = Image((Layer().file("which", "own").finish(),))
OTHER = Image((Layer().file("which", "other").finish(),), machine="s390x")
MULTI = ManyPlatforms((OTHER, OWN))
INDEX, BELOW = MULTI.blobs()
ALL = {blob.digest for blob in (INDEX, *BELOW)}


@pytest.fixture
def reference(registry: Registry, tmp_path: Path) -> str:
    """The index, as skopeo pushed it."""
    return registry.push(MULTI.write_layout(tmp_path / "layout"), "multi", "1", "--all")


@pytest.fixture
def other(tmp_path: Path) -> Iterator[ImageStore]:
    """A store elsewhere."""
    store = Store(tmp_path / "other")
    yield ImageStore(tmp_path / "other", store)
    store.close()


def blobs(root: Path) -> set[str]:
    return {f"sha256:{path.name}" for path in (root / "content/blobs/sha256").iterdir()}


def there(registry: Registry, name: str) -> bytes:
    with cl.Registry(registry.address) as client:
        return client.manifest(name).data


# ---- pull and push ----


def test_pull_of_all_platforms_keeps_all_and_unpacks_this_machines(
    registry: Registry, reference: str, images: ImageStore, root: Path
) -> None:
    record = images.pull(reference, all_platforms=True)
    assert record.id == OWN.blobs()[1][0].digest
    assert record.config.platform.architecture == architecture()
    assert blobs(root) == ALL
    assert len(list((root / "snapshots").iterdir())) == 1
    assert images.push([record.id], registry.reference("elsewhere", "1")) == INDEX.digest
    assert there(registry, "elsewhere:1") == INDEX.data
    assert images.push([reference], registry.reference("elsewhere", "by-name")) == INDEX.digest


def test_pull_of_all_platforms_unpacks_the_one_that_is_asked_for(reference: str, images: ImageStore) -> None:
    record = images.pull(reference, platform="linux/s390x", all_platforms=True)
    assert record.id == OTHER.blobs()[1][0].digest
    with pytest.raises(NotFound, match="linux/arm/v7; there is"):
        images.pull(reference, platform="linux/arm/v7", all_platforms=True)


def test_pull_for_one_platform_is_pushed_as_its_manifest(
    registry: Registry, reference: str, images: ImageStore, root: Path
) -> None:
    record = images.pull(reference)
    assert images.push([record.id], registry.reference("one", "1")) == OWN.blobs()[0].digest
    assert len(blobs(root)) == 3


def test_second_pull_of_all_platforms_is_one_request(reference: str, images: ImageStore) -> None:
    address, _, name = reference.partition("/")
    with FaultProxy(address) as proxy:
        through = f"{proxy.address}/{name}"
        images.pull(through)
        first = images.pull(through, all_platforms=True)
        proxy.requests.clear()
        assert images.pull(through, all_platforms=True) == first
        assert images.pull(through) == first
        assert [r.method for r in proxy.requests] == ["HEAD", "HEAD"]


def test_pull_of_all_platforms_after_that_of_one_fetches_the_others(
    reference: str, images: ImageStore, root: Path
) -> None:
    record = images.pull(reference)
    assert blobs(root) < ALL
    assert images.pull(reference, all_platforms=True).id == record.id
    assert blobs(root) == ALL


def test_pull_of_all_platforms_fetches_what_of_them_is_gone(
    reference: str, images: ImageStore, root: Path
) -> None:
    images.pull(reference, all_platforms=True)
    gone = OTHER.blobs()[1][1].digest
    (root / "content/blobs/sha256" / gone.removeprefix("sha256:")).unlink()
    images.pull(reference, all_platforms=True)
    assert blobs(root) == ALL


def test_index_stays_whole_when_one_platform_of_it_is_pulled_by_another_name(
    registry: Registry, reference: str, images: ImageStore, root: Path, tmp_path: Path
) -> None:
    again = registry.push(MULTI.write_layout(tmp_path / "again"), "multi", "2", "--all")
    images.pull(reference, all_platforms=True)
    record = images.pull(again)
    images.prune()
    assert blobs(root) == ALL
    assert images.push([record.id], registry.reference("elsewhere")) == INDEX.digest


def test_pull_of_all_platforms_of_what_is_no_index_is_the_image(
    registry: Registry, images: ImageStore, tmp_path: Path
) -> None:
    reference = registry.push(OWN.write_layout(tmp_path / "one"), "one")
    record = images.pull(reference, all_platforms=True)
    assert images.pull(reference, all_platforms=True) == record
    assert images.push([record.id], registry.reference("again")) == OWN.blobs()[0].digest


# ---- what is in no index ----


def test_pull_of_a_lone_image_for_a_platform_that_it_is_not_for_is_not_found(
    registry: Registry, images: ImageStore, root: Path, tmp_path: Path
) -> None:
    reference = registry.push(OTHER.write_layout(tmp_path / "lone"), "lone")
    with FaultProxy(reference.partition("/")[0]) as proxy:
        through = reference.replace(reference.partition("/")[0], proxy.address)
        with pytest.raises(NotFound, match="lone:latest has no image for linux/arm64; there is: linux/s390x"):
            images.pull(through, platform="linux/arm64")
        fetched = [request.path for request in proxy.requests if "/blobs/" in request.path]
    assert len(fetched) == 1, "its config, and no layer"
    assert images.list() == []
    assert blobs(root) == set()


def test_pull_of_a_lone_image_without_a_platform_takes_what_there_is(
    registry: Registry, images: ImageStore, tmp_path: Path
) -> None:
    reference = registry.push(OTHER.write_layout(tmp_path / "lone"), "lone")
    record = images.pull(reference)
    assert record.config.platform.architecture == "s390x"
    assert images.pull(reference, platform="linux/s390x") == record
    with pytest.raises(NotFound, match="linux/s390x"):
        images.pull(reference, platform="linux/arm64")
    assert images.get(reference) == record


def test_load_for_a_platform_takes_what_its_config_says_to_be_for_it(
    images: ImageStore, other: ImageStore, tmp_path: Path
) -> None:
    """No manifest of what we save says a platform, nor does one of docker's: the configs do."""
    theirs, own = OTHER.write_docker_archive(tmp_path / "a.tar", tag="a:1"), tmp_path / "b.tar"
    ids = [images.load(path)[0].id for path in (theirs, OWN.write_docker_archive(own, tag="b:1"))]
    images.save(ids, str(tmp_path / "both"))
    for source in (theirs, tmp_path / "both"):
        (found,) = other.load(source, platform="linux/s390x")
        assert found.id == ids[0]
        with pytest.raises(NotFound, match=r"no image for linux/arm/v7 in '.*'; there is: .*linux/s390x"):
            other.load(source, platform="linux/arm/v7")
    assert len(other.load(tmp_path / "both")) == 2


def test_load_of_a_layout_for_another_platform_says_what_there_is(images: ImageStore, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"there is: linux/s390x$"):
        images.load(OTHER.write_layout(tmp_path / "lone"))


def test_manifest_that_an_index_names_by_sha512_is_pushed_under_that(root: Path) -> None:
    fake, store = FakeRegistry(), Store(root)
    entries, manifests = [], {}
    for image in (OTHER, OWN):
        manifest = image.blobs()[0]
        name, machine = digest_of(manifest.data, "sha512"), image.machine or architecture()
        platform = {"os": "linux", "architecture": machine}
        entries.append({**manifest.descriptor, "digest": name, "platform": platform})
        manifests[name] = (manifest.media_type, manifest.data)
    index = encode({"schemaVersion": 2, "mediaType": MediaType.INDEX, "manifests": entries})
    fake.manifests["multi"] = {**manifests, "latest": (MediaType.INDEX, index)}
    fake.blobs["multi"] = {blob.digest: blob.data for blob in BELOW}
    mocked = ImageStore(root, store, transport=MockServer(fake).transport)
    record = mocked.pull("registry.example/multi", all_platforms=True)
    assert mocked.push([record.id], "registry.example/pushed") == digest_of(index)
    assert set(manifests) < set(fake.manifests["pushed"])
    assert mocked.verify().is_whole
    store.close()


def test_manifests_of_many_platforms_are_fetched_several_at_once_and_not_all(root: Path) -> None:
    many = ManyPlatforms(
        (OWN, *(Image((Layer().file("n", str(i)).finish(),), machine=f"m{i}") for i in range(20)))
    )
    top, below = many.blobs()
    fake, store = FakeRegistry(), Store(root)
    fake.manifests["many"] = {blob.digest: (blob.media_type, blob.data) for blob in below}
    fake.manifests["many"]["latest"] = (top.media_type, top.data)
    fake.blobs["many"] = {blob.digest: blob.data for blob in below}
    inside = Inside(at_least=3)
    fake.fault = lambda request: inside() if "/manifests/sha256:" in request.url.path else None
    mocked = ImageStore(root, store, transport=MockServer(fake).transport)
    mocked.pull("registry.example/many", all_platforms=True)
    assert 3 <= inside.most <= 6
    assert blobs(root) == {blob.digest for blob in (top, *below)}
    store.close()


def test_pull_of_many_platforms_of_which_one_is_gone_does_not_wait_for_the_others(root: Path) -> None:
    many = ManyPlatforms(
        (OWN, *(Image((Layer().file("n", str(i)).finish(),), machine=f"m{i}") for i in range(3)))
    )
    top, below = many.blobs()
    documents = {blob.digest: blob for blob in (top, *below)}
    gone, *others = [image.blobs()[0].digest for image in many.images[1:]]
    hold, served, waiting = threading.Event(), [], threading.Semaphore(0)

    class Index(ScriptedServer):
        def answer(self, request: Request) -> Answer:
            name = request.path.rpartition("/")[2]
            if name in others:
                waiting.release()
                served.append(hold.wait(20))
            if name == gone:
                assert all(waiting.acquire(timeout=20) for _ in others)
                return Answer(404)
            blob = documents.get(name, top)
            return Answer(200, blob.data, {"Content-Type": blob.media_type})

    store = Store(root)
    with Index() as server:
        with pytest.raises(NotFound, match=gone):
            ImageStore(root, store).pull(f"{server.address}/many", all_platforms=True)
        assert not served
        hold.set()
    store.close()


class Inside:
    """Counts who is in it at the same time, and holds the first until `at_least` are."""

    def __init__(self, at_least: int) -> None:
        self._met = threading.Barrier(at_least, timeout=10.0)
        self._lock = threading.Lock()
        self._now = self._ever = self.most = 0

    def __call__(self) -> None:
        with self._lock:
            self._now += 1
            self._ever += 1
            self.most = max(self.most, self._now)
            waits = 1 < self._ever <= 1 + self._met.parties  # the first is the one that is unpacked
        if waits:
            self._met.wait()
        with self._lock:
            self._now -= 1


def test_index_in_an_index_is_pulled_and_pushed_whole(
    registry: Registry, reference: str, images: ImageStore, root: Path
) -> None:
    with cl.Registry(registry.address) as client:
        inner = client.manifest("multi:1").parse()
        assert isinstance(inner, Index)
        outer = client.push_manifest("multi", Index((inner.descriptor(),)), tag="nested")
    record = images.pull(registry.reference("multi", "nested"), all_platforms=True)
    assert record.id == OWN.blobs()[1][0].digest
    assert blobs(root) == {*ALL, str(outer.digest)}
    assert images.push([record.id], registry.reference("elsewhere")) == str(outer.digest)
    assert there(registry, f"elsewhere@{INDEX.digest}") == INDEX.data


def test_index_that_lacks_a_platform_is_not_pulled_whole(images: ImageStore, root: Path) -> None:
    fake = FakeRegistry()
    fake.manifests["multi"] = {"latest": (INDEX.media_type, INDEX.data)}
    fake.blobs["multi"] = {blob.digest: blob.data for blob in BELOW}
    own = OWN.blobs()[0]
    fake.manifests["multi"][own.digest] = (own.media_type, own.data)
    store = Store(root)
    mocked = ImageStore(root, store, transport=MockServer(fake).transport)
    with pytest.raises(NotFound, match=OTHER.blobs()[0].digest):
        mocked.pull("registry.example/multi", all_platforms=True)
    assert blobs(root) == set()
    assert mocked.pull("registry.example/multi").references == ("registry.example/multi:latest",)
    store.close()


def test_index_is_not_pushed_in_another_form_nor_in_an_index_of_ours(
    registry: Registry, reference: str, images: ImageStore
) -> None:
    own = images.pull(reference, all_platforms=True)
    with pytest.raises(Unsupported, match="pull it for one platform"):
        images.push([own.id], registry.reference("docker"), manifest_format="docker")
    theirs = images.pull(reference, platform="linux/s390x")
    images.push([own.id, theirs.id], registry.reference("made"))
    made = Index.from_bytes(there(registry, "made:latest"))
    assert [str(entry.digest) for entry in made.manifests] == [
        image.blobs()[0].digest for image in (OWN, OTHER)
    ]


# ---- care ----


def test_index_is_kept_from_collection_and_removed_whole(
    reference: str, images: ImageStore, root: Path
) -> None:
    images.pull(reference, all_platforms=True)
    images.prune()
    assert blobs(root) == ALL
    images.remove(reference)
    assert blobs(root) == set()
    assert list((root / "snapshots").iterdir()) == []


@pytest.mark.parametrize("which", range(7))
def test_verify_repairs_any_blob_of_any_platform(
    reference: str, images: ImageStore, root: Path, which: int
) -> None:
    images.pull(reference, all_platforms=True)
    blob = (INDEX, *BELOW)[which]
    path = root / "content/blobs/sha256" / blob.digest.removeprefix("sha256:")
    path.write_bytes(b"rot")
    (damage,) = images.verify().damaged
    assert damage.digest == blob.digest
    assert images.verify(repair=True).is_whole
    assert path.read_bytes() == blob.data


def test_verify_repairs_an_index_of_which_nothing_is_left(
    reference: str, images: ImageStore, root: Path
) -> None:
    images.pull(reference, all_platforms=True)
    for path in (root / "content/blobs/sha256").iterdir():
        path.unlink()
    report = images.verify(repair=True)
    assert (report.checked, report.is_whole, report.failures) == (7 + 1, True, ())
    assert blobs(root) == ALL


def test_names_of_one_image_stand_for_the_index_of_each(
    registry: Registry, reference: str, images: ImageStore, root: Path, tmp_path: Path
) -> None:
    """As when only the other platform's image was made anew."""
    newer = ManyPlatforms((Image((Layer().file("which", "newer").finish(),), machine="s390x"), OWN))
    again = registry.push(newer.write_layout(tmp_path / "newer"), "multi", "2", "--all")
    both = ALL | {blob.digest for blob in (newer.blobs()[0], *newer.blobs()[1])}
    record = images.pull(reference, all_platforms=True)
    assert images.pull(again, all_platforms=True).id == record.id
    images.tag(reference, registry.reference("mine"))
    images.prune()
    assert blobs(root) == both
    assert images.verify().checked == len(both) + 1
    pushed = {name: images.push([name], registry.reference("elsewhere")) for name in (reference, again)}
    assert pushed == {reference: INDEX.digest, again: newer.blobs()[0].digest}
    assert images.push([registry.reference("mine")], registry.reference("elsewhere")) == INDEX.digest
    assert images.push([record.id], registry.reference("elsewhere")) == newer.blobs()[0].digest
    with (tmp_path / "archive").open("wb") as file:
        images.save([record.id], file)
    images.remove(reference)
    images.remove(registry.reference("mine"))
    assert blobs(root) == both - (ALL - {blob.digest for blob in newer.blobs()[1]})
    images.remove(record.id)
    images.load(tmp_path / "archive")
    assert blobs(root) == both
    again_pushed = {name: images.push([name], registry.reference("elsewhere")) for name in pushed}
    assert again_pushed == pushed


# ---- archives ----


def test_saved_index_is_loaded_whole(
    registry: Registry, reference: str, images: ImageStore, other: ImageStore, tmp_path: Path
) -> None:
    record = images.pull(reference, all_platforms=True)
    images.save([record.id], str(tmp_path / "layout-saved"))
    with (tmp_path / "archive").open("wb") as file:
        images.save([record.id], file)
    for path in (tmp_path / "layout-saved", tmp_path / "archive"):
        (loaded,) = other.load(path)
        assert (loaded.id, loaded.references) == (record.id, record.references)
        assert blobs(tmp_path / "other") == ALL
        assert other.push([loaded.id], registry.reference("elsewhere")) == INDEX.digest
        other.remove(loaded.id)
        assert blobs(tmp_path / "other") == set()


def test_layout_that_lacks_a_platform_is_loaded_as_the_image(
    registry: Registry, images: ImageStore, tmp_path: Path
) -> None:
    layout = MULTI.write_layout(tmp_path / "layout")
    (layout / "blobs/sha256" / OTHER.blobs()[1][1].digest.removeprefix("sha256:")).unlink()
    (loaded,) = images.load(layout)
    assert images.push([loaded.id], registry.reference("app")) == OWN.blobs()[0].digest


def test_pull_of_all_platforms_by_the_face(registry: Registry, reference: str, engine: cl.Engine) -> None:
    image = engine.image(reference).pull(all_platforms=True)
    assert image.push(registry.reference("face")) == INDEX.digest
    with pytest.raises(InvalidArgument):
        engine.image(reference).pull(all_platforms="yes")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument):
        engine.image(reference).pull(foreign_layers=1)  # type: ignore[arg-type]


def test_manifest_by_sha512_at_a_registry_that_knows_none_is_unsupported(
    registry: Registry, reference: str
) -> None:
    with cl.Registry(registry.address) as client:
        manifest = client.manifest(f"multi@{OWN.blobs()[0].digest}").parse()
        with pytest.raises(Unsupported, match="takes no manifest by its sha512"):
            client.push_manifest("multi", manifest, digest=digest_of(manifest.to_bytes(), "sha512"))
        with pytest.raises(InvalidArgument, match="has to be that of the manifest"):
            client.push_manifest("multi", manifest, digest=digest_of(b"other", "sha512"))
