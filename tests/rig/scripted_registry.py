"""A registry that serves one image from memory, and misbehaves as it is told.

with ScriptedRegistry(image) as registry:
    registry.fault = lambda request: Answer(500) if "/blobs/" in request.path else None
    images.pull(registry.reference)
    assert registry.requests[0].path == "/v2/app/manifests/latest"
"""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType

from rig.images import Image


@dataclass(frozen=True)
class Request:
    path: str
    headers: Mapping[str, str]

    @property
    def is_manifest(self) -> bool:
        return "/manifests/" in self.path

    @property
    def is_blob(self) -> bool:
        return "/blobs/" in self.path


@dataclass(frozen=True)
class Answer:
    """`sent`: the connection is cut after that many bytes of the body. `hold`: not before this is set."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    sent: int | None = None
    hold: threading.Event | None = None


class ScriptedRegistry:
    """`fault` is asked first; None from it means the honest answer."""

    def __init__(self, image: Image) -> None:
        manifest, blobs = image.blobs()
        self.manifest = manifest
        self.blobs = {blob.digest: blob.data for blob in blobs}
        self.layers = [blob.digest for blob in blobs[1:]]
        self.fault: Callable[[Request], Answer | None] = lambda _: None
        self.requests: list[Request] = []
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    @property
    def reference(self) -> str:
        return f"{self.address}/app:latest"

    def answer(self, request: Request) -> Answer:
        """What an honest registry says."""
        name = request.path.partition("?")[0].rpartition("/")[2]
        if request.is_manifest and name in ("latest", self.manifest.digest):
            return Answer(200, self.manifest.data, {"Content-Type": self.manifest.media_type})
        if request.is_blob and name in self.blobs:
            data, start = self.blobs[name], request.headers.get("Range", "")
            if not start:
                return Answer(200, data)
            first = int(start.removeprefix("bytes=").rstrip("-"))
            return Answer(206, data[first:], {"Content-Range": f"bytes {first}-{len(data) - 1}/{len(data)}"})
        return Answer(404, b'{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "it is unknown"}]}')

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        registry = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                request = Request(self.path, dict(self.headers))
                registry.requests.append(request)
                answer = registry.fault(request) or registry.answer(request)
                if answer.hold is not None:
                    answer.hold.wait(30)
                self.send_response(answer.status)
                for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.body[: answer.sent])
                if answer.sent is not None:
                    self.close_connection = True

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                """Silence."""

        return Handler

    def __enter__(self) -> ScriptedRegistry:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
