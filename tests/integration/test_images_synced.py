"""What has its name is on disk: as the kernel is asked to, in this order, by a pull."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from containerlib.spec.options import SnapshotterName
from rig.images import Image, Layer
from rig.scripted_registry import ScriptedRegistry
from rig.snapshotters import EACH

pytestmark = [
    *EACH,
    pytest.mark.privileged("CAP_CHOWN, CAP_MKNOD, CAP_SYS_ADMIN: unpacks layers as they are"),
]

IMAGE = Image((Layer().file("a", "1").finish(), Layer().file("b", "2").finish()), {})
PULL = """
import sys
from pathlib import Path
from containerlib.images import ImageStore
from containerlib.store import Store
ImageStore(Path(sys.argv[1]), Store(Path(sys.argv[1])), snapshotter=sys.argv[3]).pull(sys.argv[2])
"""
SYNC = re.compile(r"(fsync|fdatasync|syncfs)\(\d+<([^>]*)>")
RENAME = re.compile(r'rename(?:at2?)?\((?:AT_FDCWD[^,]*, )?"([^"]*)", (?:AT_FDCWD[^,]*, )?"([^"]*)"')


def test_pull_has_all_on_disk_before_it_has_its_name(
    root: Path, tmp_path: Path, snapshotter: SnapshotterName
) -> None:
    if shutil.which("strace") is None:
        pytest.skip("no strace: install strace")
    trace = tmp_path / "trace"
    watch = ["strace", "-f", "-y", "-e", "trace=/^(fsync|fdatasync|syncfs|rename.*)$", "-o", str(trace)]
    with ScriptedRegistry(IMAGE) as registry:
        command = [sys.executable, "-P", "-c", PULL, str(root), registry.reference, snapshotter]
        subprocess.run([*watch, *command], check=True)
    synced: set[str] = set()
    whole = False
    named: list[str] = []
    for line in trace.read_text().splitlines():
        if sync := SYNC.search(line):
            whole = whole or sync[1] == "syncfs"
            synced.add(sync[2])
        elif rename := RENAME.search(line):
            source, target = rename.groups()
            named.append(target.removeprefix(f"{root}/"))
            if target.startswith(f"{root}/snapshots"):
                assert whole, line
            elif target.startswith(f"{root}/content"):
                assert source in synced, line
    blobs = {blob.digest.replace(":", "/") for blob in (IMAGE.blobs()[0], *IMAGE.blobs()[1])}
    assert {name.removeprefix("content/blobs/") for name in named if "/blobs/" in name} == blobs
    assert len([name for name in named if name.startswith("snapshots/")]) == 2
    assert "content/index.json" in named
