"""A registry of distribution-spec 1.1 in memory, to be put behind a MockServer; and one that breaks, as it is told.

registry = FakeRegistry()
server = MockServer(registry)
registry.fault = lambda request: httpx.Response(500) if request.method == "PATCH" else None
registry.cut = 1000                          # the next body breaks off after as many bytes, which are kept
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from rig.images import digest_of

NAME = r"/v2/(?P<repository>[a-z0-9/]+?)"


@dataclass
class FakeRegistry:
    """What it has, and how it behaves where registries differ."""

    blobs: dict[str, dict[str, bytes]] = field(default_factory=dict)
    manifests: dict[str, dict[str, tuple[str, bytes]]] = field(default_factory=dict)
    uploads: dict[str, bytearray] = field(default_factory=dict)
    fault: Callable[[httpx.Request], httpx.Response | None] = lambda _: None
    cut: int | None = None
    has_referrers: bool = True
    filters: bool = True
    mounts: bool = True
    page: int = 0
    least: int = 0
    location: str = "/v2/{repository}/blobs/uploads/{upload}?state={state}"

    def __call__(self, request: httpx.Request) -> httpx.Response:
        answer = self.fault(request)
        if answer is not None:
            return answer
        path = request.url.path
        for pattern, handle in (
            (rf"{NAME}/blobs/uploads/", self._start),
            (rf"{NAME}/blobs/uploads/(?P<upload>[^/]+)", self._upload),
            (rf"{NAME}/blobs/(?P<digest>[^/]+)", self._blob),
            (rf"{NAME}/manifests/(?P<target>[^/]+)", self._manifest),
            (rf"{NAME}/tags/list", self._tags),
            (rf"{NAME}/referrers/(?P<digest>[^/]+)", self._referrers),
        ):
            if match := re.fullmatch(pattern, path):
                return handle(request, **match.groupdict())
        return httpx.Response(404)

    def _start(self, request: httpx.Request, repository: str) -> httpx.Response:
        digest, source = request.url.params.get("mount"), request.url.params.get("from")
        if digest and self.mounts:
            owners = [source] if source else list(self.blobs)
            for owner in owners:
                if digest in self.blobs.get(owner, {}):
                    self.blobs.setdefault(repository, {})[digest] = self.blobs[owner][digest]
                    return self._created(repository, digest)
        upload = str(len(self.uploads))
        self.uploads[upload] = bytearray()
        return self._stands(202, repository, upload)

    def _stands(self, status: int, repository: str, upload: str) -> httpx.Response:
        size = len(self.uploads[upload])
        location = self.location.format(repository=repository, upload=upload, state=size)
        headers = {"Location": location, "Range": f"0-{max(size - 1, 0)}"}
        return httpx.Response(
            status, headers={**headers, **({"OCI-Chunk-Min-Length": str(self.least)} if self.least else {})}
        )

    def _upload(self, request: httpx.Request, repository: str, upload: str) -> httpx.Response:
        if upload not in self.uploads:
            return self._error(404, "BLOB_UPLOAD_UNKNOWN")
        data = self.uploads[upload]
        if request.method == "DELETE":
            del self.uploads[upload]
            return httpx.Response(204)
        if request.method == "GET":
            return self._stands(204, repository, upload)
        first = request.headers.get("Content-Range", f"{len(data)}-").partition("-")[0]
        if int(first) != len(data):
            return self._stands(416, repository, upload)
        body, cut, self.cut = request.content, self.cut, None
        data += body if cut is None else body[:cut]
        if cut is not None:
            raise httpx.WriteError("the connection broke")
        if request.method == "PATCH":
            return self._stands(202, repository, upload)
        return self._finish(repository, upload, request.url.params["digest"])

    def _finish(self, repository: str, upload: str, digest: str) -> httpx.Response:
        data = bytes(self.uploads.pop(upload))
        if digest_of(data, digest.partition(":")[0]) != digest:
            return self._error(400, "DIGEST_INVALID")
        self.blobs.setdefault(repository, {})[digest] = data
        return self._created(repository, digest)

    def _created(self, repository: str, digest: str) -> httpx.Response:
        headers = {"Location": f"/v2/{repository}/blobs/{digest}", "Docker-Content-Digest": digest}
        return httpx.Response(201, headers=headers)

    def _blob(self, request: httpx.Request, repository: str, digest: str) -> httpx.Response:
        there = self.blobs.get(repository, {})
        if digest not in there:
            return self._error(404, "BLOB_UNKNOWN")
        if request.method == "DELETE":
            del there[digest]
            return httpx.Response(202)
        return httpx.Response(200, content=b"" if request.method == "HEAD" else there[digest])

    def _manifest(self, request: httpx.Request, repository: str, target: str) -> httpx.Response:
        there = self.manifests.setdefault(repository, {})
        if request.method == "PUT":
            data, headers = request.content, {"Docker-Content-Digest": digest_of(request.content)}
            there[target] = there[headers["Docker-Content-Digest"]] = (request.headers["Content-Type"], data)
            subject = json.loads(data).get("subject")
            if subject and self.has_referrers:
                headers["OCI-Subject"] = subject["digest"]
            return httpx.Response(201, headers=headers)
        if target not in there:
            return self._error(404, "MANIFEST_UNKNOWN")
        media_type, data = there[target]
        if request.method == "DELETE":
            names = [name for name, value in there.items() if value[1] == data or name == target]
            for name in names if ":" in target else [target]:
                del there[name]
            return httpx.Response(202)
        headers = {"Content-Type": media_type, "Docker-Content-Digest": digest_of(data)}
        return httpx.Response(200, headers=headers, content=b"" if request.method == "HEAD" else data)

    def _tags(self, request: httpx.Request, repository: str) -> httpx.Response:
        names = sorted(name for name in self.manifests.get(repository, {}) if ":" not in name)
        after = request.url.params.get("last", "")
        size = int(request.url.params.get("n", 0)) or self.page or len(names) or 1
        rest = [name for name in names if name > after]
        shown, headers = rest[:size], {}
        if len(rest) > size:
            headers["Link"] = f'</v2/{repository}/tags/list?n={size}&last={shown[-1]}>; rel="next"'
        return httpx.Response(200, headers=headers, json={"name": repository, "tags": shown})

    def _referrers(self, request: httpx.Request, repository: str, digest: str) -> httpx.Response:
        if not self.has_referrers:
            return httpx.Response(404, text="404 page not found")
        wanted, headers = request.url.params.get("artifactType", ""), {}
        entries: list[dict[str, Any]] = []
        for name, (media_type, data) in self.manifests.get(repository, {}).items():
            value = json.loads(data)
            if ":" in name and value.get("subject", {}).get("digest") == digest:
                kind = value.get("artifactType") or value["config"]["mediaType"]
                entry = {"mediaType": media_type, "digest": name, "size": len(data), "artifactType": kind}
                entries.append({**entry, "annotations": value.get("annotations", {})})
        if wanted and self.filters:
            entries = [entry for entry in entries if entry["artifactType"] == wanted]
            headers["OCI-Filters-Applied"] = "artifactType"
        start = int(request.url.params.get("start", 0))
        shown = entries[start:][: self.page or None]
        if start + len(shown) < len(entries):
            query = f"start={start + len(shown)}" + (f"&artifactType={wanted}" if wanted else "")
            headers["Link"] = f"<?{query}>; rel=next"
        media_type = "application/vnd.oci.image.index.v1+json"
        body = {"schemaVersion": 2, "mediaType": media_type, "manifests": shown}
        return httpx.Response(200, headers={**headers, "Content-Type": media_type}, json=body)

    def _error(self, status: int, code: str) -> httpx.Response:
        return httpx.Response(status, json={"errors": [{"code": code, "message": code.lower()}]})
