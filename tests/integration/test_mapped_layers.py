"""Layers under a user namespace: id-mapped for a container of it, and unpacked by its root."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from containerlib.images import ImageRecord, ImageStore
from containerlib.runtime import OverlayRoot
from containerlib.spec.options import SnapshotterName
from rig.bundles import Rack, make_directory
from rig.images import Image, Layer, busybox_layer
from rig.snapshotters import usable
from rig.user_namespaces import HOST_ID, in_user_namespace, open_parents

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

LOWER = (
    Layer()
    .directory("dir")
    .file("dir/hidden", "")
    .file("mine", "1", uid=7, gid=8)
    .file("foreign", "", uid=70_000)
)
UPPER = (
    Layer().directory("dir").whiteout("dir/.wh..wh..opq").file("dir/seen", "").whiteout("foreign").finish()
)
IMAGE = Image((busybox_layer(), LOWER.finish(), UPPER), {"Env": ["PATH=/bin"]})


@pytest.fixture(params=["overlay", "erofs"])
def snapshotter(request: pytest.FixtureRequest, tmp_path: Path) -> SnapshotterName:
    return usable(request.param, tmp_path)


@pytest.fixture
def record(images: ImageStore, tmp_path: Path) -> ImageRecord:
    (record,) = images.load(IMAGE.write_layout(tmp_path / "layout"))
    return record


@pytest.fixture
def mapped(rack: Rack, record: ImageRecord, tmp_path: Path) -> OverlayRoot:
    """The image's root for a container called "one", whose own layer belongs to its root."""
    directory = str(rack.directory / "one")
    make_directory(directory)
    os.chown(f"{directory}/upper", HOST_ID, HOST_ID)
    for path in (rack.directory, rack.directory / "one"):
        path.chmod(0o755)
    open_parents(tmp_path)
    return OverlayRoot(record.layers, f"{directory}/upper", f"{directory}/work", mapped=True)


def run(rack: Rack, root: OverlayRoot, code: str, **words: Any) -> list[str]:
    done = rack.run("sh", "-c", code, name="one", change=in_user_namespace, root=root, **words)
    assert done.stderr == b""
    return done.text.split()


def test_mapped_layers_have_the_containers_ids(rack: Rack, mapped: OverlayRoot) -> None:
    assert run(rack, mapped, "id -u; stat -c %u:%g / /bin/busybox /mine") == ["0", "0:0", "0:0", "7:8"]


def test_mapped_layers_are_merged_as_ever(rack: Rack, mapped: OverlayRoot) -> None:
    assert run(rack, mapped, "ls /dir; test -e /foreign || echo gone") == ["seen", "gone"]


def test_mapped_layers_are_copied_up_under_the_hosts_ids(rack: Rack, mapped: OverlayRoot) -> None:
    assert run(rack, mapped, "echo 2 >> /mine; touch /new; stat -c %u:%g /mine /new") == ["7:8", "0:0"]
    assert mapped.upper is not None
    made = [Path(mapped.upper, name).stat() for name in ("mine", "new")]
    assert [(status.st_uid, status.st_gid) for status in made] == [
        (HOST_ID + 7, HOST_ID + 8),
        (HOST_ID, HOST_ID),
    ]


def test_mapped_layers_stay_as_they_were_unpacked(
    rack: Rack, mapped: OverlayRoot, record: ImageRecord
) -> None:
    def statuses() -> list[tuple[int, ...]]:
        """Of each layer all but the time of the last access, which reading it sets."""
        read = [os.stat(layer.path) for layer in record.layers]  # noqa: PTH116
        return [(*found[: stat.ST_ATIME], found.st_mtime_ns, found.st_ctime_ns) for found in read]

    before = statuses()
    run(rack, mapped, "chown 9:9 /mine; rm /bin/ls; mkdir /dir/made")
    assert statuses() == before


def test_mapped_layers_under_a_private_upper_one(rack: Rack, mapped: OverlayRoot) -> None:
    root = OverlayRoot(mapped.lowers, None, None, mapped=True)
    assert run(rack, root, "stat -c %u:%g /; touch /new; stat -c %u:%g /new") == ["0:0", "0:0"]
    assert mapped.upper is not None
    assert list(Path(mapped.upper).iterdir()) == []


def test_mapped_layers_device_is_none(rack: Rack, images: ImageStore, mapped: OverlayRoot) -> None:
    """As on all that is mounted in a user namespace, whoever has mounted it."""
    assert mapped.upper is not None
    os.mknod(f"{mapped.upper}/zero", 0o020666, os.makedev(1, 5))
    os.chown(f"{mapped.upper}/zero", HOST_ID, HOST_ID)
    done = rack.run("head", "-c", "1", "/zero", name="one", change=in_user_namespace, root=mapped)
    assert b"Permission denied" in done.stderr


