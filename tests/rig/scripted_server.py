"""An HTTP server on loopback that says what it is told to, breaks as it is told to, and remembers what it was asked.

class Registry(ScriptedServer):
    def answer(self, request): return Answer(200, b"{}")

with Registry() as server:
    server.fault = lambda request: Answer(500) if "/blobs/" in request.path else None
    server.fault = lambda request: (lambda honest: replace(honest, sent=100))        # the honest answer, cut
    server.fault = lambda request: Cut(after=1000) if request.method == "PATCH" else None
    ...
    assert server.requests[0].path == "/v2/"
"""

from __future__ import annotations

import http.server
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import TracebackType

_PIECE = 16 * 1024


@dataclass(frozen=True)
class Request:
    path: str
    headers: Mapping[str, str]
    method: str = "GET"
    body: bytes = b""

    @property
    def is_manifest(self) -> bool:
        return "/manifests/" in self.path

    @property
    def is_blob(self) -> bool:
        return "/blobs/" in self.path and "/uploads/" not in self.path


@dataclass(frozen=True)
class Answer:
    """`sent`: the connection is cut after that many bytes of the body; with `stall` they wait there until it is set.

    `hold`: there is no answer before it is set. `pace`: bytes a second.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    sent: int | None = None
    hold: threading.Event | None = None
    stall: threading.Event | None = None
    pace: float = 0.0


@dataclass(frozen=True)
class Cut:
    """The connection is cut when `after` bytes of the request's body have come. They are passed on, where there is
    somebody to pass them on to."""

    after: int


Fault = Answer | Cut | Callable[[Answer], Answer] | None


class ScriptedServer:
    """`fault` is asked first, before a request's body is read; None from it means the honest answer."""

    def __init__(self) -> None:
        self.fault: Callable[[Request], Fault] = lambda _: None
        self.requests: list[Request] = []
        self._sent = self._answering = 0
        self._settled = threading.Condition()
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    def answer(self, request: Request) -> Answer:
        """What an honest server says."""
        raise NotImplementedError

    def cut(self, request: Request, after: int) -> None:
        """What a request does that broke off; `body` has what came of it."""

    @property
    def sent(self) -> int:
        """Bytes of all answers' bodies, when every answer that was begun is counted: who has read the last byte of one
        may ask before its thread has noted it."""
        with self._settled:
            assert self._settled.wait_for(lambda: self._answering == 0, 30), "an answer is still under way"
            return self._sent

    @sent.setter
    def sent(self, bytes_sent: int) -> None:
        with self._settled:
            self._settled.wait_for(lambda: self._answering == 0, 30)
            self._sent = bytes_sent

    def count(self, bytes_sent: int) -> None:
        with self._settled:
            self._sent += bytes_sent

    @contextmanager
    def answering(self) -> Iterator[None]:
        with self._settled:
            self._answering += 1
        try:
            yield
        finally:
            with self._settled:
                self._answering -= 1
                self._settled.notify_all()

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        scripted = self

        class Handler(_Handler):
            server_of = scripted

        return Handler

    def __enter__(self) -> ScriptedServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # of 5 the others would wait for seconds

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients hang up, which is no news."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_of: ScriptedServer

    def _serve(self) -> None:
        server = self.server_of
        request = Request(self.path, dict(self.headers), self.command)
        fault = server.fault(request)
        if isinstance(fault, Cut):
            body = self._body(fault.after)
            server.requests.append(Request(self.path, dict(self.headers), self.command, body))
            server.cut(server.requests[-1], fault.after)
            self.close_connection = True
            return
        request = Request(self.path, dict(self.headers), self.command, self._body())
        server.requests.append(request)
        answer = fault if isinstance(fault, Answer) else server.answer(request)
        if callable(fault):
            answer = fault(answer)
        with server.answering(), suppress(ConnectionError):  # the client had enough
            self._send(answer)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - http.server's names

    def _body(self, limit: int | None = None) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return self._chunked(limit)
        length = int(self.headers.get("Content-Length", 0))
        return self.rfile.read(length if limit is None else min(length, limit))

    def _chunked(self, limit: int | None) -> bytes:
        body = b""
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
            if limit is not None and len(body) >= limit:
                return body[:limit]
        self.rfile.readline()
        return body

    def _send(self, answer: Answer) -> None:
        if answer.hold is not None:
            answer.hold.wait(30)
        self.send_response(answer.status)
        for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        cut = len(answer.body) if answer.sent is None else answer.sent
        self._send_paced(answer.body[:cut], answer.pace)
        if answer.stall is not None:
            answer.stall.wait(30)
            self._send_paced(answer.body[cut:], answer.pace)
        elif answer.sent is not None:
            self.close_connection = True

    def _send_paced(self, data: bytes, pace: float) -> None:
        started, step = time.monotonic(), _PIECE if pace else len(data) or 1
        for start in range(0, len(data), step):
            piece = data[start : start + step]
            self.wfile.write(piece)
            self.server_of.count(len(piece))
            if pace:
                time.sleep(max(0.0, started + (start + len(piece)) / pace - time.monotonic()))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Silence."""
