"""Pull over TLS from a real registry that is not on loopback: whom we trust, what we say, what we never send."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import socketserver
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from containerlib.errors import Unavailable
from containerlib.images import ImageStore
from containerlib.spec.auth import BasicAuth
from containerlib.store import Store
from rig.certificates import Certificate, htpasswd_line
from rig.images import Image, Layer
from rig.neighbour import Neighbour
from rig.registry import Registry, without_proxies
from rig.scripted_registry import Answer, ScriptedRegistry

pytestmark = pytest.mark.privileged(
    "CAP_NET_ADMIN, CAP_SYS_ADMIN: makes a network namespace",
    "CAP_CHOWN, CAP_MKNOD: unpacks layers as they are",
)

USER, PASSWORD = "ci", "a secret"
IMAGE = Image((Layer().file("data", "x" * 1000).finish(),), {"Cmd": ["/app"]})
PULL = """
import json, sys
import containerlib as cl
root, reference, *login = sys.argv[1:]
with cl.Engine(root=root) as engine:
    try:
        image = engine.image(reference).pull(auth=cl.BasicAuth(*login) if login else None)
        print(json.dumps(["pulled", image.id]))
    except cl.Error as error:
        print(json.dumps([type(error).__name__, str(error)]))
"""


@pytest.fixture(scope="module")
def neighbour() -> Iterator[Neighbour]:
    for program, package in {
        "docker-registry": "",
        "ip": "iproute2",
        "nsenter": "util-linux",
        "openssl": "",
        "skopeo": "",
        "unshare": "util-linux",
    }.items():
        if shutil.which(program) is None:
            pytest.skip(f"no {program}: install {package or program}")
    with Neighbour() as neighbour:
        yield neighbour


@pytest.fixture(scope="module")
def certificate(neighbour: Neighbour, tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate.make(tmp_path_factory.mktemp("certificate"), neighbour.address)


@pytest.fixture
def tls_registry(neighbour: Neighbour, certificate: Certificate, tmp_path: Path) -> Iterator[Registry]:
    address = f"{neighbour.address}:5000"
    with Registry(
        tmp_path / "registry", address=address, enter=neighbour.enter, certificate=certificate
    ) as registry:
        yield registry


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    return IMAGE.write_layout(tmp_path / "layout")


def pull(root: Path, reference: str, *login: str, trusted: Path | None = None) -> tuple[str, str]:
    """In a process of its own, as OpenSSL reads its environment once: what came of it, and the id or the message."""
    variables = {**without_proxies(), "SSL_CERT_FILE": str(trusted)} if trusted else without_proxies()
    command = [sys.executable, "-P", "-c", PULL, str(root), reference, *login]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=variables, timeout=60)
    assert done.returncode == 0, done.stderr
    outcome, text = json.loads(done.stdout)
    return outcome, text


def test_pull_over_tls_with_the_ca_trusted_gives_the_image(
    tls_registry: Registry, certificate: Certificate, layout: Path, tmp_path: Path
) -> None:
    reference = tls_registry.push(layout, "app")
    outcome, image_id = pull(tmp_path / "root", reference, trusted=certificate.file)
    assert (outcome, image_id) == ("pulled", IMAGE.blobs()[1][0].digest)


def test_pull_over_tls_with_the_ca_unknown_says_how_to_trust_it(
    tls_registry: Registry, layout: Path, tmp_path: Path
) -> None:
    reference = tls_registry.push(layout, "app")
    outcome, message = pull(tmp_path / "root", reference)
    assert outcome == "Unavailable"
    assert message.startswith(f"the certificate of {tls_registry.address} is not accepted (self-signed")
    assert "SSL_CERT_FILE" in message


def test_pull_over_tls_with_a_certificate_of_another_address_says_so(
    neighbour: Neighbour, layout: Path, tmp_path: Path
) -> None:
    other = Certificate.make(tmp_path / "other", "192.0.2.1")
    address = f"{neighbour.address}:5000"
    with Registry(tmp_path / "registry", address=address, enter=neighbour.enter, certificate=other):
        outcome, message = pull(tmp_path / "root", f"{address}/app", trusted=other.file)
    assert outcome == "Unavailable"
    assert "IP address mismatch" in message
    assert "use a name that the certificate is made for" in message


@pytest.fixture
def closed_registry(neighbour: Neighbour, certificate: Certificate, tmp_path: Path) -> Iterator[Registry]:
    """One that wants the password."""
    line = htpasswd_line(USER, PASSWORD)
    if line is None:
        pytest.skip("the C library's crypt has no bcrypt, which docker-registry wants")
    passwords = tmp_path / "htpasswd"
    passwords.write_text(line)
    address = f"{neighbour.address}:5000"
    with Registry(
        tmp_path / "registry",
        address=address,
        enter=neighbour.enter,
        certificate=certificate,
        passwords=passwords,
    ) as registry:
        yield registry


@pytest.mark.parametrize(
    ("login", "expected"),
    [((USER, PASSWORD), "pulled"), ((USER, "wrong"), "Unauthorized"), ((), "Unauthorized")],
    ids=["right password", "wrong password", "no password"],
)
def test_pull_over_tls_with_basic_auth(
    login: tuple[str, ...],
    expected: str,
    closed_registry: Registry,
    certificate: Certificate,
    tmp_path: Path,
) -> None:
    layout = IMAGE.write_layout(tmp_path / "layout")
    reference = closed_registry.push(layout, "app", "latest", f"--dest-creds={USER}:{PASSWORD}")
    outcome, text = pull(tmp_path / "root", reference, *login, trusted=certificate.file)
    assert outcome == expected, text
    assert PASSWORD not in text


def test_pull_from_plain_http_beyond_loopback_sends_no_request(
    neighbour: Neighbour, layout: Path, tmp_path: Path
) -> None:
    plain = Registry(tmp_path / "registry", address=f"{neighbour.address}:5000", enter=neighbour.enter)
    with plain, Tap(neighbour.host_address, neighbour.address, 5000) as tap:
        plain.push(layout, "app")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://{tap.address}/v2/", timeout=10):
            assert tap.heard.pop().startswith(b"GET /v2/")  # it would hear a request
        outcome, message = pull(tmp_path / "root", f"{tap.address}/app", USER, PASSWORD)
        heard = b"".join(tap.heard)
    assert outcome == "Unavailable"
    assert message.startswith(f"{tap.address} does not answer with TLS")
    assert "plain HTTP is for a registry on this machine's loopback" in message
    assert heard.startswith(b"\x16\x03")  # a TLS handshake
    credentials = base64.b64encode(f"{USER}:{PASSWORD}".encode())
    assert not [word for word in (b"GET", b"HTTP/", b"uthorization", credentials) if word in heard]


def test_pull_from_loopback_does_not_log_in_where_the_certificate_is_unknown(
    tls_registry: Registry, tmp_path: Path
) -> None:
    """A plain registry on loopback names a token server elsewhere: the password is for a server that proves itself."""
    challenge = {"WWW-Authenticate": f'Bearer realm="{tls_registry.url}/token",service="s"'}
    login = BasicAuth(USER, PASSWORD, token_server=tls_registry.address)
    root = tmp_path / "root"
    store = Store(root)
    with ScriptedRegistry(IMAGE) as local:
        local.fault = lambda _: Answer(401, headers=challenge)
        with pytest.raises(Unavailable, match=f"the certificate of {tls_registry.address} is not accepted"):
            ImageStore(root, store).pull(local.reference, auth=login)
    store.close()


class Tap:
    """Passes what comes to a free port of `listen` on to a server, an answer for each piece, and remembers it."""

    def __init__(self, listen: str, server: str, port: int) -> None:
        self.heard: list[bytes] = []
        tap = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                self.request.settimeout(10)
                with (
                    suppress(ConnectionError),  # either end may hang up
                    socket.create_connection((server, port), timeout=10) as upstream,
                ):
                    while data := self.request.recv(65536):
                        tap.heard.append(data)
                        upstream.sendall(data)
                        self.request.sendall(upstream.recv(65536))

        self._server = socketserver.ThreadingTCPServer((listen, 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self.address = "{}:{}".format(*self._server.server_address[:2])

    def __enter__(self) -> Tap:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
