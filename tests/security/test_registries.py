"""Registries that lie: about what a document is, who a program runs as, and where credentials belong."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from containerlib.errors import Error, RegistryError, Unauthorized
from containerlib.images import ImageStore
from containerlib.images.registry import Registry
from containerlib.images.registry.retry import Retry
from containerlib.spec.auth import BasicAuth
from containerlib.spec.descriptor import Descriptor, MediaType
from containerlib.spec.digest import Digest
from containerlib.store import Store
from rig.fake_registry import FakeRegistry
from rig.images import Image, Layer, architecture, encode
from rig.mock_server import MockServer

pytestmark = pytest.mark.privileged("CAP_CHOWN, CAP_MKNOD, CAP_SYS_ADMIN: unpacks layers as they are")

LOGIN = BasicAuth("alice", "secret")
GOOD = Image((Layer().file("good", "").finish(),))
EVIL = Image((Layer().file("evil", "").finish(),))


def serving(image: Image, change: Callable[[dict[str, Any]], None], content_type: str) -> MockServer:
    """A registry with the image, whose manifest has been changed."""
    manifest, blobs = image.blobs()
    document = json.loads(manifest.data)
    change(document)
    data = json.dumps(document).encode()
    fake = FakeRegistry()
    fake.blobs["app"] = {blob.digest: blob.data for blob in blobs}
    fake.manifests["app"] = {"latest": (content_type, data)}
    return MockServer(fake)


def pull(server: MockServer, root: Path) -> Error:
    """What the pull is refused with; nothing of the image is here then."""
    store = Store(root)
    images = ImageStore(root, store, transport=server.transport)
    with pytest.raises(Error) as caught:
        images.pull("registry.example/app")
    assert images.list() == []
    assert list((root / "content/blobs/sha256").iterdir()) == []
    store.close()
    return caught.value


@pytest.mark.parametrize(
    ("media_type", "content_type"),
    [
        (MediaType.MANIFEST, MediaType.MANIFEST),
        (MediaType.MANIFEST, MediaType.INDEX),
        (MediaType.INDEX, MediaType.INDEX),
        (MediaType.DOCKER_MANIFEST, MediaType.MANIFEST),
        (None, MediaType.INDEX),
        (None, "application/octet-stream"),
    ],
)
def test_manifest_that_is_an_index_to_others_is_not_pulled(
    media_type: str | None, content_type: str, tmp_path: Path
) -> None:
    """CVE-2021-41190: one digest, signed once, and which image it is depends on who reads it."""

    def change(document: dict[str, Any]) -> None:
        document["mediaType"] = media_type
        document["manifests"] = [EVIL.blobs()[0].descriptor]

    error = pull(serving(GOOD, change, content_type), tmp_path)
    assert isinstance(error, RegistryError)
    assert error.code == "MALFORMED"


@pytest.mark.parametrize("change", [{"mediaType": MediaType.INDEX}, {"size": 7}], ids=["type", "size"])
@pytest.mark.parametrize("content_type", [MediaType.MANIFEST, "application/octet-stream"])
def test_manifest_that_its_index_says_other_things_of_is_not_pulled(
    change: dict[str, Any], content_type: str, tmp_path: Path
) -> None:
    """CVE-2021-41190 as well: who trusts the index takes it for something else than who reads the manifest alone."""
    manifest, blobs = GOOD.blobs()
    platform = {"os": "linux", "architecture": architecture()}
    entry = {**manifest.descriptor, "platform": platform, **change}
    index = encode({"schemaVersion": 2, "mediaType": MediaType.INDEX, "manifests": [entry]})
    fake = FakeRegistry()
    fake.blobs["app"] = {blob.digest: blob.data for blob in blobs}
    fake.manifests["app"] = {
        "latest": (MediaType.INDEX, index),
        manifest.digest: (content_type, manifest.data),
    }
    error = pull(MockServer(fake), tmp_path)
    assert isinstance(error, RegistryError)
    assert error.code == "MALFORMED"


def test_manifest_that_is_served_as_another_kind_than_its_index_says_is_not_pulled(tmp_path: Path) -> None:
    """CVE-2021-41190 as well: who goes by the answer's type, and who by the index's, read two things."""
    manifest, blobs = GOOD.blobs()
    platform = {"os": "linux", "architecture": architecture()}
    entry = {**manifest.descriptor, "platform": platform}
    index = encode({"schemaVersion": 2, "mediaType": MediaType.INDEX, "manifests": [entry]})
    fake = FakeRegistry()
    fake.blobs["app"] = {blob.digest: blob.data for blob in blobs}
    fake.manifests["app"] = {
        "latest": (MediaType.INDEX, index),
        manifest.digest: (MediaType.INDEX, manifest.data),
    }
    error = pull(MockServer(fake), tmp_path)
    assert isinstance(error, RegistryError)
    assert error.code == "MALFORMED"


@pytest.mark.parametrize("key", ["Layers", "LAYERS"])
def test_manifest_with_two_lists_of_layers_is_not_pulled(key: str, tmp_path: Path) -> None:
    """Readers in Go take keys whatever their case, and the last of several: they would run other layers."""

    def change(document: dict[str, Any]) -> None:
        document[key] = json.loads(EVIL.blobs()[0].data)["layers"]

    assert "upper and lower case" in str(pull(serving(GOOD, change, MediaType.MANIFEST), tmp_path))


@pytest.mark.parametrize("user", ["4294967296", "0:4294967296", "-1"])
def test_image_of_a_user_beyond_the_kernels_is_not_pulled(user: str, tmp_path: Path) -> None:
    """CVE-2024-40635: the number comes round to root's."""
    image = Image(GOOD.layers, {"User": user})
    error = pull(serving(image, lambda _: None, MediaType.MANIFEST), tmp_path)
    assert "config.config.User" in str(error)


