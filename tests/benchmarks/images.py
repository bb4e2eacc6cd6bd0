"""The images that are pulled and pushed: like programs, half of what is in them cannot be compressed."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import zstandard

from rig.images import OCI, Layer, architecture

LAYERS = 6
DIRECTORY = 100
"""Files in each."""


@dataclass(frozen=True)
class TestImage:
    """`files` in all, of `size` bytes on average."""

    name: str
    files: int
    size: int
    compression: str


IMAGES = (
    TestImage("500 MB gzip", 20_000, 25_000, "gzip"),
    TestImage("500 MB zstd", 20_000, 25_000, "zstd"),
    TestImage("300,000 files gzip", 300_000, 600, "gzip"),
    TestImage("300,000 files zstd", 300_000, 600, "zstd"),
)


def write_layout(image: TestImage, path: Path) -> Path:
    """An OCI layout of the image, of which one layer at a time is in memory."""
    blobs = path / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    layers, diff_ids = [], []
    for layer in contents(image):
        diff_ids.append(f"sha256:{hashlib.sha256(layer).hexdigest()}")
        data = gzip.compress(layer, 6, mtime=0) if image.compression == "gzip" else zstandard.compress(layer)
        layers.append(put(blobs, data, f"{OCI}.layer.v1.tar+{image.compression}"))
    config = put(
        blobs,
        json.dumps(
            {
                "architecture": architecture(),
                "os": "linux",
                "config": {"Cmd": ["/none"]},
                "rootfs": {"type": "layers", "diff_ids": diff_ids},
            }
        ).encode(),
        f"{OCI}.config.v1+json",
    )
    document = {
        "schemaVersion": 2,
        "mediaType": f"{OCI}.manifest.v1+json",
        "config": config,
        "layers": layers,
    }
    manifest = put(blobs, json.dumps(document).encode(), f"{OCI}.manifest.v1+json")
    manifest["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
    path.joinpath("index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [manifest]}))
    path.joinpath("oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return path


def contents(image: TestImage) -> Iterator[bytes]:
    source = random.Random(2)
    for number in range(LAYERS):
        layer = Layer().directory(f"layer{number}")
        for index in range(image.files // LAYERS):
            if index % DIRECTORY == 0:
                layer.directory(f"layer{number}/{index // DIRECTORY}")
            size = source.randrange(image.size * 2)
            data = source.randbytes(size // 2) + b"the quick brown fox " * (size // 40)
            layer.file(f"layer{number}/{index // DIRECTORY}/{index}", data)
        yield layer.finish()


def put(blobs: Path, data: bytes, media_type: str) -> dict[str, object]:
    digest = hashlib.sha256(data).hexdigest()
    blobs.joinpath(digest).write_bytes(data)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}
