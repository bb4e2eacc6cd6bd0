"""Reading from a registry and its mirrors: tags, manifests, blobs, foreign layers. The transport is passed in."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from containerlib.errors import InvalidArgument, NotFound, RegistryError, Unavailable
from containerlib.images.registry.client import Registry
from containerlib.images.registry.configuration import ConfigurationFiles
from containerlib.images.registry.retry import Retry
from containerlib.spec.auth import Auth, BasicAuth
from containerlib.spec.descriptor import Descriptor, MediaType
from containerlib.spec.digest import Digest
from containerlib.spec.image import Manifest
from rig.mock_server import MockServer

BLOB = b"some bytes of a layer"
LAYER = Descriptor(MediaType.LAYER, Digest.of(BLOB), len(BLOB))
MANIFEST = Manifest(LAYER, (LAYER,)).to_bytes()
DIGEST = Digest.of(MANIFEST)
FOREIGN = "https://layers.example/windows.tar"
QUICK = Retry(attempts=2, first_delay=0.0)

Handler = Callable[[httpx.Request], httpx.Response]


def honest(request: httpx.Request) -> httpx.Response:
    """A registry with one image, wherever it is asked for."""
    target = request.url.path.rpartition("/")[2]
    if "/manifests/" in request.url.path and target in ("1.0", "latest", str(DIGEST)):
        headers = {"Content-Type": MediaType.MANIFEST, "Docker-Content-Digest": str(DIGEST)}
        return httpx.Response(200, headers=headers, content=MANIFEST)
    if target == str(LAYER.digest):
        return httpx.Response(200, content=BLOB)
    return httpx.Response(404)


def by_host(**handlers: Handler | int) -> MockServer:
    """Each host's first label names what answers for it; a number is a status."""

    def serve(request: httpx.Request) -> httpx.Response:
        handler = handlers[request.url.host.partition(".")[0]]
        return httpx.Response(handler) if isinstance(handler, int) else handler(request)

    return MockServer(serve)