def guarded(fake: FakeRegistry) -> MockServer:
    """The registry wants a login, and so do all others that are asked."""

    def serve(request: httpx.Request) -> httpx.Response:
        if "Authorization" not in request.headers:
            challenge = 'Basic realm="x", Bearer realm="https://evil.example/token"'
            return httpx.Response(
                401, headers={"WWW-Authenticate": challenge if "evil" in request.url.host else "Basic"}
            )
        return fake(request)

    return MockServer(serve)


def test_credentials_do_not_go_to_where_an_upload_leads() -> None:
    """CVE-2020-15157"""
    fake = FakeRegistry(location="https://evil.example/{repository}/{upload}?{state}")
    server = guarded(fake)
    with Registry("registry.example", auth=LOGIN, transport=server.transport) as registry:
        with pytest.raises(Unauthorized):
            registry.push_blob("app", b"data")
        with pytest.raises(Unauthorized):
            registry.push_blob("app", iter([b"data"]))
    shown = [header for host, header in server.shown() if host == "evil.example"]
    assert len(shown) >= 2
    assert set(shown) == {None}


def test_credentials_do_not_go_to_the_url_of_a_foreign_layer() -> None:
    """CVE-2020-15157"""
    server = guarded(FakeRegistry())
    layer = Descriptor(
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        Digest("sha256", hashlib.sha256(b"data").hexdigest()),
        4,
        urls=("https://evil.example/layer",),
    )
    with Registry(
        "registry.example", auth=LOGIN, transport=server.transport, foreign_layers=True
    ) as registry:
        with pytest.raises(Unauthorized):
            list(registry.blob("app", layer))
    shown = [header for host, header in server.shown() if host == "evil.example"]
    assert shown
    assert set(shown) == {None}


@pytest.mark.parametrize("lead", ["tags", "referrers"])
def test_list_without_an_end_is_refused(lead: str) -> None:
    body = encode({"schemaVersion": 2, "manifests": [], "tags": ["a" * 128] * 30_000})

    def serve(request: httpx.Request) -> httpx.Response:
        number = int(request.url.params.get("last", "0")) + 1
        return httpx.Response(
            200, content=body, headers={"Link": f'<{request.url.path}?last={number}>; rel="next"'}
        )

    server = MockServer(serve)
    with Registry("registry.example", transport=server.transport) as registry:
        with pytest.raises(RegistryError, match="no honest list") as caught:
            registry.tags("app") if lead == "tags" else registry.referrers("app", f"sha256:{'0' * 64}")
    assert caught.value.code == "SIZE_INVALID"
    assert len(server.requests) < 30


