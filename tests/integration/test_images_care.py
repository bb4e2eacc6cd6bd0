"""Looking after the images of a root: prune by age, size and label; verify, and repair from the registry."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import containerlib as cl
from containerlib.images.registry.challenges import basic
from rig.images import Image, Layer, busybox_layer
from rig.registry import Registry
from rig.scripted_registry import Answer, ScriptedRegistry

pytestmark = pytest.mark.privileged("CAP_CHOWN, CAP_MKNOD, CAP_SYS_ADMIN: unpacks layers as they are")

Load = Callable[..., cl.Image]


@pytest.fixture
def load(engine: cl.Engine, tmp_path: Path) -> Load:
    def make(name: str, **labels: str) -> cl.Image:
        image = Image(
            (busybox_layer(), Layer().file("name", name).finish()), {"Labels": labels, "Cmd": ["sh"]}
        )
        (loaded,) = engine.images.load(image.write_layout(tmp_path / name, tag=f"{name}:1"))
        return loaded

    return make


@pytest.fixture
def pulled(engine: cl.Engine, registry: Registry, tmp_path: Path) -> cl.Image:
    image = Image((busybox_layer(), Layer().file("name", "pulled").finish()), {"Cmd": ["cat", "/name"]})
    return engine.image(registry.push(image.write_layout(tmp_path / "layout"), "care")).pull()


def blobs(engine: cl.Engine) -> list[Path]:
    return sorted(Path(engine.root, "content/blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)


def names(engine: cl.Engine) -> list[str]:
    return sorted(
        image.references[0].rpartition("/")[2] for image in engine.images.list() if image.references
    )


def test_images_in_a_notebook_are_a_table(engine: cl.Engine, load: Load) -> None:
    load("one")
    load("two")
    html = engine.images._repr_html_()
    assert html.count("<tr>") == 1 + 2
    assert "docker.io/library/one:1" in html


# ---- prune ----


def test_images_prune_leaves_what_has_a_name(engine: cl.Engine, load: Load) -> None:
    load("one")
    load("two").tag("one:1")
    report = engine.images.prune()
    assert len(report.images) == 1
    assert names(engine) == ["one:1"]


def test_images_prune_of_all_leaves_what_a_container_was_made_from(engine: cl.Engine, load: Load) -> None:
    used, free = load("used"), load("free")
    with engine.container(used).create():
        report = engine.images.prune(named=True)
        assert report.images == (free.id,)
        assert report.reclaimed_bytes > 0
        assert names(engine) == ["used:1"]
    assert engine.container(used).run("cat", "/name").text == "used"


def test_images_prune_by_label_and_age(engine: cl.Engine, load: Load) -> None:
    load("kept")
    mine = load("mine", team="web")
    assert engine.images.prune(named=True, labels={"team": "web"}, older_than=3600.0).images == ()
    assert engine.images.prune(named=True, labels={"team": "web"}).images == (mine.id,)
    assert names(engine) == ["kept:1"]


def test_images_prune_down_to_a_size_takes_the_oldest(engine: cl.Engine, load: Load) -> None:
    old, new = load("old"), load("new")
    assert engine.images.prune(named=True, keep=new.size_bytes + 100).images == (old.id,)
    assert engine.container(new).run("cat", "/name").text == "new"


def test_images_prune_of_a_size_that_is_none_is_refused(engine: cl.Engine) -> None:
    with pytest.raises(cl.InvalidArgument) as caught:
        engine.images.prune(keep="much")
    assert caught.value.field == "keep"
    with pytest.raises(cl.InvalidArgument, match="older_than: -1"):
        engine.images.prune(older_than=-1)
    assert engine.images.prune(older_than=365 * 86400.0).images == ()


# ---- verify ----


def test_verify_of_what_is_in_order_finds_nothing(engine: cl.Engine, pulled: cl.Image) -> None:
    report = engine.images.verify()
    assert (report.checked, report.damaged, report.is_whole) == (4 + 2, (), True)  # blobs and snapshots


@pytest.mark.parametrize("which", range(4))
def test_verify_repairs_any_blob_that_changed(engine: cl.Engine, pulled: cl.Image, which: int) -> None:
    blob = blobs(engine)[which]
    whole = blob.read_bytes()
    blob.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    found = engine.images.verify()
    assert [(damage.digest, damage.kind) for damage in found.damaged] == [(f"sha256:{blob.name}", "changed")]
    assert not found.is_whole
    report = engine.images.verify(repair=True)
    assert (report.repaired, report.failures) == ((f"sha256:{blob.name}",), ())
    assert blob.read_bytes() == whole
    assert engine.images.verify().is_whole


def test_verify_repairs_from_a_registry_that_wants_a_login(engine: cl.Engine) -> None:
    login = cl.BasicAuth("ci", "secret")
    image = Image((busybox_layer(),), {})
    challenge = Answer(401, headers={"WWW-Authenticate": "Basic"})
    with ScriptedRegistry(image) as registry:
        registry.fault = lambda r: None if r.headers.get("Authorization") == basic(login) else challenge
        engine.image(registry.reference).pull(auth=login)
        blobs(engine)[-1].unlink()
        (failure,) = engine.images.verify(repair=True, auth=cl.BasicAuth("ci", "wrong")).failures
        assert "check the credentials of 'ci'" in failure
        assert engine.images.verify(repair=True, auth=login).is_whole


def test_verify_repairs_every_blob_at_once(engine: cl.Engine, pulled: cl.Image) -> None:
    for blob in blobs(engine):
        blob.unlink()
    report = engine.images.verify(repair=True)
    assert {damage.kind for damage in report.damaged} == {"missing"}
    assert report.is_whole
    assert engine.images.verify().damaged == ()
    assert list(Path(engine.root, "content/ingest").iterdir()) == []


def test_verify_of_a_cut_blob_says_so(engine: cl.Engine, pulled: cl.Image) -> None:
    blobs(engine)[-1].write_bytes(b"")
    (damage,) = engine.images.verify().damaged
    assert (damage.kind, damage.images) == ("changed", (pulled.id,))


def test_verify_of_what_was_only_loaded_cannot_be_repaired_and_says_why(
    engine: cl.Engine, busybox_image: Path
) -> None:
    (image,) = engine.images.load(busybox_image)
    assert image.references == ()
    blobs(engine)[-1].unlink()
    report = engine.images.verify(repair=True)
    assert (len(report.damaged), report.repaired, report.is_whole) == (1, (), False)
    assert "load or pull it again" in report.failures[0]


def test_verify_says_which_registry_cannot_be_reached(engine: cl.Engine, tmp_path: Path) -> None:
    image = Image((busybox_layer(),), {}).write_layout(tmp_path / "gone", tag="127.0.0.1:1/gone:1")
    engine.images.load(image)
    blobs(engine)[-1].unlink()
    (failure,) = engine.images.verify(repair=True).failures
    assert "127.0.0.1:1 cannot be reached" in failure


def test_prune_of_a_root_that_cannot_be_read_is_a_stage_error(engine: cl.Engine, load: Load) -> None:
    load("kept")
    snapshots = Path(engine.root, "snapshots")
    snapshots.rename(Path(engine.root, "elsewhere"))
    snapshots.touch()
    with pytest.raises(cl.StageError, match="ENOTDIR"):
        engine.images.prune()
    snapshots.unlink()
    Path(engine.root, "elsewhere").rename(snapshots)


def test_prune_leaves_what_is_no_blob_beside_the_blobs(engine: cl.Engine, load: Load) -> None:
    image = load("kept")
    stranger = Path(engine.root, "content/blobs/.stranger")
    stranger.touch()
    engine.images.prune()
    assert stranger.exists()
    assert engine.container(image).run("cat", "/name").text == "kept"
