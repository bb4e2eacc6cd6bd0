"""Requests to a registry: credentials, redirects, hosts. No network: the transport is passed in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from containerlib.errors import RegistryError, Unauthorized
from containerlib.images.content.ingest import Ingest
from containerlib.images.registry.client import Registry
from containerlib.images.registry.retry import Retry
from containerlib.spec.auth import BasicAuth
from containerlib.spec.digest import Digest
from containerlib.spec.image import Descriptor
from containerlib.spec.reference import Reference
from rig.mock_server import MockServer

ALICE = BasicAuth("alice", "secret")
BASIC = "Basic YWxpY2U6c2VjcmV0"
BEARER = {"WWW-Authenticate": 'Bearer realm="https://auth.registry.example/token",service="example"'}
QUICK = Retry(attempts=2, first_delay=0.0)
BLOB = b"some bytes"
DESCRIPTOR = Descriptor("application/octet-stream", Digest.of(BLOB), len(BLOB))


def connect(server: MockServer, name: str = "registry.example", auth: BasicAuth | None = ALICE) -> Registry:
    return Registry(name, auth=auth, transport=server.transport, retry=QUICK)


def download(registry: Registry, path: Path) -> bytes:
    ingest = Ingest(str(path / "blob"), DESCRIPTOR.digest, DESCRIPTOR.size)
    try:
        registry.fetch("app", DESCRIPTOR, ingest)
        ingest.finish()
        return (path / "blob").read_bytes()
    finally:
        ingest.close()


def bearer_server(request: httpx.Request) -> httpx.Response:
    if request.url.host == "auth.registry.example":
        return httpx.Response(200, json={"token": "t0k"})
    if request.headers.get("Authorization") == "Bearer t0k":
        return httpx.Response(200, content=b"{}")
    return httpx.Response(401, headers=BEARER)


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("docker.io", "https://registry-1.docker.io/v2/app/manifests/latest"),
        ("ghcr.io", "https://ghcr.io/v2/app/manifests/latest"),
        ("host:5000", "https://host:5000/v2/app/manifests/latest"),
        ("localhost:5000", "http://localhost:5000/v2/app/manifests/latest"),
        ("127.8.9.1", "http://127.8.9.1/v2/app/manifests/latest"),
        ("[::1]:5000", "http://[::1]:5000/v2/app/manifests/latest"),
        ("localhost.example", "https://localhost.example/v2/app/manifests/latest"),
        ("128.0.0.1", "https://128.0.0.1/v2/app/manifests/latest"),
    ],
)
def test_plain_http_is_for_loopback_only(name: str, url: str) -> None:
    server = MockServer(lambda _: httpx.Response(200, content=b"{}"))
    with connect(server, name) as registry:
        registry.manifest(Reference(name, "app", "latest"))
    assert [str(request.url) for request in server.requests] == [url]


def test_credentials_are_not_shown_before_they_are_asked_for() -> None:
    server = MockServer(lambda _: httpx.Response(200, content=b"{}"))
    with connect(server) as registry:
        registry.manifest(Reference.parse("registry.example/app"))
    assert server.shown() == [("registry.example", None)]


def test_bearer_token_is_fetched_once_and_kept() -> None:
    server = MockServer(bearer_server)
    with connect(server) as registry:
        for _ in range(2):
            registry.manifest(Reference.parse("registry.example/app"))
    assert server.shown() == [
        ("registry.example", None),
        ("auth.registry.example", BASIC),
        ("registry.example", "Bearer t0k"),
        ("registry.example", "Bearer t0k"),
    ]


def test_bearer_token_without_credentials_is_asked_for_anonymously() -> None:
    server = MockServer(bearer_server)
    with connect(server, auth=None) as registry:
        registry.manifest(Reference.parse("registry.example/app"))
    assert ("auth.registry.example", None) in server.shown()


def test_bearer_token_that_has_expired_is_fetched_anew() -> None:
    tokens = iter("12")
    valid = ["Bearer 1"]

    def serve(request: httpx.Request) -> httpx.Response:
        if request.url.host == "auth.registry.example":
            return httpx.Response(200, json={"token": next(tokens)})
        good = request.headers.get("Authorization") in valid
        return httpx.Response(200, content=b"{}") if good else httpx.Response(401, headers=BEARER)

    with connect(MockServer(serve)) as registry:
        registry.manifest(Reference.parse("registry.example/app"))
        valid[0] = "Bearer 2"
        registry.manifest(Reference.parse("registry.example/app"))


def test_basic_is_answered_with_credentials() -> None:
    def serve(request: httpx.Request) -> httpx.Response:
        good = request.headers.get("Authorization") == BASIC
        return (
            httpx.Response(200, content=b"{}")
            if good
            else httpx.Response(401, headers={"WWW-Authenticate": "Basic"})
        )

    with connect(MockServer(serve)) as registry:
        registry.manifest(Reference.parse("registry.example/app"))
    with (
        connect(MockServer(serve), auth=None) as registry,
        pytest.raises(Unauthorized, match="auth=BasicAuth"),
    ):
        registry.manifest(Reference.parse("registry.example/app"))
    wrong = BasicAuth("mallory", "guess")
    with connect(MockServer(serve), auth=wrong) as registry, pytest.raises(Unauthorized, match="'mallory'"):
        registry.manifest(Reference.parse("registry.example/app"))


def test_token_server_that_refuses_is_unauthorized() -> None:
    def serve(request: httpx.Request) -> httpx.Response:
        return httpx.Response(401, headers=BEARER if request.url.host == "registry.example" else {})

    with connect(MockServer(serve)) as registry, pytest.raises(Unauthorized, match="credentials of 'alice'"):
        registry.manifest(Reference.parse("registry.example/app"))


def test_token_server_without_tls_is_never_told() -> None:
    headers = {"WWW-Authenticate": 'Bearer realm="http://auth.example/token"'}
    server = MockServer(lambda _: httpx.Response(401, headers=headers))
    with connect(server) as registry, pytest.raises(RegistryError, match="https is needed"):
        registry.manifest(Reference.parse("registry.example/app"))
    assert server.shown() == [("registry.example", None)]


@pytest.mark.parametrize(
    "location",
    ["https://cdn.example/x", "https://registry.example:8443/x", "https://sub.registry.example/x"],
)
def test_redirect_to_another_host_carries_no_credentials(location: str, tmp_path: Path) -> None:
    target = httpx.URL(location)

    def serve(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/x":
            return httpx.Response(200, content=BLOB)
        if request.headers.get("Authorization") == BASIC:
            return httpx.Response(307, headers={"Location": location})
        return httpx.Response(401, headers={"WWW-Authenticate": "Basic"})

    server = MockServer(serve)
    with connect(server) as registry:
        assert download(registry, tmp_path) == BLOB
    assert server.shown()[-1] == (target.host, None)


def test_redirect_on_the_same_host_keeps_credentials(tmp_path: Path) -> None:
    def serve(request: httpx.Request) -> httpx.Response:
        if request.headers.get("Authorization") != BASIC:
            return httpx.Response(401, headers={"WWW-Authenticate": "Basic"})
        if request.url.path == "/x":
            return httpx.Response(200, content=BLOB)
        return httpx.Response(307, headers={"Location": "/x"})

    with connect(MockServer(serve)) as registry:
        assert download(registry, tmp_path) == BLOB


@pytest.mark.parametrize("challenge", ["Basic", 'Bearer realm="https://evil.example/token"'])
def test_challenge_of_a_host_redirected_to_is_not_answered(challenge: str, tmp_path: Path) -> None:
    def serve(request: httpx.Request) -> httpx.Response:
        if request.url.host == "evil.example":
            return httpx.Response(401, headers={"WWW-Authenticate": challenge})
        return httpx.Response(307, headers={"Location": "https://evil.example/x"})

    server = MockServer(serve)
    with connect(server) as registry, pytest.raises(Unauthorized):
        download(registry, tmp_path)
    assert server.shown() == [("registry.example", None), ("evil.example", None)]


@pytest.mark.parametrize("location", ["http://registry.example/x", "http://127.0.0.1/x", "ftp://a/x"])
def test_redirect_down_from_tls_is_not_followed(location: str, tmp_path: Path) -> None:
    server = MockServer(lambda _: httpx.Response(307, headers={"Location": location}))
    with connect(server) as registry, pytest.raises(RegistryError, match="not https"):
        download(registry, tmp_path)
    assert len(server.requests) == 1


def test_error_message_of_a_registry_cannot_drive_the_terminal() -> None:
    body = {"errors": [{"code": "BAD\x1b[2J", "message": "red \x1b[31m" + "x" * 1000}]}
    server = MockServer(lambda _: httpx.Response(400, json=body))
    with connect(server) as registry, pytest.raises(RegistryError) as caught:
        registry.manifest(Reference.parse("registry.example/app"))
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert caught.value.status == 400


def test_images_are_imported_without_httpx() -> None:
    program = "import sys, containerlib.images; sys.exit('httpx' in sys.modules)"
    assert subprocess.run([sys.executable, "-P", "-c", program], check=False).returncode == 0