def test_platforms_of_an_index_do_not_drive_the_terminal_of_who_pulls(tmp_path: Path) -> None:
    entry = {"mediaType": MediaType.MANIFEST, "digest": f"sha256:{'0' * 64}", "size": 1}
    entries = [
        {**entry, "platform": {"os": "\x1b[2J", "architecture": f"{number:0200}"}} for number in range(1000)
    ]
    fake = FakeRegistry()
    index = encode({"schemaVersion": 2, "mediaType": MediaType.INDEX, "manifests": entries})
    fake.manifests["app"] = {"latest": (MediaType.INDEX, index)}
    message = str(pull(MockServer(fake), tmp_path))
    assert "there is: " in message
    assert message.isprintable()
    assert len(message) < 10_000


@pytest.mark.parametrize(
    "pause",
    [
        "Mon, 99999999999999999999 Jan 2020 00:00:00 GMT",
        "Mon, 01 Jan 2020 99999999999999999999:00:00 GMT",
        "Mon, 01 Jan 2020 00:00:00 +99999999999999",
    ],
)
def test_pause_that_no_clock_knows_is_none(pause: str) -> None:
    server = MockServer(lambda _: httpx.Response(503, headers={"Retry-After": pause}))
    retry = Retry(attempts=2, first_delay=0.0)
    with Registry("registry.example", transport=server.transport, retry=retry) as registry:
        with pytest.raises(RegistryError, match="503"):
            registry.resolve("app")
    assert len(server.requests) == 2


def test_redirects_do_not_drive_the_terminal_of_who_follows_them() -> None:
    def serve(request: httpx.Request) -> httpx.Response:
        return httpx.Response(307, headers=[(b"Location", b"/\xc2\x9b2J%d" % len(server.requests))])

    server = MockServer(serve)
    with Registry("registry.example", transport=server.transport) as registry:
        with pytest.raises(RegistryError, match="too many redirects") as caught:
            registry.resolve("app")
    assert str(caught.value).isprintable()


FOREIGN_LAYER = """
import socket, sys, threading
from containerlib.errors import Error
from containerlib.images.registry import Registry
from containerlib.images.registry.retry import Retry
from containerlib.images.registry.retry import Retry
from containerlib.spec.descriptor import Descriptor
from containerlib.spec.digest import Digest
from rig.scripted_server import Answer, ScriptedServer

class Nothing(ScriptedServer):
    def answer(self, request):
        return Answer(404)

metadata = socket.create_server(("169.254.169.254", 443))
said = []
def listen():
    said.append(metadata.accept()[0].recv(100))
thread = threading.Thread(target=listen)
thread.start()
layer = Descriptor(
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", Digest.of(b""), 4, urls=("https://2852039166/x",)
)
with Nothing() as server, Registry(server.address, foreign_layers=True, retry=Retry(attempts=1)) as registry:
    try:
        list(registry.blob("app", layer))
    except Error as error:
        print(error)
thread.join()
print(said)
"""


def test_foreign_layer_whose_host_leads_to_a_metadata_service_is_not_fetched() -> None:
    """The image's author names the host, and not the caller: a name is not allowed to lead where its address is not."""
    prepare = "ip link set lo up && ip address add 169.254.169.254/32 dev lo"
    command = [
        "unshare",
        "--net",
        "sh",
        "-c",
        f'{prepare} && exec "$0" -c "$1"',
        sys.executable,
        FOREIGN_LAYER,
    ]
    rig = str(Path(__file__).parent.parent)
    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": rig},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "leads to 169.254.169.254, a link-local address" in done.stdout, done.stderr
    assert done.stdout.splitlines()[-1] == "[b'']", "nothing was said to it"
