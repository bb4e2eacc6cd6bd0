"""Where a repository is read from: mirrors, blocked and insecure registries. The transport is passed in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from containerlib.errors import InvalidArgument, NotFound, RegistryError, Unavailable
from containerlib.images.registry.challenges import basic
from containerlib.images.registry.client import Registry
from containerlib.images.registry.retry import Retry
from containerlib.spec.auth import BasicAuth
from containerlib.spec.image import Manifest
from rig.mock_image import BLOB, DIGEST, LAYER, honest
from rig.mock_server import Handler, MockServer, by_host, down

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


def lies(request: httpx.Request) -> httpx.Response:
    """Has other bytes under the blob's digest, as many as it should have."""
    return httpx.Response(200, content=BLOB[::-1]) if "/blobs/" in request.url.path else honest(request)


@pytest.mark.parametrize(("one", "two"), [(lies, honest), (404, lies), (lies, lies), (down, lies)])
def test_blob_that_is_another_at_a_mirror_is_asked_for_at_the_next_place(
    connect: Callable[..., Registry], tmp_path: Path, one: Handler | int, two: Handler | int
) -> None:
    with connect(by_host(one=one, two=two, registry=honest), MIRRORED) as registry:
        registry.save("acme/app", LAYER, tmp_path / "blob")
    assert (tmp_path / "blob").read_bytes() == BLOB
    assert list(tmp_path.glob(".blob*")) == []


def test_blob_that_began_wrong_at_a_mirror_is_asked_for_from_its_start(
    connect: Callable[..., Registry], tmp_path: Path
) -> None:
    def breaks(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"Content-Length": str(len(BLOB))}, content=iter([b"wrong"]))

    def ranges(request: httpx.Request) -> httpx.Response:
        first = int(request.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
        headers = {"Content-Range": f"bytes {first}-{len(BLOB) - 1}/{len(BLOB)}"}
        return httpx.Response(206 if first else 200, headers=headers, content=BLOB[first:])

    server = by_host(one=breaks, two=404, registry=ranges)
    with connect(server, MIRRORED) as registry:
        registry.save("acme/app", LAYER, tmp_path / "blob")
    assert (tmp_path / "blob").read_bytes() == BLOB
    asked = [r.headers.get("Range") for r in server.requests if r.url.host == "registry.example"]
    assert asked == [asked[0], None]
    assert asked[0] is not None


def test_blob_that_is_another_everywhere_is_refused_with_what_the_mirrors_had(
    connect: Callable[..., Registry], tmp_path: Path
) -> None:
    with (
        connect(by_host(one=lies, two=404, registry=lies), MIRRORED) as registry,
        pytest.raises(RegistryError, match="other content") as caught,
    ):
        registry.save("acme/app", LAYER, tmp_path / "blob")
    assert "the mirror one.example/cache/acme/app: the blob" in caught.value.__notes__[0]
    assert list(tmp_path.glob("*blob*")) == []


def test_mirror_that_serves_another_namespace_is_passed_over(connect: Callable[..., Registry]) -> None:
    def other(request: httpx.Request) -> httpx.Response:
        answer = honest(request)
        answer.headers["OCI-Namespace"] = "docker.io"
        return answer

    server = by_host(one=other, two=404, registry=honest)
    with connect(server, MIRRORED) as registry:
        assert registry.resolve("acme/app:1.0").digest == DIGEST
        assert server.requests[-1].url.host == "registry.example"
        asked = len(server.requests)
        registry.manifest("acme/app:1.0")
    assert [(r.method, r.url.host.partition(".")[0]) for r in server.requests[asked:]] == [
        ("GET", "one"),
        ("GET", "two"),
        ("GET", "registry"),
    ]


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


def test_insecure_registry_over_tls_does_not_lead_down_to_plain_http(
    connect: Callable[..., Registry],
) -> None:
    headers = {"Location": "http://registry.example/x"}
    server = MockServer(lambda _: httpx.Response(307, headers=headers))
    with connect(server, insecure=True) as registry, pytest.raises(RegistryError, match="not https"):
        list(registry.blob("acme/app", LAYER))
    assert {request.url.scheme for request in server.requests} == {"https"}


def test_insecure_registry_without_tls_may_have_its_token_server_beside_it(
    connect: Callable[..., Registry],
) -> None:
    def plain_only(request: httpx.Request) -> httpx.Response:
        if request.url.scheme == "https":
            return down(request)
        if request.url.path == "/token":
            return httpx.Response(200, json={"token": "t"})
        if "Authorization" not in request.headers:
            challenge = f'Bearer realm="http://{host[0]}/token",service="s"'
            return httpx.Response(401, headers={"WWW-Authenticate": challenge})
        here = request.url.path.startswith("/v2/moved")
        return (
            honest(request)
            if here
            else httpx.Response(307, headers={"Location": f"/v2/moved{request.url.path}"})
        )

    server, host = MockServer(plain_only), ["registry.example"]
    with connect(server, insecure=True) as registry:
        assert read(registry) == BLOB
    host[0] = "auth.example"
    with connect(server, insecure=True) as registry, pytest.raises(RegistryError, match="https is needed"):
        read(registry)


def test_mirror_in_trouble_is_waited_for_less_than_the_registry_itself(
    connect: Callable[..., Registry],
) -> None:
    server = by_host(one=503, two=404, registry=503)
    with connect(server, MIRRORED, retry=Retry(attempts=5, first_delay=0.0)) as registry:
        with pytest.raises(RegistryError):
            registry.resolve("acme/app:1.0")
    asked = [host.partition(".")[0] for host, _ in server.shown()]
    assert [asked.count(name) for name in ("one", "two", "registry")] == [2, 1, 5]


def test_mirror_is_shown_what_a_login_left_for_it(
    connect: Callable[..., Registry], monkeypatch: pytest.MonkeyPatch
) -> None:
    def asks(request: httpx.Request) -> httpx.Response:
        shown = request.headers.get("Authorization")
        return honest(request) if shown else httpx.Response(401, headers={"WWW-Authenticate": "Basic"})

    login = {"auths": {"one.example": {"username": "of the mirror", "password": "pw"}}}
    monkeypatch.setenv("DOCKER_AUTH_CONFIG", json.dumps(login))
    server = by_host(one=asks, two=404, registry=404)
    with connect(server, MIRRORED, auth=BasicAuth("alice", "secret")) as registry:
        assert read(registry) == BLOB
    assert {value for _, value in server.shown() if value} == {basic(BasicAuth("of the mirror", "pw"))}


def test_mirror_is_shown_what_a_lookup_has_for_it(connect: Callable[..., Registry]) -> None:
    class Lookup:
        def get(self, registry: str, repository: str) -> BasicAuth:
            return BasicAuth(registry, repository)

    def asks(request: httpx.Request) -> httpx.Response:
        shown = request.headers.get("Authorization")
        return honest(request) if shown else httpx.Response(401, headers={"WWW-Authenticate": "Basic"})

    server = by_host(one=asks, two=404, registry=404)
    with connect(server, MIRRORED, auth=Lookup()) as registry:
        assert read(registry) == BLOB
    shown = {value for _, value in server.shown() if value}
    assert shown == {basic(BasicAuth("one.example", "cache/acme/app"))}
