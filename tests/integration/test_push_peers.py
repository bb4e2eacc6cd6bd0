"""What we push skopeo, podman and buildah pull, what they push we pull and push on: digests are the same everywhere."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import frozen

import containerlib as cl
from containerlib.errors import Unauthorized, Unsupported
from containerlib.images import ImageStore
from containerlib.images.registry.fallback import tag_of
from containerlib.images.registry.retry import Retry
from containerlib.spec.image import EMPTY, Manifest, MediaType
from rig.certificates import htpasswd_line
from rig.images import Image, Layer, ManyPlatforms
from rig.registry import Registry, without_proxies

pytestmark = pytest.mark.privileged("CAP_CHOWN, CAP_MKNOD, CAP_SYS_ADMIN: unpacks layers as they are")

IMAGE = Image(
    (
        Layer().directory("etc").file("etc/x", os.urandom(100_000)).finish(),
        Layer().file("app", "#!/bin/sh\n", 0o755).finish(),
    ),
    {"Cmd": ["/app"], "Labels": {"a": "b"}},
)
SBOM = "application/vnd.example.sbom+json"


class Peers:
    """The tools, with storage and settings of their own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._environ = {**without_proxies(), "HOME": str(home), "XDG_RUNTIME_DIR": str(home / "run")}

    def run(self, *argv: str, text: str = "") -> str:
        done = subprocess.run(
            argv, check=False, capture_output=True, text=True, input=text, env=self._environ
        )
        assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr}"
        return done.stdout.strip()

    def stored(self, program: str, *argv: str) -> str:
        """podman or buildah."""
        needs(program)
        place = ["--root", f"{self.home}/{program}", "--runroot", f"{self.home}/{program}-run"]
        return self.run(program, *place, "--storage-driver", "vfs", *argv)

    def skopeo(self, *argv: str, text: str = "") -> str:
        return self.run("skopeo", "--insecure-policy", *argv, text=text)

    def raw(self, reference: str) -> bytes:
        """The manifest as skopeo gets it."""
        return self.skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{reference}").encode()


@pytest.fixture
def peers() -> Iterator[Peers]:
    needs("skopeo")
    home = Path(tempfile.mkdtemp(prefix="containerlib-", dir="/run"))  # a run root has 50 characters at most
    yield Peers(home)
    shutil.rmtree(home)


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return IMAGE.write_layout(tmp_path_factory.mktemp("layout") / "image")


def needs(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"no {program}: install {program}")


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def test_pushed_image_is_pulled_by_the_peers_with_its_digests(
    registry: Registry, images: ImageStore, layout: Path, peers: Peers
) -> None:
    (record,) = images.load(layout)
    reference = registry.reference("ours")
    digest = images.push([record.id], reference)
    assert digest_of(peers.raw(reference)) == digest == IMAGE.blobs()[0].digest
    copied = peers.home / "copied"
    peers.skopeo("copy", "-q", "--src-tls-verify=false", f"docker://{reference}", f"oci:{copied}")
    assert json.loads(copied.joinpath("index.json").read_text())["manifests"][0]["digest"] == digest
    assert (
        peers.stored("podman", "pull", "-q", "--tls-verify=false", reference) == record.id.partition(":")[2]
    )
    assert digest in peers.stored("podman", "images", "--digests")
    peers.stored("buildah", "pull", "-q", "--tls-verify=false", reference)
    inspected = json.loads(peers.stored("buildah", "inspect", "--type", "image", reference))
    assert (inspected["FromImageID"], inspected["FromImageDigest"]) == (record.id.partition(":")[2], digest)


@pytest.mark.parametrize("options", [(), ("--format", "v2s2")], ids=["oci", "docker schema 2"])
def test_image_that_skopeo_pushed_is_pushed_on_byte_for_byte(
    registry: Registry, images: ImageStore, layout: Path, peers: Peers, options: tuple[str, ...]
) -> None:
    reference = registry.push(layout, "theirs", "1", *options)
    record = images.pull(reference)
    again = registry.reference("ours/again", "1")
    digest = images.push([record.id], again)
    assert peers.raw(again) == peers.raw(reference)
    assert digest_of(peers.raw(reference)) == digest


def test_image_pushed_in_dockers_form_is_pulled_by_podman_as_the_same_image(
    registry: Registry, images: ImageStore, layout: Path, peers: Peers
) -> None:
    (record,) = images.load(layout)
    reference = registry.reference("docker")
    digest = images.push([record.id], reference, manifest_format="docker")
    data = peers.raw(reference)
    assert (json.loads(data)["mediaType"], digest_of(data)) == (MediaType.DOCKER_MANIFEST, digest)
    assert (
        peers.stored("podman", "pull", "-q", "--tls-verify=false", reference) == record.id.partition(":")[2]
    )
    pulled = images.pull(reference)
    assert pulled.id == record.id
    images.push([record.id], reference, manifest_format="oci")
    assert json.loads(peers.raw(reference)) == json.loads(IMAGE.blobs()[0].data)


