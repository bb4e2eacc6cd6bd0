"""A registry without a network that has one image, whatever it is asked for it as."""

from __future__ import annotations

import httpx

from containerlib.spec.descriptor import Descriptor, MediaType
from containerlib.spec.digest import Digest
from containerlib.spec.image import Manifest

BLOB = b"some bytes of a layer"
LAYER = Descriptor(MediaType.LAYER, Digest.of(BLOB), len(BLOB))
MANIFEST = Manifest(LAYER, (LAYER,)).to_bytes()
DIGEST = Digest.of(MANIFEST)


def honest(request: httpx.Request) -> httpx.Response:
    """For a MockServer."""
    target = request.url.path.rpartition("/")[2]
    if "/manifests/" in request.url.path and target in ("1.0", "latest", str(DIGEST)):
        headers = {"Content-Type": MediaType.MANIFEST, "Docker-Content-Digest": str(DIGEST)}
        return httpx.Response(200, headers=headers, content=MANIFEST)
    if target == str(LAYER.digest):
        return httpx.Response(200, content=BLOB)
    return httpx.Response(404)
