"""Kill -9 at any instant of a push: no tag that is half, nothing lost here, and a repeat completes."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

import containerlib as cl
from containerlib.errors import NotFound
from containerlib.images import ImageStore
from containerlib.spec.image import Manifest
from containerlib.store import Store
from rig.images import Image, Layer
from rig.registry import Registry

ROUNDS = 40
SEED = 20_240_102
LONGEST = 0.12
"""Seconds: about twice what the program below takes once it has started."""

PROGRAM = """
import sys
from pathlib import Path
from containerlib.images import ImageStore
import containerlib.images.registry.client
from containerlib.store import Store
images = ImageStore(Path(sys.argv[1]), Store(Path(sys.argv[1])))
print("ready", flush=True)
images.push([sys.argv[2]], sys.argv[3])
print("pushed", flush=True)
"""

pytestmark = [
    pytest.mark.privileged("CAP_CHOWN, CAP_MKNOD, CAP_SYS_ADMIN: unpacks layers as they are"),
    pytest.mark.slow,
]


def test_push_killed_at_any_instant_leaves_no_half_tag_and_can_be_repeated(
    registry: Registry, tmp_path: Path
) -> None:
    layers = [Layer().file(f"file{i}", random.Random(i).randbytes(400_000)).finish() for i in range(4)]
    root = tmp_path / "root"
    store = Store(root)
    images = ImageStore(root, store)
    (record,) = images.load(Image(tuple(layers)).write_layout(tmp_path / "layout"))
    delays = random.Random(SEED)
    outcomes: Counter[str] = Counter()
    with cl.Registry(registry.address) as client:
        for number in range(ROUNDS):
            reference = f"{registry.address}/app{number}:latest"
            _killed_after(delays.uniform(0, LONGEST), root, record.id, reference)
            outcomes[_state(client, f"app{number}")] += 1
            images.prune()
            assert list((root / "leases").iterdir()) == []
            digest = images.push([record.id], reference)
            assert str(client.resolve(f"app{number}").digest) == digest
            assert _state(client, f"app{number}") == "whole"
    assert outcomes["absent"] > ROUNDS / 10, f"too few pushes were cut short: {outcomes}"
    assert images.verify().damaged == ()
    store.close()


def _killed_after(delay: float, *arguments: Path | str) -> None:
    argv = [sys.executable, "-P", "-c", PROGRAM, *map(str, arguments)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(delay)
        process.kill()
        process.stdout.read()


def _state(client: cl.Registry, repository: str) -> str:
    """Whether the tag is there; if it is, all that it names is."""
    try:
        manifest = client.manifest(repository).parse()
    except NotFound:
        return "absent"
    assert isinstance(manifest, Manifest)
    for blob in (manifest.config, *manifest.layers):
        assert sum(map(len, client.blob(repository, blob))) == blob.size
    return "whole"
