"""A registry without a network: a function from requests to answers, which remembers what it was asked.

server = MockServer(lambda request: httpx.Response(200, content=b"{}"))
with Session("registry.example", transport=server.transport) as session: ...
assert server.seen() == [("GET", "registry.example", "/v2/")]
"""

from __future__ import annotations

from collections.abc import Callable

import httpx


class MockServer:
    """`requests` have been read: their `content` is there."""

    def __init__(self, handler: Callable[[httpx.Request], httpx.Response]) -> None:
        self._handler = handler
        self.requests: list[httpx.Request] = []
        self.transport = httpx.MockTransport(self._answer)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(request)
        answer = self._handler(request)
        if not isinstance(answer.stream, httpx.ByteStream):
            return answer  # a stream of the test's own, which may break
        # A stream that is read once, as from a network.
        stream = httpx.ByteStream(answer.content)
        return httpx.Response(answer.status_code, headers=answer.headers, stream=stream)

    def seen(self) -> list[tuple[str, str, str]]:
        """Method, host and path of each request."""
        return [(request.method, request.url.host, request.url.path) for request in self.requests]

    def shown(self) -> list[tuple[str, str | None]]:
        """Host and Authorization header of each request."""
        return [(request.url.host, request.headers.get("Authorization")) for request in self.requests]


Handler = Callable[[httpx.Request], httpx.Response]


def by_host(**handlers: Handler | int) -> MockServer:
    """Each host's first label names what answers for it; a number is a status."""

    def serve(request: httpx.Request) -> httpx.Response:
        handler = handlers[request.url.host.partition(".")[0]]
        return httpx.Response(handler) if isinstance(handler, int) else handler(request)

    return MockServer(serve)


def down(request: httpx.Request) -> httpx.Response:
    """Nobody is there."""
    raise httpx.ConnectError("refused", request=request)