def test_image_that_podman_and_buildah_pushed_is_pulled_and_pushed_on(
    registry: Registry, images: ImageStore, layout: Path, peers: Peers
) -> None:
    base = registry.push(layout, "base")
    by_podman, by_buildah = registry.reference("podman"), registry.reference("buildah")
    peers.stored("podman", "pull", "-q", "--tls-verify=false", base)
    peers.stored("podman", "push", "-q", "--tls-verify=false", base, by_podman)
    peers.stored("buildah", "from", "-q", "--tls-verify=false", "--name", "work", base)
    peers.stored("buildah", "config", "--label", "made=here", "--user", "7:8", "work")
    peers.stored("buildah", "commit", "-q", "--rm", "work", "made")
    peers.stored("buildah", "push", "-q", "--tls-verify=false", "made", f"docker://{by_buildah}")
    for reference in (by_podman, by_buildah):
        record = images.pull(reference)
        again = f"{reference.rpartition(':')[0]}/again:1"
        assert images.push([record.id], again) == digest_of(peers.raw(reference))
        assert peers.raw(again) == peers.raw(reference)
    made = images.get(by_buildah).config
    assert (dict(made.labels)["made"], made.user) == ("here", "7:8")


def test_index_is_read_by_skopeo(
    registry: Registry, images: ImageStore, peers: Peers, tmp_path: Path
) -> None:
    ids = []
    for machine in ("amd64", "arm64"):
        image = Image((Layer().file("which", machine).finish(),), machine=machine)
        (record,) = images.load(image.write_layout(tmp_path / machine), platform=f"linux/{machine}")
        ids.append(record.id)
    reference = registry.reference("multi")
    digest = images.push(ids, reference)
    copied = peers.home / "copied"
    peers.skopeo("copy", "-q", "--all", "--src-tls-verify=false", f"docker://{reference}", f"oci:{copied}")
    assert json.loads(copied.joinpath("index.json").read_text())["manifests"][0]["digest"] == digest
    for machine in ("amd64", "arm64"):
        config = peers.skopeo(
            "--override-arch", machine, "inspect", "--config", "--tls-verify=false", f"docker://{reference}"
        )
        assert json.loads(config)["architecture"] == machine


def test_index_of_the_peers_is_pulled_whole_and_pushed_on_with_its_digest(
    registry: Registry, images: ImageStore, peers: Peers, tmp_path: Path
) -> None:
    both = ManyPlatforms((IMAGE, Image((Layer().file("which", "other").finish(),), machine="s390x")))
    by_skopeo = registry.push(both.write_layout(tmp_path / "both"), "skopeo", "1", "--all")
    by_buildah = registry.reference("buildah")
    peers.stored(
        "buildah", "manifest", "create", "many", f"docker://{by_skopeo}", "--all", "--tls-verify=false"
    )
    peers.stored(
        "buildah", "manifest", "push", "-q", "--all", "--tls-verify=false", "many", f"docker://{by_buildah}"
    )
    for name in (by_skopeo, by_buildah):
        record = images.pull(name, all_platforms=True)
        assert record.id == IMAGE.blobs()[1][0].digest
        again = f"{name.rpartition(':')[0]}/again:1"
        assert images.push([record.id], again) == digest_of(peers.raw(name))
        assert peers.raw(again) == peers.raw(name)
        pulled = peers.stored("podman", "pull", "-q", "--tls-verify=false", again)
        assert pulled == record.id.partition(":")[2]
        inspected = ["--override-arch", "s390x", "inspect", "--config", "--tls-verify=false"]
        assert json.loads(peers.skopeo(*inspected, f"docker://{again}"))["architecture"] == "s390x"


@pytest.mark.parametrize("options", [(), ("--all",)], ids=["manifest", "list"])
def test_image_with_dockers_types_is_read_by_skopeo_wherever_we_keep_it(
    registry: Registry, images: ImageStore, peers: Peers, root: Path, options: tuple[str, ...]
) -> None:
    both = ManyPlatforms((IMAGE, Image((Layer().file("which", "other").finish(),), machine="s390x")))
    layout = both.write_layout(peers.home / "both")
    reference = registry.push(layout, "docker", "1", "--format", "v2s2", *options)
    record = images.pull(reference, all_platforms=bool(options))
    images.prune()
    images.save([reference], str(peers.home / "saved"))
    with (peers.home / "saved.tar").open("wb") as file:
        images.save([reference], file)
    manifest = next(
        digest_of(data)
        for path in (root / "content/blobs/sha256").iterdir()
        if (data := path.read_bytes()).find(record.id.encode()) > 0
        and MediaType.DOCKER_MANIFEST.encode() in data
    )
    for number, place in enumerate(
        (
            f"oci:{root}/content:{reference}",
            f"oci:{peers.home}/saved:1",
            f"oci-archive:{peers.home}/saved.tar:1",
        )
    ):
        assert len(json.loads(peers.skopeo("inspect", place))["Layers"]) == 2
        peers.skopeo("copy", "-q", place, f"dir:{peers.home}/{number}")
        assert digest_of((peers.home / str(number) / "manifest.json").read_bytes()) == manifest
        machine = ("--override-arch", "s390x") if options else ()
        config = json.loads(peers.skopeo(*machine, "inspect", "--config", place))
        assert (config["architecture"] == "s390x") is bool(options)


