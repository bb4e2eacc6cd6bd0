"""A registry that serves one image from memory, and misbehaves as it is told (scripted_server.py).

with ScriptedRegistry(image) as registry:
    registry.fault = lambda request: Answer(500) if request.is_blob else None
    images.pull(registry.reference)
    assert registry.requests[0].path == "/v2/app/manifests/latest"
"""

from __future__ import annotations

from rig.images import Image
from rig.scripted_server import Answer, Cut, Request, ScriptedServer

__all__ = ["Answer", "Cut", "Request", "ScriptedRegistry"]


class ScriptedRegistry(ScriptedServer):
    """Read-only; what it serves may be changed."""

    def __init__(self, image: Image) -> None:
        super().__init__()
        manifest, blobs = image.blobs()
        self.manifest = manifest
        self.blobs = {blob.digest: blob.data for blob in blobs}
        self.layers = [blob.digest for blob in blobs[1:]]

    @property
    def reference(self) -> str:
        return f"{self.address}/app:latest"

    def answer(self, request: Request) -> Answer:
        name = request.path.partition("?")[0].rpartition("/")[2]
        if request.is_manifest and name in ("latest", self.manifest.digest):
            headers = {
                "Content-Type": self.manifest.media_type,
                "Docker-Content-Digest": self.manifest.digest,
            }
            return Answer(200, self.manifest.data, headers)
        if request.is_blob and name in self.blobs:
            data = self.blobs[name]
            first, _, last = request.headers.get("Range", "").removeprefix("bytes=").partition("-")
            if not first:
                return Answer(200, data)
            end = int(last) + 1 if last else len(data)
            content_range = f"bytes {first}-{end - 1}/{len(data)}"
            return Answer(206, data[int(first) : end], {"Content-Range": content_range})
        return Answer(404, b'{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "it is unknown"}]}')

    def __enter__(self) -> ScriptedRegistry:
        super().__enter__()
        return self
