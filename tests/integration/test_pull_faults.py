"""Every way that a pull can go wrong: a typed error that says what to do, nothing left, and a second try works."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from containerlib._sys.trees import tree_size
from containerlib.errors import (
    Error,
    InvalidArgument,
    NotFound,
    RegistryError,
    StageError,
    Unauthorized,
    Unavailable,
    Unsupported,
)
from containerlib.images import ImageRecord, ImageStore, Progress
from containerlib.spec.options import SnapshotterName
from containerlib.store import Store
from rig.images import Blob, Image, Layer
from rig.layers import opened
from rig.scripted_registry import Answer, Request, ScriptedRegistry
from rig.snapshotters import EACH
from rig.threads import at_once

pytestmark = [
    *EACH,
    pytest.mark.privileged("CAP_CHOWN, CAP_MKNOD, CAP_SYS_ADMIN: unpacks layers as they are"),
]

NOISE = os.urandom(600_000)
IMAGE = Image(
    (
        Layer()
        .directory("etc")
        .file("etc/passwd", "root:x:0:0::/root:/bin/sh\n")
        .file("noise", NOISE)
        .finish(),
        Layer().directory("etc").whiteout("etc/passwd").file("etc/group", "root:x:0:\n").finish(),
    ),
    {"Cmd": ["sh"]},
)


@pytest.fixture
def registry() -> Iterator[ScriptedRegistry]:
    with ScriptedRegistry(IMAGE) as registry:
        yield registry


def left_over(root: Path) -> list[str]:
    """Everything in the root beyond what an empty one has."""
    furniture = {"content", "content/blobs", "content/blobs/sha256", "content/index.json", "content/ingest"}
    furniture |= {"content/oci-layout", "leases", "snapshots"}
    names = {str(path.relative_to(root)) for path in root.rglob("*")} - furniture
    return sorted(name for name in names if not name.startswith("containerlib.db"))


def assert_whole(record: ImageRecord) -> None:
    with opened(record.layers[1]) as bottom, opened(record.layers[0]) as top:
        assert (bottom / "noise").read_bytes() == NOISE
        assert (top / "etc/group").read_text() == "root:x:0:\n"
        assert (top / "etc/passwd").is_char_device()


def size_of(layer: Path) -> int:
    """0 where it is gone by now."""
    try:
        return tree_size(str(layer))
    except FileNotFoundError:
        return 0


def always(answer: Answer, which: Callable[[Request], bool]) -> Callable[[Request], Answer | None]:
    return lambda request: answer if which(request) else None


def manifest_with(registry: ScriptedRegistry, **changes: object) -> Answer:
    document = {**json.loads(registry.manifest.data), **changes}
    return Answer(body=json.dumps(document).encode(), headers={"Content-Type": registry.manifest.media_type})


MANIFEST, BLOB = (lambda r: r.is_manifest), (lambda r: r.is_blob)
FAULTS: dict[str, tuple[Callable[[ScriptedRegistry], object], type[Error], str]] = {
    "401": (lambda _: always(Answer(401), MANIFEST), Unauthorized, "auth=BasicAuth"),
    "403": (lambda _: always(Answer(403), BLOB), Unauthorized, "auth=BasicAuth"),
    "404": (lambda _: always(Answer(404), MANIFEST), NotFound, "check the name"),
    "404 blob": (lambda _: always(Answer(404), BLOB), NotFound, "is not in the registry"),
    "429": (
        lambda _: always(Answer(429, headers={"Retry-After": "1"}), MANIFEST),
        RegistryError,
        "wait a while",
    ),
    "500": (lambda _: always(Answer(500), BLOB), RegistryError, "try again later"),
    "418": (lambda _: always(Answer(418), BLOB), RegistryError, "418"),
    "html": (lambda _: always(Answer(body=b"<html>log in</html>"), MANIFEST), RegistryError, "MALFORMED"),
    "bytes": (lambda _: always(Answer(body=b"\xff" * 99), MANIFEST), RegistryError, "MALFORMED"),
    "empty": (lambda _: always(Answer(), MANIFEST), RegistryError, "MALFORMED"),
    "huge": (lambda _: always(Answer(body=b" " * (5 << 20)), MANIFEST), RegistryError, "SIZE_INVALID"),
    "layers": (lambda r: always(manifest_with(r, layers=7), MANIFEST), RegistryError, "MALFORMED"),
    "too few": (lambda r: always(manifest_with(r, layers=[]), MANIFEST), RegistryError, "diff_ids"),
    "artifact": (
        lambda r: always(
            manifest_with(r, config={"mediaType": "text/x", "digest": f"sha256:{'0' * 64}", "size": 2}),
            MANIFEST,
        ),
        Unsupported,
        "not an image",
    ),
    "large config": (
        lambda r: always(
            manifest_with(
                r,
                config={
                    **json.loads(r.manifest.data)["config"],
                    "size": 5 << 20,
                    "digest": f"sha256:{'0' * 64}",
                },
            ),
            MANIFEST,
        ),
        RegistryError,
        "so not a config",
    ),
    "wrong digest": (
        lambda r: always(Answer(body=bytes(len(r.blobs[r.layers[0]]))), lambda q: r.layers[0] in q.path),
        RegistryError,
        "DIGEST_INVALID",
    ),
    "too long": (
        lambda r: always(Answer(body=r.blobs[r.layers[0]] + b"more"), lambda q: r.layers[0] in q.path),
        RegistryError,
        "SIZE_INVALID",
    ),
    "truncated": (
        lambda r: always(Answer(body=r.blobs[r.layers[1]], sent=20), lambda q: r.layers[1] in q.path),
        RegistryError,
        "SIZE_INVALID",
    ),
    "short": (
        lambda r: always(Answer(body=r.blobs[r.layers[1]][:20]), lambda q: r.layers[1] in q.path),
        RegistryError,
        "SIZE_INVALID",
    ),
    "claimed digest": (
        lambda r: always(
            Answer(body=r.manifest.data, headers={"Docker-Content-Digest": "sha256:" + "0" * 64}), MANIFEST
        ),
        RegistryError,
        "DIGEST_INVALID",
    ),
    "redirects": (
        lambda _: always(Answer(307, headers={"Location": "/v2/app/blobs/again"}), BLOB),
        RegistryError,
        "too many redirects",
    ),
    "redirect out": (
        lambda _: always(Answer(307, headers={"Location": "http://192.0.2.1/"}), BLOB),
        RegistryError,
        "not https",
    ),
    "redirect to a file": (
        lambda _: always(Answer(307, headers={"Location": "file:///etc/passwd"}), BLOB),
        RegistryError,
        "not https",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_pull_fault_is_typed_leaves_nothing_and_can_be_repeated(
    name: str, registry: ScriptedRegistry, images: ImageStore, root: Path
) -> None:
    fault, kind, advice = FAULTS[name]
    registry.fault = fault(registry)  # type: ignore[assignment]
    with pytest.raises(kind) as caught:
        images.pull(registry.reference)
    assert type(caught.value) is kind
    assert advice in str(caught.value)
    assert left_over(root) == []
    assert images.list() == []
    registry.fault = lambda _: None
    assert_whole(images.pull(registry.reference))


@pytest.fixture
def mirror(
    registry: ScriptedRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ScriptedRegistry]:
    """A mirror of the registry, with the same image, that registries.conf names."""
    with ScriptedRegistry(IMAGE) as mirror:
        conf = (
            f'[[registry]]\nlocation="{registry.address}"\n[[registry.mirror]]\nlocation="{mirror.address}"\n'
        )
        (tmp_path / "registries.conf").write_text(conf)
        monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(tmp_path / "registries.conf"))
        yield mirror


@pytest.mark.parametrize("wrong", ["bytes", "config", "one bit"])
def test_pull_of_blobs_that_are_others_at_a_mirror_goes_on_at_the_registry(
    wrong: str, registry: ScriptedRegistry, mirror: ScriptedRegistry, images: ImageStore, root: Path
) -> None:
    """Noise, and a gzip stream of the right files whose digest is another: a bit of its header differs."""
    names = set(mirror.blobs) - set(mirror.layers) if wrong == "config" else set(mirror.layers)
    for name in names:
        data = mirror.blobs[name]
        mirror.blobs[name] = data[:4] + b"\1" + data[5:] if wrong == "one bit" else bytes(len(data))
    assert_whole(images.pull(registry.reference))
    assert {request.path.partition("?")[0].rpartition("/")[2] for request in registry.requests} == names
    assert images.verify().is_whole
    assert [name for name in left_over(root) if "tmp-" in name] == []


def test_pull_registry_that_is_not_there_is_unavailable(images: ImageStore, root: Path) -> None:
    with pytest.raises(Unavailable, match="cannot be reached"):
        images.pull("127.0.0.1:1/app")
    assert left_over(root) == []


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_pull_trouble_that_passes_is_tried_again(
    status: int, registry: ScriptedRegistry, images: ImageStore
) -> None:
    registry.fault = lambda _: Answer(status) if len(registry.requests) % 2 else None
    assert_whole(images.pull(registry.reference))


def test_pull_fetches_layers_at_once(registry: ScriptedRegistry, images: ImageStore) -> None:
    """Neither is served before both have been asked for."""
    met = threading.Barrier(2, timeout=20.0)

    def meet(request: Request) -> None:
        if any(layer in request.path for layer in registry.layers):
            met.wait()

    registry.fault = meet
    assert_whole(images.pull(registry.reference))


def test_pull_broken_connection_goes_on_where_it_was(registry: ScriptedRegistry, images: ImageStore) -> None:
    layer = registry.layers[0]

    def break_off(request: Request) -> Answer | None:
        if layer in request.path and "Range" not in request.headers:
            return Answer(body=registry.blobs[layer], sent=400_000)
        return None

    registry.fault = break_off
    assert_whole(images.pull(registry.reference))
    ranges = [request.headers.get("Range") for request in registry.requests if layer in request.path]
    assert ranges == [None, "bytes=400000-"]


def test_pull_registry_without_ranges_starts_again_and_skips(
    registry: ScriptedRegistry, images: ImageStore
) -> None:
    layer, sent = registry.layers[0], iter([100_000, 400_000, None])
    registry.fault = lambda r: (
        Answer(body=registry.blobs[layer], sent=next(sent)) if layer in r.path else None
    )
    assert_whole(images.pull(registry.reference))


@pytest.mark.parametrize(
    ("blob", "word"),
    [
        (gzip.compress(b"no tar at all" * 1000), "tar header"),
        (gzip.compress(IMAGE.layers[0])[:-9], "ends too early"),
        (gzip.compress(IMAGE.layers[0])[:5000] + b"\0" * 5000, "gzip"),
        (b"\x28\xb5\x2f\xfd" + b"\xff" * 500, "zstd"),
        (gzip.compress(IMAGE.layers[0]) + b"garbage", "gzip"),
        (gzip.compress(bytes(1100 << 20), 1), "no honest layer"),
    ],
    ids=["not a tar", "cut", "damaged", "zstd", "trailing", "bomb"],
)
def test_pull_damaged_layer_is_refused_as_a_layer(
    blob: bytes, word: str, images: ImageStore, root: Path
) -> None:
    with ScriptedRegistry(IMAGE) as registry:
        registry.fault = _with_first_layer(registry, blob)
        with pytest.raises(InvalidArgument, match=word) as caught:
            images.pull(registry.reference)
    assert caught.value.field == "layer"
    assert left_over(root) == []


def test_pull_layer_other_than_the_config_says_is_refused(images: ImageStore, root: Path) -> None:
    with ScriptedRegistry(IMAGE) as registry:
        registry.fault = _with_first_layer(registry, gzip.compress(Layer().file("evil", "x").finish()))
        with pytest.raises(RegistryError, match="config says") as caught:
            images.pull(registry.reference)
    assert caught.value.code == "DIGEST_INVALID"
    assert left_over(root) == []


def _with_first_layer(registry: ScriptedRegistry, blob: bytes) -> Callable[[Request], Answer | None]:
    """Serves a manifest that names `blob`, truthfully, as the first layer."""
    layer = Blob("application/vnd.oci.image.layer.v1.tar+gzip", blob)
    document = json.loads(registry.manifest.data)
    document["layers"][0] = layer.descriptor
    registry.blobs[layer.digest] = blob
    return always(manifest_with(registry, layers=document["layers"]), MANIFEST)


def test_pull_on_a_full_disk_is_a_stage_error(
    registry: ScriptedRegistry, small_disk: Path, tmp_path: Path
) -> None:
    root = small_disk / "root"
    store = Store(root)
    images = ImageStore(root, store)
    filler = small_disk / "filler"
    filler.write_bytes(bytes(shutil.disk_usage(small_disk).free - 700_000))
    with pytest.raises(StageError, match="ENOSPC"):
        images.pull(registry.reference)
    filler.unlink()
    assert left_over(root) == []
    assert_whole(images.pull(registry.reference))
    store.close()


def test_pull_interrupted_leaves_nothing(registry: ScriptedRegistry, images: ImageStore, root: Path) -> None:
    def interrupt(step: Progress) -> None:
        if step.phase == "unpack":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        images.pull(registry.reference, progress=interrupt)
    assert left_over(root) == []
    assert_whole(images.pull(registry.reference))


def test_pull_interrupted_does_not_wait_for_a_registry_that_stalls(
    registry: ScriptedRegistry, images: ImageStore, root: Path
) -> None:
    hold = threading.Event()
    registry.fault = lambda r: Answer(hold=hold) if registry.layers[1] in r.path else None

    def interrupt(step: Progress) -> None:
        if step.phase == "unpack":
            raise KeyboardInterrupt

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        images.pull(registry.reference, progress=interrupt)
    assert time.monotonic() - started < 5
    hold.set()
    assert left_over(root) == []


def test_pull_interrupted_while_its_config_stalls_does_not_wait_for_it(
    registry: ScriptedRegistry, images: ImageStore, root: Path
) -> None:
    hold, served = threading.Event(), []
    config = next(digest for digest in registry.blobs if digest not in registry.layers)
    main = threading.main_thread().ident or 0

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    def stall(request: Request) -> None:
        if config in request.path:
            signal.pthread_kill(main, signal.SIGUSR1)  # SIGINT is ignored in the background of a shell
            served.append(hold.wait(20))

    registry.fault = stall
    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            images.pull(registry.reference)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert not served
    hold.set()
    assert left_over(root) == []


def test_layer_is_unpacked_before_the_one_below_has_come(
    registry: ScriptedRegistry, images: ImageStore
) -> None:
    hold, (below, above) = threading.Event(), registry.layers
    registry.fault = lambda r: Answer(body=registry.blobs[below], hold=hold) if below in r.path else None
    unpacked: list[str] = []

    def note(step: Progress) -> None:
        if step.phase == "unpack" and not hold.is_set():
            unpacked.append(step.digest)
            hold.set()

    watchdog = threading.Timer(20, hold.set)
    watchdog.start()
    try:
        assert_whole(images.pull(registry.reference, progress=note))
    finally:
        watchdog.cancel()
    assert unpacked == [above]


STANDING = Layer().hardlink("etc/shadow", "etc/passwd").file("etc/deep/file", "x").finish()


@pytest.mark.parametrize("status", [404, 200], ids=["fails", "comes late"])
def test_layer_that_takes_of_the_one_below_waits_for_what_becomes_of_it(
    images: ImageStore, root: Path, status: int
) -> None:
    hold = threading.Event()
    with ScriptedRegistry(Image((IMAGE.layers[0], STANDING))) as registry:
        below, above = registry.layers
        late = Answer(status, registry.blobs[below] if status == 200 else b"", hold=hold)
        registry.fault = lambda r: late if below in r.path else None

        def note(step: Progress) -> None:
            if step.phase == "download" and step.digest == above and step.current == step.total:
                threading.Timer(0.3, hold.set).start()

        if status == 404:
            with pytest.raises(NotFound):
                images.pull(registry.reference, progress=note)
            assert left_over(root) == []
            return
        with opened(images.pull(registry.reference, progress=note).layers[0]) as top:
            assert (
                (top / "etc/shadow").read_text()
                == (top / "etc/passwd").read_text()
                == "root:x:0:0::/root:/bin/sh\n"
            )
            assert (top / "etc/deep/file").read_text() == "x"


def test_pull_killed_is_cleared_away_by_prune_but_not_while_it_lives(
    registry: ScriptedRegistry, images: ImageStore, root: Path, snapshotter: SnapshotterName
) -> None:
    hold = threading.Event()
    second = registry.layers[1]
    registry.fault = lambda r: Answer(body=registry.blobs[second], hold=hold) if second in r.path else None
    program = (
        "import sys; from pathlib import Path; from containerlib.store import Store\n"
        "from containerlib.images import ImageStore\n"
        "root = Path(sys.argv[1]); ImageStore(root, Store(root), snapshotter=sys.argv[3]).pull(sys.argv[2])\n"
    )
    pull = subprocess.Popen([sys.executable, "-P", "-c", program, str(root), registry.reference, snapshotter])
    deadline = time.monotonic() + 20
    while not any(size_of(path) > len(NOISE) // 2 for path in root.glob("snapshots/tmp-*")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert images.prune().temporary == ()
    pull.send_signal(signal.SIGKILL)
    pull.wait()
    hold.set()
    assert images.prune().temporary != ()
    assert left_over(root) == []
    registry.fault = lambda _: None
    assert_whole(images.pull(registry.reference))


def test_prune_mends_an_index_that_a_kill_left_behind(
    registry: ScriptedRegistry, images: ImageStore, root: Path
) -> None:
    images.pull(registry.reference)
    index = root / "content/index.json"
    right = index.read_bytes()
    index.write_bytes(b'{"schemaVersion": 2, "manifests": []}')
    (root / "content/ingest/index.json").write_bytes(b"a draft")
    images.prune()
    assert index.read_bytes() == right
    assert list((root / "content/ingest").iterdir()) == []


def test_pull_keeps_the_layers_that_it_found_here_though_their_image_is_removed(
    registry: ScriptedRegistry, images: ImageStore
) -> None:
    """Between its first look and its last transaction there is time for a collection."""
    below = Image(IMAGE.layers[:1], {})
    with ScriptedRegistry(below) as other:
        old = images.pull(other.reference)

    def remove(request: Request) -> None:
        if registry.layers[1] in request.path and len(images.list()) == 1:
            images.remove(old.id)

    registry.fault = remove
    record = images.pull(registry.reference)
    assert [image.id for image in images.list()] == [record.id]
    assert [request for request in registry.requests if registry.layers[0] in request.path] == []
    assert_whole(record)
    assert images.verify().is_whole


def test_pull_of_one_image_twice_at_once_gives_one(
    registry: ScriptedRegistry, images: ImageStore, root: Path
) -> None:
    records = at_once(lambda _: images.pull(registry.reference), threads=4)
    assert len(records) == 4
    assert len(images.list()) == 1
    assert_whole(images.list()[0])
    assert [*root.glob("snapshots/tmp-*"), *root.glob("content/ingest/*")] == []
