"""Which connections a request takes: through a proxy or not, and with whose certificate. Real servers on loopback."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path

import pytest

from containerlib.errors import InvalidArgument, Unavailable
from containerlib.images.registry.network import Network
from containerlib.images.registry.retry import Retry
from containerlib.images.registry.session import Scope, Session
from containerlib.images.registry.tls import Contexts, TlsFiles
from containerlib.images.registry.transport import MAX_CONNECTIONS, Transport
from rig.certificates import Certificate
from rig.scripted_server import Answer, Request, ScriptedServer
from rig.threads import at_once

ONCE = Retry(attempts=1)
NOBODY = "0.0.0.0:1"
"""This machine, by an address that is not of loopback; refuses connections at once."""


class ForwardProxy(ScriptedServer):
    """Answers for everybody, and does not make tunnels."""

    def answer(self, _: Request) -> Answer:
        return Answer(200, b"it")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


def ask(name: str) -> int:
    with Session(name, insecure=True, retry=ONCE, timeout=2.0) as session:
        with session.send("GET", "/v2/", scope=Scope("app"), what="it") as response:
            return response.status_code


def test_request_goes_through_the_proxy_that_the_environment_names(
    environment: pytest.MonkeyPatch,
) -> None:
    with ForwardProxy() as proxy:
        for value in (proxy.address, f"http://{proxy.address}"):
            environment.setenv("http_proxy", value)
            assert ask(NOBODY) == 200
        assert {request.path for request in proxy.requests} == {f"http://{NOBODY}/v2/"}
        environment.setenv("no_proxy", NOBODY.partition(":")[0])
        with pytest.raises(Unavailable):
            ask(NOBODY)


def test_registry_on_loopback_is_not_behind_a_proxy(environment: pytest.MonkeyPatch) -> None:
    with ForwardProxy() as proxy, ForwardProxy() as registry:
        environment.setenv("all_proxy", f"http://{proxy.address}")
        assert ask(registry.address) == 200
        assert not proxy.requests
        assert registry.requests


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate.make(tmp_path_factory.mktemp("certificate"), "127.0.0.1")


def test_clients_certificate_is_for_its_own_host_and_the_authorities_for_all(
    certificate: Certificate,
) -> None:
    files = TlsFiles((str(certificate.file),), str(certificate.file), str(certificate.key))
    contexts = Contexts("registry.example", files)
    own, other = contexts("registry.example"), contexts("auth.example")
    assert own is contexts("registry.example")
    assert other is contexts("cdn.example")
    assert own is not other
    trusted = [ca["serialNumber"] for ca in own.get_ca_certs()]
    assert trusted == [ca["serialNumber"] for ca in other.get_ca_certs()]
    assert len(trusted) == len(ssl.create_default_context().get_ca_certs()) + 1


def test_insecure_is_its_own_host_alone() -> None:
    contexts = Contexts("registry.example", TlsFiles(), insecure=True)
    assert contexts("registry.example").verify_mode == ssl.CERT_NONE
    for other in ("auth.example", "sub.registry.example"):
        assert contexts(other).verify_mode == ssl.CERT_REQUIRED
        assert contexts(other).check_hostname


def test_key_with_a_password_is_refused_without_a_question(certificate: Certificate, tmp_path: Path) -> None:
    locked = tmp_path / "locked.pem"
    command = ["openssl", "rsa", "-aes128", "-passout", "pass:word", "-in", str(certificate.key)]
    subprocess.run([*command, "-out", str(locked)], check=True, capture_output=True)
    contexts = Contexts("a.example", TlsFiles((), str(certificate.file), str(locked)))
    with pytest.raises(InvalidArgument, match="encrypted") as caught:
        contexts("a.example")
    assert caught.value.field == "client_certificate"


def test_no_tls_context_is_made_for_plain_http() -> None:
    made: list[str] = []

    class Counting(Contexts):
        def __call__(self, host: str) -> ssl.SSLContext:
            made.append(host)
            return super().__call__(host)

    with ForwardProxy() as server:
        transport = Transport(Network(), Counting("127.0.0.1", TlsFiles()), proxies=False)
        with Session(server.address, transport=transport, retry=ONCE) as session:
            with session.send("GET", "/v2/", scope=Scope("app"), what="it"):
                pass
    assert not made


class Busy(ScriptedServer):
    """Counts the requests that are under way at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.most, self._counting = 0, 0, threading.Lock()

    def answer(self, _: Request) -> Answer:
        with self._counting:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(0.2)
        with self._counting:
            self.now -= 1
        return Answer()


def test_connections_at_once_are_bounded() -> None:
    with Busy() as server, Session(server.address, retry=ONCE) as session:

        def ask(_: int) -> None:
            with session.send("GET", "/v2/", scope=Scope("app"), what="it") as response:
                assert response.status_code == 200

        at_once(ask, threads=3 * MAX_CONNECTIONS)
    assert len(server.requests) == 3 * MAX_CONNECTIONS
    assert 2 <= server.most <= MAX_CONNECTIONS


def test_registry_may_be_silent_for_longer_while_it_works() -> None:
    """A body has been sent to it, which it hashes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"

        def serve() -> None:
            for _ in range(2):
                connection, _ = listener.accept()
                with connection:
                    connection.recv(65536)
                    time.sleep(0.4)
                    connection.sendall(
                        b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                    )

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        with Session(address, retry=ONCE, timeout=0.1) as session:
            with session.send("PUT", "/v2/u", scope=Scope("app"), what="it", content=b"x") as response:
                assert response.status_code == 201
            with pytest.raises(Unavailable, match="fewer than"):
                with session.send("GET", "/v2/u", scope=Scope("app"), what="it"):
                    raise AssertionError
        thread.join(5)


@pytest.mark.parametrize("proxy", ["foo://alice:secret@proxy:1", "://", "http://\x1b", "http://"])
def test_proxy_that_is_no_proxys_url_is_refused_without_its_password(
    environment: pytest.MonkeyPatch, proxy: str
) -> None:
    environment.setenv("http_proxy", proxy)
    with pytest.raises(InvalidArgument) as caught:
        ask(NOBODY)
    assert caught.value.field == "proxy"
    assert "secret" not in str(caught.value)
