"""What a pull takes of memory: the same for layers of any size, however they come."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

import containerlib as cl
from rig.growth import growth
from rig.images import Image, Layer
from rig.scripted_registry import Request, ScriptedRegistry
from rig.snapshotters import EACH

pytestmark = [
    *EACH,
    pytest.mark.privileged("CAP_CHOWN, CAP_MKNOD, CAP_SYS_ADMIN: unpacks layers as they are"),
]

MIB = 1 << 20
SEGMENT = 4 * MIB
BEFORE = """
import sys, httpx, containerlib as cl
import containerlib.images.registry.client, containerlib.images.transfer.pulling
engine = cl.Engine(sys.argv[1], snapshotter=sys.argv[2])
engine.images.list()
"""


def late(request: Request) -> None:
    """Slow enough to be asked for ranges; and every third range so late that those behind it wait for their turn."""
    first = request.headers.get("Range", "").removeprefix("bytes=").partition("-")[0]
    time.sleep(0.5 if first and int(first) // SEGMENT % 3 == 0 else 0.1)


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_pull_in_ranges_from_a_slow_registry_grows_by_little(
    engine: cl.Engine, compression: str, tmp_path: Path
) -> None:
    """Three layers at once, each over several connections: what comes before its turn waits on the disk."""
    noise = os.urandom(40 * MIB)
    layers = []
    for i in range(3):
        layer = Layer().directory(f"layer{i}")
        for at in range(0, len(noise), MIB):
            layer.file(f"layer{i}/{at}", noise[at : at + MIB] + bytes(MIB))
        layers.append(layer.finish())
    with ScriptedRegistry(Image(tuple(layers), compression=compression)) as registry:
        registry.fault = late
        pull = f"engine.image({registry.reference!r}).pull()"
        grown = growth(BEFORE, pull, str(engine.root), engine.snapshotter)
        ranges = [request for request in registry.requests if "Range" in request.headers]
    assert len(ranges) > 20
    assert grown < 64 * MIB
