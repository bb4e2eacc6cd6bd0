"""Images are streams: what goes by is not kept in memory, whatever its size."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from containerlib.spec.options import SnapshotterName
from rig.images import Image, Layer, busybox_layer
from rig.registry import Registry
from rig.snapshotters import EACH

pytestmark = [
    *EACH,
    pytest.mark.privileged("CAP_CHOWN, CAP_MKNOD, CAP_SYS_ADMIN: makes containers, unpacks layers"),
    pytest.mark.slow,
]

MEBIBYTE = 1 << 20
SIZE = 160 * MEBIBYTE
MOST = 64 * MEBIBYTE
"""By which the importing process may grow."""

# Does each thing with an image that has next to nothing, and then with a large one; prints what that has added at most.
PROGRAM = """
import json, re, sys
from pathlib import Path
import containerlib as cl

place, snapshotter, *references = sys.argv[1:]
names = [reference.rpartition("/")[2].partition(":")[0] for reference in references]
grown = {}

def highest():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024

def each(word, call):
    call(0)
    Path("/proc/self/clear_refs").write_text("5")  # the highest is what there is now
    before = highest()
    call(1)
    grown[word] = highest() - before

with cl.Engine(root=f"{place}/root", snapshotter=snapshotter) as engine:
    images = [None, None]
    def pull(i):
        images[i] = engine.image(references[i]).pull()
    each("pull", pull)
    each("push", lambda i: images[i].push(references[i] + "-again"))
    each("save", lambda i: images[i].save(f"{place}/{names[i]}.tar"))
    each("layout", lambda i: images[i].save(f"{place}/{names[i]}", layout=True))
    each("squash", lambda i: images[i].squash(compression="zstd"))
    with engine.container(images[0]).create() as small, engine.container(images[1]).create() as large:
        each("export", lambda i: (small, large)[i].export(f"{place}/{names[i]}-files.tar"))
    each("import", lambda i: engine.images.import_(f"{place}/{names[i]}-files.tar"))
    each("verify", lambda i: engine.images.verify() if i else None)
    for image in engine.images.list():
        image.remove()
    each("load", lambda i: engine.images.load(f"{place}/{names[i]}.tar"))
print(json.dumps(grown))
"""


def test_process_grows_by_little_whatever_the_size_of_a_layer(
    registry: Registry, tmp_path: Path, snapshotter: SnapshotterName
) -> None:
    references = []
    for name, size in (("small", 1), ("large", SIZE)):
        layers = (busybox_layer(), Layer().file("noise", os.urandom(size)).finish())
        image = Image(layers, {"Cmd": ["true"]}, compression_level=0)
        references.append(registry.push(image.write_layout(tmp_path / f"layout-{name}"), name))
    command = [sys.executable, "-P", "-c", PROGRAM, str(tmp_path), snapshotter, *references]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    grown = {word: size // MEBIBYTE for word, size in json.loads(done.stdout).items()}
    assert len(grown) == 9
    assert {word: size for word, size in grown.items() if size > MOST // MEBIBYTE} == {}, grown
