"""Reading from a registry: what a tag names, manifests, blobs. The transport is passed in."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from containerlib.errors import InvalidArgument, NotFound, RegistryError
from containerlib.images.registry.client import Registry
from containerlib.spec.descriptor import Descriptor, MediaType
from containerlib.spec.digest import Digest
from containerlib.spec.image import Manifest
from rig.mock_image import BLOB, DIGEST, LAYER, MANIFEST, honest
from rig.mock_server import MockServer


def test_resolve_is_one_head(connect: Callable[..., Registry]) -> None:
    server = MockServer(honest)
    with connect(server) as registry:
        assert registry.resolve("acme/app:1.0") == Descriptor(MediaType.MANIFEST, DIGEST, len(MANIFEST))
    assert server.seen() == [("HEAD", "registry.example", "/v2/acme/app/manifests/1.0")]
    assert MediaType.INDEX in server.requests[0].headers["Accept"]


@pytest.mark.parametrize(
    "lacks",
    [{"status": 405}, {"digest": ""}, {"length": ""}, {"type": ""}, {"status": 400}, {"status": 501}],
    ids=str,
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


def test_every_type_that_is_read_is_asked_for(connect: Callable[..., Registry]) -> None:
    """A registry makes another manifest of one whose type was not, or answers that there is none."""
    server = MockServer(honest)
    with connect(server) as registry:
        registry.resolve("acme/app:1.0")
        registry.manifest("acme/app:1.0")
    for request in server.requests:
        assert set(request.headers["Accept"].split(", ")) == {*MediaType.INDEXES, *MediaType.MANIFESTS}


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
    assert len(server.requests) <= 6
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


def test_sha512_is_verified_as_sha256_is(connect: Callable[..., Registry], tmp_path: Path) -> None:
    descriptor = Descriptor("a/b", Digest("sha512", hashlib.sha512(BLOB).hexdigest()), len(BLOB))
    answer = [BLOB]
    with connect(MockServer(lambda _: httpx.Response(200, content=answer[0]))) as registry:
        assert b"".join(registry.blob("acme/app", descriptor)) == BLOB
        registry.save("acme/app", descriptor, tmp_path / "blob")
        answer[0] = BLOB[::-1]
        with pytest.raises(RegistryError, match="other content"):
            registry.save("acme/app", descriptor, tmp_path / "other")
    assert [path.name for path in tmp_path.glob("*b*")] == ["blob"]
