"""Registry, alone and without privilege, with docker-registry: plain, TLS, passwords, and in bad weather."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import containerlib as cl
from containerlib.images.registry import blobs
from containerlib.images.registry.configuration import ConfigurationFiles
from containerlib.images.registry.retry import Retry
from containerlib.spec.descriptor import Descriptor
from containerlib.spec.digest import Digest
from containerlib.spec.image import Manifest
from rig.certificates import Certificate, htpasswd_line
from rig.fault_proxy import FaultProxy, times
from rig.images import Image, Layer
from rig.registry import Registry
from rig.scripted_server import Answer, Cut, Fault, Request
from rig.token_server import TokenServer

NOISE = os.urandom(3_000_000)
IMAGE = Image((Layer().file("noise", NOISE).finish(),), {"Cmd": ["/app"]})
LARGE = os.urandom(1 << 20) * 40  # its hash says where a piece is wrong: no two segments are alike
ALICE = cl.BasicAuth("alice", "secret")
QUICK = Retry(attempts=4, first_delay=0.01)


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return IMAGE.write_layout(tmp_path_factory.mktemp("layout") / "layout")


@pytest.fixture
def nowhere(tmp_path: Path) -> ConfigurationFiles:
    """A machine without files of registries."""
    return ConfigurationFiles({"HOME": str(tmp_path / "nobody")}, root=str(tmp_path / "system"))


@pytest.fixture
def connect(nowhere: ConfigurationFiles) -> Callable[..., cl.Registry]:
    def connect(address: str, **options: object) -> cl.Registry:
        return cl.Registry(address, **{"files": nowhere, "retry": QUICK, "timeout": 5.0, **options})  # type: ignore[arg-type]

    return connect


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


def test_token_that_is_used_up_in_the_middle_is_renewed(
    registry: Registry, connect: Callable[..., cl.Registry]
) -> None:
    """Each token is good for two requests, and three threads use it up for each other."""
    with connect(registry.address) as client:
        blob = client.push_blob("app", LARGE)
    with TokenServer(uses=2) as tokens, FaultProxy(registry.address, tokens.guard) as proxy:
        proxy.fault = lambda _: lambda honest: replace(honest, pace=40e6)
        with connect(proxy.address) as client:
            sink = Memory()
            client.fetch("app", blob, sink)
    assert bytes(sink.data) == LARGE
    assert len(tokens.asked) >= 5


def test_push_and_pull_are_tokens_of_their_own(
    registry: Registry, connect: Callable[..., cl.Registry]
) -> None:
    with TokenServer() as tokens, FaultProxy(registry.address, tokens.guard) as proxy:
        with connect(proxy.address) as client:
            blob = client.push_blob("app", b"data")
            assert b"".join(client.blob("app", blob)) == b"data"
    assert len(tokens.asked) <= 2
    assert "pull,push" in tokens.asked[0]


class Memory:
    """A sink."""

    def __init__(self) -> None:
        self.data = bytearray()

    @property
    def written(self) -> int:
        return len(self.data)

    def write(self, chunk: bytes) -> None:
        self.data += chunk


@pytest.fixture
def weather(registry: Registry) -> Iterator[FaultProxy]:
    """What is between us and the registry."""
    with FaultProxy(registry.address) as proxy:
        yield proxy


def of_blobs(request: Request) -> bool:
    return request.is_blob and request.method == "GET"


def changed(**changes: object) -> Fault:
    """An honest answer, but for this."""
    return lambda honest: replace(honest, **changes)  # type: ignore[arg-type]


def flipped(honest: Answer) -> Answer:
    return replace(honest, body=bytes([honest.body[0] ^ 1]) + honest.body[1:])


def shorter(honest: Answer) -> Answer:
    """Truncated by somebody who made the length fit."""
    body = honest.body[:-1]
    return replace(honest, body=body, headers={**honest.headers, "Content-Length": str(len(body))})


PASSING: dict[str, Fault] = {
    "drop": changed(sent=1_000_000),
    "drop at once": changed(sent=0),
    "429": Answer(429, headers={"Retry-After": "0"}),
    "500": Answer(500),
    "502": Answer(502),
    "503": Answer(503),
    "504": Answer(504),
    "408": Answer(408),
    "no answer": Cut(after=0),
}


@pytest.mark.parametrize("name", PASSING)
def test_blob_gets_through_weather_that_passes_and_no_byte_comes_twice(
    name: str, weather: FaultProxy, connect: Callable[..., cl.Registry]
) -> None:
    with connect(weather.address) as client:
        blob = client.push_blob("app", NOISE)
        weather.sent = 0
        weather.fault = times(3, PASSING[name], of_blobs)
        sink = Memory()
        client.fetch("app", blob, sink)
    assert bytes(sink.data) == NOISE
    assert weather.sent == len(NOISE)


def test_blob_from_a_server_that_stalls_goes_on_over_another_connection(
    weather: FaultProxy, connect: Callable[..., cl.Registry]
) -> None:
    held = threading.Event()
    with connect(weather.address, timeout=0.3) as client:
        blob = client.push_blob("app", NOISE)
        weather.fault = times(2, changed(sent=1_000_000, stall=held), of_blobs)
        sink = Memory()
        client.fetch("app", blob, sink)
        held.set()
    assert bytes(sink.data) == NOISE
    ranges = [r.headers.get("Range") for r in weather.requests if of_blobs(r)]
    assert ranges == [None, "bytes=1000000-", "bytes=2000000-"]


def test_registry_that_asks_for_a_pause_gets_it(
    weather: FaultProxy, connect: Callable[..., cl.Registry], layout: Path, registry: Registry
) -> None:
    registry.push(layout, "app")
    weather.fault = times(1, Answer(429, headers={"Retry-After": "1"}))
    started = time.monotonic()
    with connect(weather.address) as client:
        client.resolve("app:latest")
    assert time.monotonic() - started >= 1.0


LASTING: dict[str, tuple[Fault, str]] = {
    "wrong range": (changed(status=206, headers={"Content-Range": "bytes 5-6/7"}), "were asked for"),
    "wrong length": (shorter, "should have 3000000 bytes"),
    "too long": (lambda a: replace(a, body=a.body + b"x", headers={}), "should have 3000000 bytes"),
    "wrong digest": (flipped, "other content"),
    "encoded": (changed(headers={"Content-Encoding": "gzip"}), "the encoding 'gzip'"),
    "metadata": (Answer(307, headers={"Location": "https://169.254.169.254/"}), "link-local"),
    "file": (Answer(307, headers={"Location": "file:///etc/passwd"}), "not https"),
    "user": (Answer(307, headers={"Location": "https://a:b@c.example/"}), "user name"),
    "loop": (Answer(307, headers={"Location": "/v2/app/blobs/again"}), "too many redirects"),
    "headers": (Answer(200, b"", {"A": "a" * 300_000}), "headers of a size"),
}


@pytest.mark.parametrize("name", LASTING)
def test_blob_is_refused_by_name_where_the_weather_is_malice(
    name: str, weather: FaultProxy, connect: Callable[..., cl.Registry], tmp_path: Path
) -> None:
    fault, words = LASTING[name]
    with connect(weather.address) as client:
        blob = client.push_blob("app", NOISE)
        weather.fault = lambda request: fault if of_blobs(request) else None
        with pytest.raises(cl.RegistryError, match=words):
            client.save("app", blob, tmp_path / "blob")
    assert not (tmp_path / "blob").exists()
    assert len([r for r in weather.requests if of_blobs(r)]) <= 6


def test_large_blob_over_slow_connections_comes_in_segments(
    weather: FaultProxy, connect: Callable[..., cl.Registry]
) -> None:
    with connect(weather.address) as client:
        blob = client.push_blob("app", LARGE)
        weather.fault = lambda request: changed(pace=20e6) if of_blobs(request) else None
        weather.sent, sink = 0, Memory()
        client.fetch("app", blob, sink)
    assert hashlib.sha256(sink.data).hexdigest() == blob.digest.hex
    assert weather.sent == len(LARGE)
    assert len([r for r in weather.requests if of_blobs(r)]) == len(LARGE) // blobs.SEGMENT


def test_large_blob_over_slow_connections_that_drop_comes_once(
    weather: FaultProxy, connect: Callable[..., cl.Registry]
) -> None:
    with connect(weather.address) as client:
        blob = client.push_blob("app", LARGE)
        dropped = times(6, changed(sent=1_500_000, pace=20e6), of_blobs)
        weather.fault = lambda request: (
            dropped(request) or (changed(pace=40e6) if of_blobs(request) else None)
        )
        weather.sent, sink = 0, Memory()
        client.fetch("app", blob, sink)
    assert hashlib.sha256(sink.data).hexdigest() == blob.digest.hex
    assert weather.sent == len(LARGE)


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


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_push_gets_through_connections_that_drop(
    method: str, weather: FaultProxy, connect: Callable[..., cl.Registry]
) -> None:
    weather.fault = times(1, Cut(after=1_000_000), lambda r: r.method == method and "uploads" in r.path)
    with connect(weather.address) as client:
        blob = client.push_blob("app", NOISE)
        assert b"".join(client.blob("app", blob)) == NOISE
