"""A registry's front door, on loopback, that breaks what passes as it is told (scripted_server.py).

with Registry(tmp_path) as registry, FaultProxy(registry.address) as proxy:
    proxy.fault = lambda request: once(Answer(503)) ...
    client.pull(f"{proxy.address}/app")
    assert proxy.sent == size                    # bytes of all answers' bodies
"""

from __future__ import annotations

import http.client
import socket
from collections.abc import Callable
from contextlib import suppress

from rig.scripted_server import Answer, Fault, Request, ScriptedServer

_HOP = frozenset({"connection", "transfer-encoding", "content-length", "keep-alive", "date", "server"})


class FaultProxy(ScriptedServer):
    """Passes requests on to `upstream`, host:port. `guard` answers those that may not pass."""

    def __init__(self, upstream: str, guard: Callable[[Request], Answer | None] = lambda _: None) -> None:
        super().__init__()
        self._upstream = upstream
        self._guard = guard

    def answer(self, request: Request) -> Answer:
        refusal = self._guard(request)
        if refusal is not None:
            return refusal
        connection = http.client.HTTPConnection(self._upstream, timeout=30)
        try:
            # With the Host that the client used, so that Locations come back to here.
            headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP}
            body = request.body if request.body or request.method in ("POST", "PUT", "PATCH") else None
            connection.request(request.method, request.path, body, headers)
            answer = connection.getresponse()
            kept = {name: value for name, value in answer.getheaders() if name.lower() not in _HOP}
            data = answer.read()
            length = answer.getheader("Content-Length")
            if length is not None:
                kept["Content-Length"] = length
            return Answer(answer.status, data, kept)
        finally:
            connection.close()

    def cut(self, request: Request, after: int) -> None:
        """What came is passed on, and then the connection is cut here too."""
        with socket.create_connection(self._address(), timeout=30) as connection, suppress(OSError):
            lines = [f"{request.method} {request.path} HTTP/1.1"]
            lines += [
                f"{name}: {value}" for name, value in request.headers.items() if name.lower() not in _HOP
            ]
            lines += [f"Content-Length: {request.headers.get('Content-Length', after + 1)}", "", ""]
            connection.sendall("\r\n".join(lines).encode() + request.body)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass  # until it has noticed

    def _address(self) -> tuple[str, int]:
        host, _, port = self._upstream.rpartition(":")
        return host, int(port)

    def __enter__(self) -> FaultProxy:
        super().__enter__()
        return self


def times(
    count: int, fault: Fault, which: Callable[[Request], bool] = lambda _: True
) -> Callable[[Request], Fault]:
    """`fault` for the first `count` requests that are `which`."""
    left = [count]

    def ask(request: Request) -> Fault:
        if not which(request) or left[0] == 0:
            return None
        left[0] -= 1
        return fault

    return ask