def test_mapped_layers_in_a_joined_user_namespace(rack: Rack, mapped: OverlayRoot) -> None:
    first = rack.create("sleep", "60", name="one", change=in_user_namespace, root=mapped)
    pid = first.supervisor.pid

    def join(spec: dict[str, Any]) -> None:
        spec["linux"].get("sysctl", {}).pop("net.ipv4.ping_group_range", None)
        spec["linux"]["namespaces"].append({"type": "user", "path": f"/proc/{pid}/ns/user"})

    directory = str(rack.directory / "two")
    make_directory(directory)
    (rack.directory / "two").chmod(0o755)
    os.chown(f"{directory}/upper", HOST_ID, HOST_ID)
    root = OverlayRoot(mapped.lowers, f"{directory}/upper", f"{directory}/work", mapped=True)
    done = rack.run("sh", "-c", "stat -c %u:%g / /mine", name="two", change=join, root=root)
    assert done.text.split() == ["0:0", "7:8"]


# ---- the root of a user namespace ----

PROGRAM = """
import ctypes, os, sys
from pathlib import Path
from containerlib.bundles.users import resolve_user
from containerlib.engine.sources import Resolved
from containerlib.images import ImageStore
from containerlib.runtime import Stdio, create
from containerlib.store import Store

libc = ctypes.CDLL(None, use_errno=True)
assert libc.unshare(0x10020000) == 0, "CLONE_NEWUSER | CLONE_NEWNS"
print("mapped?", flush=True)
input()
os.setgid(0)
os.setuid(0)
root, layout, name, code = sys.argv[1:]
store = Store(Path(root))
(record,) = ImageStore(Path(root), store, snapshotter=name).load(layout)
store.close()
print(record.layers[0].kind, resolve_user("root", record.layers).home, flush=True)

bundle = f"{root}/bundle"
for directory in ("rootfs", "upper", "work", "none"):
    os.makedirs(f"{bundle}/{directory}")
kinds = ("mount", "pid", "ipc", "uts", "user")
ids = [{"containerID": 0, "hostID": 0, "size": 1000}]
linux = {"namespaces": [{"type": kind} for kind in kinds], "uidMappings": ids, "gidMappings": ids}
process = {"args": ["sh", "-c", code], "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}}
spec = {"ociVersion": "1.2.0", "root": {"path": "rootfs"}, "process": process, "mounts": [], "linux": linux}
if name == "fuse-overlayfs":  # it is not for a nested one
    spec["linux"] = {"namespaces": linux["namespaces"][:-1]}
container = create(
    bundle,
    directory=bundle,
    root=Resolved(record.id, "", record.config, record.layers).root(bundle, f"{bundle}/none"),
    cgroup=None,
    owned=True,
    spec=spec,
    log=None,
    stdio=Stdio(stdout=1, stderr=2),
)
status = container.wait(20.0)
container.finished()
sys.exit(status.exit_code)
"""


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("auto", "overlay-userxattr"),
        ("overlay", "overlay-userxattr"),
        ("fuse-overlayfs", "fuse-overlayfs"),
    ],
)
def test_root_of_a_user_namespace_unpacks_layers_and_mounts_them(
    tmp_path: Path, name: SnapshotterName, kind: str
) -> None:
    if name == "fuse-overlayfs" and shutil.which(name) is None:
        pytest.skip("no fuse-overlayfs: install fuse-overlayfs")
    lower = Layer().directory("dir").file("dir/hidden", "").file("foreign", "").finish()
    image = Image((busybox_layer(), lower, UPPER), {"Env": ["PATH=/bin"]})
    layout = image.write_layout(tmp_path / "layout")
    code = (
        "ls /dir; test -e /foreign || echo gone; echo x > /dir/new; rm -r /dir; mkdir /dir; ls /dir | wc -l"
    )
    out, err = in_namespace(tmp_path, layout, name, code)
    assert (out.split(), err) == ([kind, "/root", "seen", "gone", "0"], "")


def test_root_of_a_user_namespace_cannot_have_erofs(tmp_path: Path) -> None:
    layout = Image((LOWER.finish(),)).write_layout(tmp_path / "layout")
    _, err = in_namespace(tmp_path, layout, "erofs", "")
    assert "Unsupported: the snapshotter 'erofs' cannot work here: only the host's root" in err


def in_namespace(directory: Path, *words: object) -> tuple[str, str]:
    """What the program says and complains of, as root of a user namespace with the host's own ids."""
    argv = [sys.executable, "-P", "-c", PROGRAM, str(directory / "root"), *map(str, words)]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "mapped?\n"
        for name in ("uid_map", "gid_map"):
            Path(f"/proc/{process.pid}/{name}").write_text("0 0 65536")
        return process.communicate("\n", timeout=60)