@pytest.mark.parametrize("options", [(), ("--all",)], ids=["manifest", "list"])
def test_image_with_dockers_types_is_saved_loaded_and_removed_as_it_is(
    registry: Registry, images: ImageStore, peers: Peers, root: Path, options: tuple[str, ...]
) -> None:
    both = ManyPlatforms((IMAGE, Image((Layer().file("which", "other").finish(),), machine="s390x")))
    layout = both.write_layout(peers.home / "both")
    reference = registry.push(layout, "docker", "1", "--format", "v2s2", *options)
    record = images.pull(reference, all_platforms=bool(options))
    data = peers.raw(reference)
    digest, kind = digest_of(data), json.loads(data)["mediaType"]
    assert kind == (MediaType.DOCKER_LIST if options else MediaType.DOCKER_MANIFEST)
    images.save([reference], str(peers.home / "saved"))
    images.remove(reference)
    assert list((root / "content/blobs/sha256").iterdir()) == []
    (loaded,) = images.load(peers.home / "saved")
    assert (loaded.id, loaded.references) == (record.id, (reference,))
    assert images.push([reference], registry.reference("again")) == digest
    assert images.verify().is_whole


def test_index_in_the_content_store_is_copied_whole_by_skopeo(
    registry: Registry, images: ImageStore, peers: Peers, root: Path, tmp_path: Path
) -> None:
    both = ManyPlatforms((IMAGE, Image((Layer().file("which", "other").finish(),), machine="s390x")))
    reference = registry.push(both.write_layout(tmp_path / "both"), "both", "1", "--all")
    record = images.pull(reference, all_platforms=True)
    images.save([record.id], str(tmp_path / "saved"))
    for number, place in enumerate((f"{root}/content:{reference}", f"{tmp_path}/saved:1")):
        copied = peers.home / f"copied-{number}"
        peers.skopeo("copy", "-q", "--all", f"oci:{place}", f"oci:{copied}:x")
        (entry,) = json.loads(copied.joinpath("index.json").read_text())["manifests"]
        assert entry["digest"] == both.blobs()[0].digest


def test_content_store_and_saved_layout_are_unpacked_by_umoci(
    images: ImageStore, layout: Path, peers: Peers, root: Path
) -> None:
    needs("umoci")
    (record,) = images.load(layout)
    reference = images.tag(record.id, "localhost/mine:1").references[0]
    images.save([reference], str(peers.home / "saved"))
    for number, place in enumerate((f"{root}/content:{reference}", f"{peers.home}/saved:1")):
        peers.run("umoci", "unpack", "--image", place, f"{peers.home}/bundle-{number}")
        assert (peers.home / f"bundle-{number}/rootfs/app").read_text() == "#!/bin/sh\n"


def test_artifact_is_read_back_by_us_and_by_skopeo(registry: Registry, peers: Peers, tmp_path: Path) -> None:
    file = tmp_path / "sbom.json"
    file.write_text('{"packages": []}')
    with cl.Registry(registry.address) as client:
        pushed = client.push_artifact("app", SBOM, [file], tag="sbom", annotations={"k": "v"})
        manifest = client.manifest("app:sbom").parse()
        assert isinstance(manifest, Manifest)
        assert (manifest.kind, manifest.annotations) == (SBOM, (("k", "v"),))
        assert b"".join(client.blob("app", manifest.layers[0])) == file.read_bytes()
        assert client.resolve("app:sbom").digest == pushed.digest
    copied = peers.home / "copied"
    peers.skopeo(
        "copy",
        "-q",
        "--src-tls-verify=false",
        f"docker://{registry.reference('app', 'sbom')}",
        f"dir:{copied}",
    )
    assert copied.joinpath(manifest.layers[0].digest.hex).read_bytes() == file.read_bytes()
    assert digest_of(copied.joinpath("manifest.json").read_bytes()) == str(pushed.digest)