def down(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused", request=request)


@pytest.fixture
def connect(tmp_path: Path) -> Callable[..., Registry]:
    """A registry of the name "registry.example" on a machine that has no files but `conf`."""

    def connect(server: MockServer, conf: str = "", auth: Auth | None = None, **options: Any) -> Registry:
        path = tmp_path / "home/.config/containers/registries.conf"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(conf)
        files = ConfigurationFiles({"HOME": str(tmp_path / "home")}, root=str(tmp_path))
        return Registry(
            "registry.example", auth=auth, files=files, transport=server.transport, retry=QUICK, **options
        )

    return connect


def test_resolve_is_one_head(connect: Callable[..., Registry]) -> None:
    server = MockServer(honest)
    with connect(server) as registry:
        assert registry.resolve("acme/app:1.0") == Descriptor(MediaType.MANIFEST, DIGEST, len(MANIFEST))
    assert server.seen() == [("HEAD", "registry.example", "/v2/acme/app/manifests/1.0")]
    assert MediaType.INDEX in server.requests[0].headers["Accept"]


@pytest.mark.parametrize(
    "lacks", [{"status": 405}, {"digest": ""}, {"length": ""}, {"type": ""}, {"status": 400}], ids=str
)
def test_resolve_where_a_head_says_too_little_is_a_get(
    lacks: dict[str, Any], connect: Callable[..., Registry]
) -> None:
    def serve(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return honest(request)
        headers = {
            "Docker-Content-Digest": lacks.get("digest", str(DIGEST)),
            "Content-Length": lacks.get("length", str(len(MANIFEST))),
            "Content-Type": lacks.get("type", MediaType.MANIFEST),
        }
        headers = {name: value for name, value in headers.items() if value}
        return httpx.Response(lacks.get("status", 200), headers=headers, content=iter(()))

    server = MockServer(serve)
    with connect(server) as registry:
        assert registry.resolve("acme/app:1.0") == Descriptor(MediaType.MANIFEST, DIGEST, len(MANIFEST))
    assert [request.method for request in server.requests] == ["HEAD", "GET"]


def test_resolve_of_a_tag_that_is_not_there_is_not_found(connect: Callable[..., Registry]) -> None:
    with connect(MockServer(honest)) as registry, pytest.raises(NotFound, match=r"acme/app:2\.0"):
        registry.resolve("acme/app:2.0")


def test_resolve_to_another_digest_than_was_asked_for_is_refused(connect: Callable[..., Registry]) -> None:
    other = "sha256:" + "0" * 64
    headers = {"Docker-Content-Digest": other, "Content-Type": MediaType.MANIFEST, "Content-Length": "7"}
    server = MockServer(lambda _: httpx.Response(200, headers=headers, content=iter(())))
    with connect(server) as registry, pytest.raises(RegistryError, match=other) as caught:
        registry.resolve(f"acme/app@{DIGEST}")
    assert caught.value.code == "DIGEST_INVALID"


def test_manifest_is_verified_and_parsed(connect: Callable[..., Registry]) -> None:
    with connect(MockServer(honest)) as registry:
        manifest = registry.manifest("registry.example/acme/app:1.0").parse()
        assert isinstance(manifest, Manifest)
        assert manifest.to_bytes() == MANIFEST
        wrong = "sha256:" + "1" * 64
        with pytest.raises(NotFound):
            registry.manifest(f"acme/app@{wrong}")


@pytest.mark.parametrize("digest", ["sha256:" + "0" * 64, "sha256:short", "md5:" + "0" * 32])
def test_manifest_with_another_digest_than_it_came_with_is_refused(
    digest: str, connect: Callable[..., Registry]
) -> None:
    server = MockServer(
        lambda _: httpx.Response(200, headers={"Docker-Content-Digest": digest}, content=MANIFEST)
    )
    with connect(server) as registry, pytest.raises(RegistryError, match="digest"):
        registry.manifest("acme/app:1.0")


def test_blob_comes_in_pieces_and_its_size_is_asked_for_where_it_is_not_known(
    connect: Callable[..., Registry],
) -> None:
    server = MockServer(honest)
    with connect(server) as registry:
        assert b"".join(registry.blob("acme/app", LAYER)) == BLOB
        assert [method for method, _, _ in server.seen()] == ["GET"]
        assert b"".join(registry.blob("acme/app", str(LAYER.digest))) == BLOB
    assert [method for method, _, _ in server.seen()] == ["GET", "HEAD", "GET"]


def test_blob_with_other_bytes_never_comes_whole(connect: Callable[..., Registry]) -> None:
    server = MockServer(lambda _: httpx.Response(200, content=bytes(len(BLOB))))
    came = []
    with connect(server) as registry, pytest.raises(RegistryError) as caught:
        came.extend(registry.blob("acme/app", LAYER))
    assert caught.value.code == "DIGEST_INVALID"
    assert len(b"".join(came)) < len(BLOB)


def test_save_writes_what_was_verified_and_nothing_else(
    connect: Callable[..., Registry], tmp_path: Path
) -> None:
    target = tmp_path / "out" / "layer"
    target.parent.mkdir()
    target.write_bytes(b"old")
    answer = [bytes(len(BLOB))]
    with connect(MockServer(lambda _: httpx.Response(200, content=answer[0]))) as registry:
        with pytest.raises(RegistryError, match="other content"):
            registry.save("acme/app", LAYER, target)
        assert [path.name for path in target.parent.iterdir()] == ["layer"]
        assert target.read_bytes() == b"old"
        answer[0] = BLOB
        assert registry.save("acme/app", LAYER, target) == LAYER
    assert target.read_bytes() == BLOB
    assert [path.name for path in target.parent.iterdir()] == ["layer"]


@pytest.mark.parametrize(
    "name", ["", "registry", "https://ghcr.io", "ghcr.io/acme", "a b.io", "user@ghcr.io"]
)
def test_name_that_is_no_registry_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Registry(name)
    assert caught.value.field == "registry"


MIRRORED = """
[[registry]]
location = "registry.example"
[[registry.mirror]]
location = "one.example/cache"
[[registry.mirror]]
location = "two.example"
"""


def read(registry: Registry) -> bytes:
    manifest = registry.manifest("acme/app:1.0").parse()
    assert isinstance(manifest, Manifest)
    return b"".join(registry.blob("acme/app", manifest.layers[0]))


def test_mirrors_are_read_from_in_their_order_and_told_whose_it_is(connect: Callable[..., Registry]) -> None:
    server = by_host(one=404, two=honest, registry=500)
    with connect(server, MIRRORED) as registry:
        assert read(registry) == BLOB
    assert [(r.url.host, r.url.path.split("/manifests")[0]) for r in server.requests][:2] == [
        ("one.example", "/v2/cache/acme/app"),
        ("two.example", "/v2/acme/app"),
    ]
    assert "registry.example" not in {request.url.host for request in server.requests}
    assert {request.url.params.get("ns") for request in server.requests} == {"registry.example"}


def test_registry_itself_is_read_from_last_and_not_told_whose_it_is(connect: Callable[..., Registry]) -> None:
    server = by_host(one=403, two=500, registry=honest)
    with connect(server, MIRRORED) as registry:
        assert read(registry) == BLOB
    last = server.requests[-1]
    assert (last.url.host, last.url.query) == ("registry.example", b"")


def test_mirror_that_is_down_is_not_asked_again(connect: Callable[..., Registry]) -> None:
    server = by_host(one=down, two=404, registry=honest)
    with connect(server, MIRRORED) as registry:
        read(registry)
        asked = len([r for r in server.requests if r.url.host == "one.example"])
        read(registry)
    assert len([r for r in server.requests if r.url.host == "one.example"]) == asked


def test_error_is_the_registrys_own_with_what_the_mirrors_said(connect: Callable[..., Registry]) -> None:
    server = by_host(one=down, two=503, registry=404)
    with (
        connect(server, MIRRORED) as registry,
        pytest.raises(NotFound, match="is not in the registry") as caught,
    ):
        registry.resolve("acme/app:1.0")
    notes = caught.value.__notes__
    assert [note.partition(":")[0] for note in notes] == [
        "the mirror one.example/cache/acme/app",
        "the mirror two.example/acme/app",
    ]


def test_blob_that_breaks_off_at_a_mirror_goes_on_at_the_registry(connect: Callable[..., Registry]) -> None:
    def breaks(request: httpx.Request) -> httpx.Response:
        if "/blobs/" in request.url.path and request.url.host == "one.example":
            return httpx.Response(200, headers={"Content-Length": str(len(BLOB))}, content=iter([BLOB[:5]]))
        return httpx.Response(404)

    def rest(request: httpx.Request) -> httpx.Response:
        first = int(request.headers["Range"].removeprefix("bytes=").rstrip("-"))
        headers = {"Content-Range": f"bytes {first}-{len(BLOB) - 1}/{len(BLOB)}"}
        return httpx.Response(206, headers=headers, content=BLOB[first:])

    server = by_host(one=breaks, two=404, registry=rest)
    with connect(server, MIRRORED) as registry:
        assert b"".join(registry.blob("acme/app", LAYER)) == BLOB
    assert server.requests[-1].headers["Range"] != "bytes=0-"


def test_mirror_that_serves_another_namespace_is_passed_over(connect: Callable[..., Registry]) -> None:
    def other(request: httpx.Request) -> httpx.Response:
        answer = honest(request)
        answer.headers["OCI-Namespace"] = "docker.io"
        return answer

    server = by_host(one=other, two=404, registry=honest)
    with connect(server, MIRRORED) as registry:
        assert registry.resolve("acme/app:1.0").digest == DIGEST
    assert [request.url.host for request in server.requests][-1] == "registry.example"


def test_mirror_is_never_shown_the_registrys_credentials(connect: Callable[..., Registry]) -> None:
    def asks(request: httpx.Request) -> httpx.Response:
        shown = request.headers.get("Authorization")
        return honest(request) if shown else httpx.Response(401, headers={"WWW-Authenticate": "Basic"})

    server = by_host(one=asks, two=asks, registry=asks)
    with connect(server, MIRRORED, auth=BasicAuth("alice", "secret")) as registry:
        assert read(registry) == BLOB
    assert {host for host, shown in server.shown() if shown} == {"registry.example"}


def test_explicit_mirrors_come_before_those_of_the_file(connect: Callable[..., Registry]) -> None:
    server = by_host(three=honest)
    with connect(server, MIRRORED, mirrors=["three.example"]) as registry:
        assert read(registry) == BLOB


def test_blocked_repository_is_not_asked_for(connect: Callable[..., Registry]) -> None:
    server = MockServer(honest)
    conf = '[[registry]]\nlocation = "registry.example/acme"\nblocked = true'
    with connect(server, conf) as registry:
        with pytest.raises(InvalidArgument, match="acme/app is blocked by"):
            registry.manifest("acme/app:1.0")
        with pytest.raises(InvalidArgument, match="is blocked"):
            list(registry.blob("acme/app", LAYER))
    assert not server.requests


def test_insecure_registry_is_asked_with_tls_and_then_without(connect: Callable[..., Registry]) -> None:
    def plain_only(request: httpx.Request) -> httpx.Response:
        return down(request) if request.url.scheme == "https" else honest(request)

    server = MockServer(plain_only)
    conf = '[[registry]]\nlocation = "registry.example"\ninsecure = true'
    with connect(server, conf) as registry:
        assert read(registry) == BLOB
        assert {request.url.scheme for request in server.requests[1:]} == {"http"}
    with connect(server, conf, insecure=False) as registry, pytest.raises(Unavailable):
        read(registry)
    with connect(server, insecure=True) as registry:
        assert read(registry) == BLOB


def foreign(url: str = FOREIGN, data: bytes = BLOB) -> Descriptor:
    return Descriptor(
        "application/vnd.oci.image.layer.nondistributable.v1.tar", Digest.of(data), len(data), urls=(url,)
    )


def test_foreign_layer_is_refused_unless_it_is_allowed(connect: Callable[..., Registry]) -> None:
    server = by_host(registry=404, layers=lambda _: httpx.Response(200, content=BLOB))
    with (
        connect(server) as registry,
        pytest.raises(NotFound, match=f"{FOREIGN}: allow that with foreign_layers"),
    ):
        list(registry.blob("acme/app", foreign()))
    assert {request.url.host for request in server.requests} == {"registry.example"}


def test_foreign_layer_is_fetched_without_credentials(connect: Callable[..., Registry]) -> None:
    def layers(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=BLOB)

    def registry_only(request: httpx.Request) -> httpx.Response:
        shown = request.headers.get("Authorization")
        return httpx.Response(404 if shown else 401, headers={"WWW-Authenticate": "Basic"})

    server = by_host(registry=registry_only, layers=layers)
    auth = BasicAuth("alice", "secret")
    with connect(server, auth=auth, foreign_layers=True) as registry:
        assert b"".join(registry.blob("acme/app", foreign())) == BLOB
    assert server.shown()[-1] == ("layers.example", None)


def test_foreign_layer_that_the_registry_has_is_not_fetched_elsewhere(
    connect: Callable[..., Registry],
) -> None:
    server = MockServer(honest)
    with connect(server, foreign_layers=True) as registry:
        assert b"".join(registry.blob("acme/app", foreign())) == BLOB
    assert {request.url.host for request in server.requests} == {"registry.example"}


def test_foreign_layer_that_asks_for_a_login_gets_none(connect: Callable[..., Registry]) -> None:
    challenge = {"WWW-Authenticate": 'Bearer realm="https://evil.example/token"'}
    server = by_host(registry=404, layers=lambda _: httpx.Response(401, headers=challenge))
    with connect(server, auth=BasicAuth("a", "b"), foreign_layers=True) as registry:
        with pytest.raises(Exception, match="refuses the foreign layer"):
            list(registry.blob("acme/app", foreign()))
    assert "evil.example" not in {request.url.host for request in server.requests}


def test_foreign_layer_with_other_bytes_is_refused(connect: Callable[..., Registry]) -> None:
    server = by_host(registry=404, layers=lambda _: httpx.Response(200, content=bytes(len(BLOB))))
    with (
        connect(server, foreign_layers=True) as registry,
        pytest.raises(RegistryError, match="other content"),
    ):
        list(registry.blob("acme/app", foreign()))


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://layers.example/x", "not https"),
        ("file:///etc/passwd", "not https"),
        ("https://me:word@layers.example/x", "user name"),
        ("https://169.254.169.254/latest/meta-data", "link-local"),
        ("https://[fe80::1]/x", "link-local"),
        ("https://[::ffff:169.254.169.254]/x", "link-local"),
        ("https://[::1", "no URL"),
        ("https://layers.example:99999/x", "no URL"),
    ],
)
def test_foreign_layer_from_where_nobody_should_go_is_refused_by_name(
    url: str, why: str, connect: Callable[..., Registry]
) -> None:
    server = by_host(registry=404)
    with connect(server, foreign_layers=True) as registry, pytest.raises(RegistryError, match=why):
        list(registry.blob("acme/app", foreign(url)))
    assert {request.url.host for request in server.requests} == {"registry.example"}


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("file:///etc/passwd", "not https"),
        ("http://layers.example/x", "not https"),
        ("https://169.254.169.254/x", "link-local"),
        ("https://me:word@other.example/x", "user name"),
        ("https://me:word@[::1", "no URL"),
        ("https://other.example:word/x", "no URL"),
        ("https://other.example:99999/x", "no URL"),
        ("//[::1", "no URL"),
        ("/again", "too many redirects"),
    ],
)
def test_redirect_of_a_blob_to_where_nobody_should_go_is_refused_by_name(
    location: str, why: str, connect: Callable[..., Registry]
) -> None:
    server = MockServer(lambda _: httpx.Response(307, headers={"Location": location}))
    with connect(server) as registry, pytest.raises(RegistryError, match=why) as caught:
        list(registry.blob("acme/app", LAYER))
    assert "word" not in str(caught.value)
    assert {request.url.host for request in server.requests} == {"registry.example"}


def test_encoded_blob_is_refused_before_it_is_decoded(connect: Callable[..., Registry]) -> None:
    def bomb(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"Content-Encoding": "gzip"}, content=iter([bytes(100)]))

    with connect(MockServer(bomb)) as registry:
        for read_it in (
            lambda: list(registry.blob("acme/app", LAYER)),
            lambda: registry.manifest("acme/app:1.0"),
        ):
            with pytest.raises(RegistryError, match="the encoding 'gzip'"):
                read_it()


def test_sha512_is_verified_as_sha256_is(connect: Callable[..., Registry]) -> None:
    digest = Digest("sha512", hashlib.sha512(BLOB).hexdigest())
    with connect(MockServer(lambda _: httpx.Response(200, content=BLOB))) as registry:
        assert b"".join(registry.blob("acme/app", Descriptor("a/b", digest, len(BLOB)))) == BLOB
