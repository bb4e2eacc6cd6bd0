"""Layers that a registry does not keep, from the URLs in their descriptors. The transport is passed in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from containerlib.errors import NotFound, RegistryError
from containerlib.images.registry.client import Registry
from containerlib.spec.auth import BasicAuth
from containerlib.spec.descriptor import Descriptor
from containerlib.spec.digest import Digest
from rig.mock_image import BLOB, honest
from rig.mock_server import MockServer, by_host, down

FOREIGN = "https://layers.example/windows.tar"


def foreign(*urls: str, data: bytes = BLOB) -> Descriptor:
    media_type = "application/vnd.oci.image.layer.nondistributable.v1.tar"
    return Descriptor(media_type, Digest.of(data), len(data), urls=urls or (FOREIGN,))


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


def test_foreign_layer_that_is_not_at_its_first_address_is_fetched_from_the_next(
    connect: Callable[..., Registry], tmp_path: Path
) -> None:
    places = by_host(registry=404, one=404, two=down, layers=lambda _: httpx.Response(200, content=BLOB))
    urls = ("https://one.example/x", "https://two.example/x", FOREIGN)
    with connect(places, foreign_layers=True) as registry:
        assert b"".join(registry.blob("acme/app", foreign(*urls))) == BLOB
        registry.save("acme/app", foreign(*urls), tmp_path / "layer")
    assert (tmp_path / "layer").read_bytes() == BLOB


def test_foreign_layer_that_is_nowhere_is_asked_for_at_a_few_addresses_alone(
    connect: Callable[..., Registry],
) -> None:
    server = by_host(registry=404, layers=404)
    urls = [f"https://layers.example/{number}" for number in range(100)]
    with connect(server, foreign_layers=True) as registry, pytest.raises(NotFound):
        list(registry.blob("acme/app", foreign(*urls)))
    assert len([host for host, _ in server.shown() if host == "layers.example"]) == 8


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
