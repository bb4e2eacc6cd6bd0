"""The same bundle's mounts under runc and under us, line by line of mountinfo."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rig.mounts import mounted_tmpfs

pytestmark = [
    pytest.mark.privileged("CAP_SYS_ADMIN: makes containers"),
    pytest.mark.skipif(shutil.which("runc") is None, reason="no runc: install runc"),
]

NEW = "ro rw nosuid nodev noexec noatime nodiratime relatime strictatime norelatime nostrictatime atime dirsync sync"
BOUND = (
    "rro rnosuid rnodev rnoexec rnoatime rnodiratime rstrictatime rrelatime rrw rsuid ro nosuid noatime "
    "private rprivate slave rslave shared rshared unbindable runbindable"
)
"""What runc 1.1 knows: it has no lazytime, silent, symfollow, idmap."""


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Path]:
    with mounted_tmpfs(tmp_path / "shared", size="1m") as path:
        path.joinpath("below").mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "below", path / "below"], check=True)
        subprocess.run(["mount", "--make-rshared", path], check=True)
        try:
            yield path
        finally:
            subprocess.run(["umount", path / "below"], check=True)


@pytest.fixture
def bundle(tmp_path: Path, busybox_rootfs: Path) -> Path:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    subprocess.run(["cp", "-a", busybox_rootfs, bundle / "rootfs"], check=True)
    bundle.joinpath("rootfs/data").mkdir(mode=0o750)
    bundle.joinpath("rootfs/data/file").touch()
    subprocess.run(["runc", "spec"], cwd=bundle, check=True)
    return bundle


def configure(bundle: Path, mounts: list[dict[str, Any]], **linux: Any) -> None:
    path = bundle / "config.json"
    spec = json.loads(path.read_text())
    spec["process"].update(terminal=False, args=["sh", "-c", "cat /proc/self/mountinfo; ls -lR /data"])
    spec["mounts"] += mounts
    spec["linux"].update(linux)
    path.write_text(json.dumps(spec))


def lines(bundle: Path, state: Path, command: list[str]) -> list[str]:
    """Mountinfo without ids, and without what differs by intent: cgroups, masks and their sources."""
    done = subprocess.run(
        [*command, "--root", str(state), "run", f"peer-{uuid.uuid4().hex[:12]}"],
        cwd=bundle,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    kept = []
    for line in done.stdout.splitlines():
        without_ids = re.sub(r"^\d+ \d+ \d+:\d+ |(?<=master):\d+|(?<=shared):\d+", "", line)
        if not re.search(r" /sys| /proc/|^total|^/data", without_ids):
            kept.append(without_ids)
    return sorted(kept)


@pytest.mark.parametrize("propagation", ["", "rslave", "rprivate"])
def test_mounts_of_a_bundle_are_those_that_runc_makes(
    bundle: Path, shared: Path, tmp_path: Path, propagation: str
) -> None:
    mounts = [
        *({"destination": f"/t/{w}", "type": "tmpfs", "source": "t", "options": [w]} for w in NEW.split()),
        *(
            {"destination": f"/b/{w}", "type": "bind", "source": str(shared), "options": ["rbind", w]}
            for w in BOUND.split()
        ),
        {"destination": "/data", "type": "tmpfs", "source": "t", "options": ["tmpcopyup", "ro"]},
        {"destination": "/d", "type": "devpts", "source": "d", "options": ["newinstance", "mode=0600"]},
        {"destination": "/p", "type": "proc", "source": "p", "options": ["nosuid"]},
    ]
    configure(bundle, mounts, rootfsPropagation=propagation)
    ours = lines(bundle, tmp_path / "ours", [sys.executable, "-m", "containerlib.oci_cli"])
    theirs = lines(bundle, tmp_path / "theirs", ["runc"])
    assert len(ours) > 60
    assert ours == theirs