def test_artifact_streamed_in_chunks_is_read_back(registry: Registry) -> None:
    data = os.urandom(3_000_000)
    pieces = (data[start : start + 70_001] for start in range(0, len(data), 70_001))
    with cl.Registry(registry.address) as client:
        blob = client.push_blob("app", pieces)
        assert (str(blob.digest), blob.size) == (digest_of(data), len(data))
        assert b"".join(client.blob("app", blob)) == data


ATTACH = """
import sys
import containerlib as cl
address, worker = sys.argv[1:]
with cl.Registry(address) as registry:
    subject = registry.resolve("app:latest")
    for number in range(3):
        made = registry.push_artifact("app", "text/note", subject=subject, annotations={"by": f"{worker}.{number}"})
        print(made.digest, flush=True)
"""


def test_referrers_of_many_writers_are_all_kept_under_the_fallback_tag(
    registry: Registry, layout: Path
) -> None:
    registry.push(layout, "app")
    writers = [
        subprocess.Popen(
            [sys.executable, "-P", "-c", ATTACH, registry.address, str(worker)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for worker in range(4)
    ]
    pushed = sorted(line for writer in writers for line in writer.communicate(timeout=100)[0].split())
    assert [writer.returncode for writer in writers] == [0] * 4
    with cl.Registry(registry.address) as client:
        subject = client.resolve("app:latest").digest
        found = client.referrers("app", subject)
        assert sorted(str(entry.digest) for entry in found) == pushed
        assert len(pushed) == 12
        assert client.referrers("app", subject, artifact_type="text/other") == []
        assert tag_of(subject) in client.tags("app")
        client.delete_manifest("app", pushed[0])
        left = client.referrers("app", subject, artifact_type="text/note")
        assert sorted(str(entry.digest) for entry in left) == pushed[1:]


def test_manifest_of_a_blob_whose_link_is_being_written_is_put_again(
    registry: Registry,
) -> None:
    """distribution writes such a file in place, for each client that pushes the blob: it is empty for a moment."""
    with cl.Registry(registry.address) as client:
        blob = client.push_blob("linked", b"{}")
    (link,) = (path for path in registry.directory.rglob("link") if blob.digest.hex in str(path))
    content = link.read_text()

    @frozen
    class Mending(Retry):
        def delay(self, attempt: int, asked: float = 0.0) -> float | None:
            link.write_text(content)
            return super().delay(attempt, asked)

    link.write_text("")
    with cl.Registry(registry.address, retry=Mending(first_delay=0.0)) as client:
        client.push_manifest("linked", Manifest(EMPTY, (EMPTY,), artifact_type="text/note"))


def test_deletes_on_a_real_registry(registry: Registry, layout: Path, tmp_path: Path) -> None:
    registry.push(layout, "app")
    with cl.Registry(registry.address) as client:
        digest = client.resolve("app:latest").digest
        with pytest.raises(Unsupported, match="does not delete tags"):
            client.delete_tag("app", "latest")
        client.delete_manifest("app", digest)
        assert client.tags("app") == []
        client.delete_blob("app", IMAGE.blobs()[1][0].digest)
    with Registry(tmp_path / "kept", deletes=False) as kept, cl.Registry(kept.address) as client:
        kept.push(layout, "app")
        with pytest.raises(Unsupported, match="REGISTRY_STORAGE_DELETE_ENABLED"):
            client.delete_manifest("app", client.resolve("app:latest").digest)


def test_mount_on_a_real_registry(registry: Registry, layout: Path) -> None:
    registry.push(layout, "app")
    digest = IMAGE.blobs()[1][1].digest
    with cl.Registry(registry.address) as client:
        assert not client.mount("other", digest, source="nowhere")
        assert client.mount("other", digest, source="app")
        assert b"".join(client.blob("other", digest)) == IMAGE.blobs()[1][1].data


def test_push_takes_the_login_that_skopeo_left(
    images: ImageStore, layout: Path, peers: Peers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs("docker-registry")
    line = htpasswd_line("ci", "secret")
    if line is None:
        pytest.skip("the C library's crypt has no bcrypt, which docker-registry wants")
    passwords = tmp_path / "htpasswd"
    passwords.write_text(line)
    (record,) = images.load(layout)
    file = tmp_path / "auth.json"
    with Registry(tmp_path / "registry", passwords=passwords) as registry:
        with pytest.raises(Unauthorized, match="BasicAuth"):
            images.push([record.id], registry.reference("app"))
        login = ["login", "--authfile", str(file), "--tls-verify=false", "-u", "ci", "--password-stdin"]
        peers.skopeo(*login, registry.address, text="secret")
        monkeypatch.setenv("REGISTRY_AUTH_FILE", str(file))
        digest = images.push([record.id], registry.reference("app"))
        with cl.Registry(registry.address, auth=cl.BasicAuth("ci", "secret")) as client:
            assert str(client.resolve("app:latest").digest) == digest
            assert client.manifest("app:latest").media_type == MediaType.MANIFEST
