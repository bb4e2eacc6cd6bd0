"""Published vulnerabilities of registry clients: what a hostile registry, or its image, makes who pulls do."""

from __future__ import annotations

import base64
from pathlib import Path

import httpx
import pytest

from containerlib.errors import RegistryError
from containerlib.images.registry import Registry
from containerlib.images.registry.configuration.files import ConfigurationFiles
from containerlib.spec.auth import Auth, BasicAuth, IdentityToken
from rig.mock_server import MockServer

HOST = "registry.example.org"
SECRETS = ("secret", base64.b64encode(b"alice:secret").decode(), base64.b64encode(b"<token>:secret").decode())
LOGINS = [
    pytest.param(BasicAuth("alice", "secret"), id="password"),
    pytest.param(IdentityToken("secret"), id="identity token"),
]


def asking_for(realm: str) -> MockServer:
    """A registry that names a token server, which gives a token to whoever asks."""

    def serve(request: httpx.Request) -> httpx.Response:
        if request.url.host != HOST:
            return httpx.Response(200, json={"token": "t"})
        if request.headers.get("Authorization") == "Bearer t":
            return httpx.Response(200, json={"name": "app", "tags": ["a"]})
        return httpx.Response(401, headers={"WWW-Authenticate": f'Bearer realm="{realm}",service="s"'})

    return MockServer(serve)


def told(server: MockServer) -> set[str]:
    """The hosts that were sent the secret."""
    return {
        request.url.host
        for request in server.requests
        if any(secret in f"{request.url} {request.headers.raw} {request.read()!r}" for secret in SECRETS)
    }


@pytest.mark.parametrize("login", LOGINS)
@pytest.mark.parametrize("method", ["pull", "push"])
def test_credentials_do_not_go_to_a_realm_of_another_domain(login: Auth, method: str) -> None:
    """CVE-2026-48978: the registry's challenge names a host of the attacker's as its token server."""
    server = asking_for("https://evil.example.net/token")
    with Registry(HOST, auth=login, transport=server.transport) as registry:
        with pytest.raises(RegistryError, match=r"token_server='evil\.example\.net'") as caught:
            registry.tags("app") if method == "pull" else registry.push_blob("app", b"data")
    assert caught.value.code == "DENIED"
    assert {request.url.host for request in server.requests} == {HOST}
    assert told(server) == set()


def test_realm_of_another_domain_is_asked_where_there_are_no_credentials(tmp_path: Path) -> None:
    server = asking_for("https://auth.example.net/token")
    with Registry(
        HOST, files=ConfigurationFiles({"HOME": str(tmp_path)}), transport=server.transport
    ) as registry:
        assert registry.tags("app") == ["a"]


@pytest.mark.parametrize("way", ["credentials", "registry", "registries.conf"])
def test_realm_of_another_domain_is_told_where_the_caller_named_it(way: str, tmp_path: Path) -> None:
    host = "auth.example.net"
    settings = tmp_path / "registries.conf"
    settings.write_text(
        f'[[registry]]\nlocation = "{HOST}"\n{f"token-server = {host!r}" if way == "registries.conf" else ""}\n'
    )
    server = asking_for(f"https://{host}/token")
    with Registry(
        HOST,
        auth=BasicAuth("alice", "secret", token_server=host if way == "credentials" else ""),
        token_server=host if way == "registry" else "",
        files=ConfigurationFiles({"HOME": str(tmp_path), "CONTAINERS_REGISTRIES_CONF": str(settings)}),
        transport=server.transport,
    ) as registry:
        assert registry.tags("app") == ["a"]
    assert told(server) == {host}
