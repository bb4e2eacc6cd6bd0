"""Kill -9 at any instant of a pull or a removal: the store stays usable, and `prune` returns it to clean."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from containerlib.images import ImageStore
from containerlib.spec.options import SnapshotterName
from containerlib.store import Store
from rig.images import Image, Layer
from rig.layers import names
from rig.registry import Registry
from rig.snapshotters import EACH

ROUNDS = 60
SEED = 20_240_101
LONGEST = 0.12
"""Seconds: about twice what the program below takes once it has started."""

PROGRAM = """
import sys
from pathlib import Path
import httpx
from containerlib.images import ImageStore
from containerlib.store import Store
images = ImageStore(Path(sys.argv[1]), Store(Path(sys.argv[1])), snapshotter=sys.argv[3])
print("ready", flush=True)
record = images.pull(sys.argv[2])
print("pulled", flush=True)
images.remove(record.id)
print("removed", flush=True)
"""

pytestmark = [
    *EACH,
    pytest.mark.privileged("CAP_CHOWN, CAP_MKNOD, CAP_SYS_ADMIN: unpacks layers as they are"),
    pytest.mark.slow,
]


def test_pull_killed_at_any_instant_leaves_a_store_that_prune_cleans(
    registry: Registry, tmp_path: Path, snapshotter: SnapshotterName
) -> None:
    layers = [Layer().file(f"file{i}", random.Random(i).randbytes(200_000)).finish() for i in range(4)]
    reference = registry.push(Image(tuple(layers)).write_layout(tmp_path / "layout"), "app")
    root = tmp_path / "root"
    store = Store(root)
    images = ImageStore(root, store, snapshotter=snapshotter)
    delays = random.Random(SEED)
    outcomes: Counter[str] = Counter()
    for _ in range(ROUNDS):
        outcomes[_killed_after(delays.uniform(0, LONGEST), root, reference, snapshotter)] += 1
        images.prune()
        _check(root, images)
    assert outcomes[""] > ROUNDS / 10, f"too few pulls were cut short: {outcomes}"
    assert len(images.pull(reference).layers) == 4
    store.close()


def _killed_after(delay: float, root: Path, *words: str) -> str:
    """Runs the program, kills it `delay` seconds after it was ready, and gives what it said in that time."""
    argv = [sys.executable, "-P", "-c", PROGRAM, str(root), *words]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(delay)
        process.kill()
        return process.stdout.read()


def _check(root: Path, images: ImageStore) -> None:
    """The image is there and whole, or nothing of it is."""
    found = {str(path) for path in root.glob("snapshots/*")}
    records = images.list()
    assert found == {layer.path for record in records for layer in record.layers}
    assert [*root.glob("content/ingest/*"), *root.glob("leases/*")] == []
    for record in records:
        found_files = sorted(name for layer in record.layers for name in names(layer))
        assert found_files == [f"file{i}" for i in range(4)]
        images.remove(record.id)
    assert list(root.glob("content/blobs/*/*")) == []
