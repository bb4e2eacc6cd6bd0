"""Registry, alone and without privilege, with docker-registry: plain, TLS, passwords, and in bad weather."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import containerlib as cl
from containerlib.spec.descriptor import Descriptor
from containerlib.spec.digest import Digest
from containerlib.spec.image import Manifest
from rig.certificates import Certificate, htpasswd_line
from rig.fault_proxy import FaultProxy
from rig.images import Image, Layer
from rig.registry import Registry
from rig.token_server import TokenServer

NOISE = os.urandom(3_000_000)
IMAGE = Image((Layer().file("noise", NOISE).finish(),), {"Cmd": ["/app"]})
ALICE = cl.BasicAuth("alice", "secret")


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return IMAGE.write_layout(tmp_path_factory.mktemp("layout") / "layout")


def assert_readable(registry: cl.Registry, repository: str = "app") -> None:
    """Tag, manifest and layer, each verified."""
    descriptor = registry.resolve(f"{repository}:latest")
    data, media_type = registry.manifest(f"{repository}:latest")
    assert descriptor == Descriptor(media_type, Digest.of(data), len(data))
    manifest = registry.manifest(f"{repository}@{descriptor.digest}").parse()
    assert isinstance(manifest, Manifest)
    for layer in manifest.layers:
        assert Digest.of(b"".join(registry.blob(repository, layer))) == layer.digest


def test_registry_over_http_reads_what_skopeo_pushed(
    registry: Registry, layout: Path, connect: Callable[..., cl.Registry]
) -> None:
    registry.push(layout, "team/app")
    with connect(registry.address) as client:
        assert_readable(client, "team/app")
        with pytest.raises(cl.NotFound, match="team/app:other"):
            client.resolve("team/app:other")
        with pytest.raises(cl.NotFound):
            list(client.blob("team/app", "sha256:" + "0" * 64))


def test_registry_saves_a_blob_as_a_file(
    registry: Registry, layout: Path, connect: Callable[..., cl.Registry], tmp_path: Path
) -> None:
    registry.push(layout, "app")
    with connect(registry.address) as client:
        manifest = client.manifest("app:latest").parse()
        assert isinstance(manifest, Manifest)
        descriptor = client.save("app", manifest.layers[0], tmp_path / "layer")
    assert Digest.of((tmp_path / "layer").read_bytes()) == descriptor.digest


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl: install openssl")
    return Certificate.make(tmp_path / "certificate", "127.0.0.1")


@pytest.fixture
def tls_registry(certificate: Certificate, layout: Path, tmp_path: Path) -> Iterator[Registry]:
    if shutil.which("docker-registry") is None or shutil.which("skopeo") is None:
        pytest.skip("no docker-registry and skopeo")
    with Registry(tmp_path / "registry", certificate=certificate) as registry:
        registry.push(layout, "app")
        yield registry


def test_registry_over_tls_is_read_with_its_ca(
    tls_registry: Registry, certificate: Certificate, connect: Callable[..., cl.Registry]
) -> None:
    with connect(tls_registry.address, ca=certificate.file) as client:
        assert_readable(client)
    with connect(tls_registry.address, insecure=False) as client:
        with pytest.raises(cl.Unavailable, match=r"is not accepted \(self-signed.*ca=") as caught:
            client.resolve("app:latest")
        assert "certs.d" in str(caught.value)


def test_registry_over_tls_is_read_where_it_is_insecure(
    tls_registry: Registry, registry: Registry, connect: Callable[..., cl.Registry], layout: Path
) -> None:
    registry.push(layout, "app")
    for address in (tls_registry.address, registry.address):
        with connect(address, insecure=True) as client:
            assert_readable(client)


def test_registry_with_its_certificates_in_certs_d_is_read(
    tls_registry: Registry, certificate: Certificate, connect: Callable[..., cl.Registry], tmp_path: Path
) -> None:
    directory = tmp_path / "system/etc/docker/certs.d" / tls_registry.address
    directory.mkdir(parents=True)
    shutil.copy(certificate.file, directory / "ca.crt")
    with connect(tls_registry.address) as client:
        assert_readable(client)


def test_registry_that_wants_a_clients_certificate_gets_it(
    certificate: Certificate, connect: Callable[..., cl.Registry], tmp_path: Path
) -> None:
    own = Certificate.make(tmp_path / "client", "127.0.0.2")
    with Registry(tmp_path / "registry", certificate=certificate, client=own) as registry:
        with connect(registry.address, ca=certificate.file, client_certificate=(own.file, own.key)) as client:
            assert client.push_blob("app", b"x").size == 1
        with connect(registry.address, ca=certificate.file) as client, pytest.raises(cl.Unavailable):
            client.resolve("app:latest")
        both = tmp_path / "both.pem"
        both.write_bytes(own.file.read_bytes() + own.key.read_bytes())
        with connect(registry.address, ca=certificate.file, client_certificate=both) as client:
            assert client.push_blob("app", b"x").size == 1


@pytest.mark.parametrize("what", ["ca", "client_certificate"])
def test_registry_with_a_file_that_is_no_certificate_says_which(
    what: str, connect: Callable[..., cl.Registry], tmp_path: Path
) -> None:
    bad = tmp_path / "bad.pem"
    for content in (None, b"no certificate"):
        if content:
            bad.write_bytes(content)
        with connect("127.0.0.1:1", **{what: bad}) as client:
            with pytest.raises(cl.InvalidArgument, match=r"bad\.pem") as caught:
                client.resolve("app:latest")
        assert caught.value.field == what


def test_registry_with_passwords_is_read_by_those_who_have_one(
    layout: Path, connect: Callable[..., cl.Registry], tmp_path: Path
) -> None:
    line = htpasswd_line("alice", "secret")
    if line is None:
        pytest.skip("the C library's crypt has no bcrypt, which docker-registry wants")
    passwords = tmp_path / "htpasswd"
    passwords.write_text(line)
    with Registry(tmp_path / "registry", passwords=passwords) as registry:
        registry.push(layout, "app", "latest", "--dest-creds=alice:secret")
        with connect(registry.address, auth=ALICE) as client:
            assert_readable(client)
        for auth in (cl.BasicAuth("alice", "wrong"), None):
            with connect(registry.address, auth=auth) as client, pytest.raises(cl.Unauthorized):
                client.resolve("app:latest")


@pytest.mark.parametrize(
    ("auth", "reads"),
    [
        (ALICE, True),
        (cl.IdentityToken("alices"), True),
        (cl.BasicAuth("alice", "wrong"), False),
        (cl.IdentityToken("revoked"), False),
        (cl.RegistryToken("made up"), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_registry_behind_a_token_server_is_read_with_a_login(
    auth: cl.BasicAuth | cl.IdentityToken | cl.RegistryToken,
    reads: bool,
    registry: Registry,
    layout: Path,
    connect: Callable[..., cl.Registry],
) -> None:
    registry.push(layout, "app")
    with TokenServer({"alice": "secret"}, refresh={"alices": "alice"}) as tokens:
        with FaultProxy(registry.address, tokens.guard) as proxy, connect(proxy.address, auth=auth) as client:
            if reads:
                assert_readable(client)
                assert tokens.asked == ["repository:app:pull"]
            else:
                with pytest.raises(cl.Unauthorized):
                    client.resolve("app:latest")
    assert not [request for request in proxy.requests if "alices" in str(request.headers)]


def test_push_and_pull_are_tokens_of_their_own(
    registry: Registry, connect: Callable[..., cl.Registry]
) -> None:
    with TokenServer() as tokens, FaultProxy(registry.address, tokens.guard) as proxy:
        with connect(proxy.address) as client:
            blob = client.push_blob("app", b"data")
            assert b"".join(client.blob("app", blob)) == b"data"
    assert len(tokens.asked) <= 2
    assert "pull,push" in tokens.asked[0]


def test_mirror_is_read_from_and_the_registry_is_asked_for_the_rest(
    registry: Registry, layout: Path, connect: Callable[..., cl.Registry], tmp_path: Path
) -> None:
    with Registry(tmp_path / "mirror") as mirror, FaultProxy(mirror.address) as seen:
        registry.push(layout, "team/app")
        mirror.push(layout, "cache/team/app")
        with connect(registry.address, mirrors=[f"{seen.address}/cache"]) as client:
            assert_readable(client, "team/app")
            assert {request.path.partition("?")[2] for request in seen.requests} == {
                f"ns={registry.address.replace(':', '%3A')}"
            }
            with connect(registry.address) as origin:
                blob = origin.push_blob("team/app", b"new")
            assert b"".join(client.blob("team/app", blob)) == b"new"


def test_mirror_has_certificates_of_its_own(
    certificate: Certificate, layout: Path, connect: Callable[..., cl.Registry], tmp_path: Path
) -> None:
    """Those that are given are the registry's; certs.d has the mirror's."""
    other = Certificate.make(tmp_path / "other", "127.0.0.1")
    with (
        Registry(tmp_path / "registry", certificate=certificate) as registry,
        Registry(tmp_path / "mirror", certificate=other) as mirror,
    ):
        registry.push(layout, "app")
        mirror.push(layout, "only/there")
        directory = tmp_path / "system/etc/containers/certs.d" / mirror.address
        directory.mkdir(parents=True)
        shutil.copy(other.file, directory / "ca.crt")
        with connect(registry.address, ca=certificate.file, mirrors=[mirror.address]) as client:
            assert_readable(client, "app")
            assert_readable(client, "only/there")


FOUND = """
import os
from containerlib.images.registry.credentials import StoredCredentials
os.makedirs(f"/run/containers/{os.getuid()}")
with open(f"/run/containers/{os.getuid()}/auth.json", "w") as file:
    file.write('{"auths": {"ghcr.io": {"username": "ci", "password": "pw"}}}')
print(StoredCredentials({"HOME": "/nowhere"}).get("ghcr.io", "acme/app").username)
"""


@pytest.mark.privileged("CAP_SYS_ADMIN: mounts a /run of its own")
def test_login_that_podman_left_without_a_runtime_directory_is_found() -> None:
    script = 'mount -t tmpfs none /run && exec "$0" -P -c "$1"'
    command = ["unshare", "--mount", "sh", "-c", script, sys.executable, FOUND]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "ci\n", done.stderr
