"""Layers as they are mounted: `verify` finds what is not as the blob says, and unpacks it again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import containerlib as cl
from containerlib._sys.trees import remove_tree
from containerlib.images.content.verify import Damage
from rig.images import Image, Layer, busybox_layer
from rig.layers import opened
from rig.registry import Registry

pytestmark = [
    pytest.mark.usefixtures("snapshotter"),
    pytest.mark.privileged("CAP_CHOWN, CAP_MKNOD, CAP_SYS_ADMIN: unpacks layers as they are"),
]
ALL = pytest.mark.parametrize("snapshotter", ["overlay", "erofs", "copy", "fuse-overlayfs"], indirect=True)
DIRECTORIES = pytest.mark.parametrize("snapshotter", ["overlay", "copy"], indirect=True)

RICH = (
    Layer()
    .file("deep/down/unsaid", "parents that no entry says")
    .directory("opaque")
    .whiteout("opaque/.wh..wh..opq")
    .file("setuid", b"x", 0o4755, uid=7, gid=8)
    .hardlink("linked", "setuid")
    .symlink("link", "/nowhere")
    .whiteout("etc/passwd")
    .finish()
)
TOP = Layer().directory("top", uid=5).file("top/data", os.urandom(100_000)).finish()
IMAGE = Image((busybox_layer(), RICH, TOP), {"Cmd": ["cat", "/deep/down/unsaid"]})
BLOBS = 5


@pytest.fixture
def pulled(engine: cl.Engine, registry: Registry, tmp_path: Path) -> cl.Image:
    return engine.image(registry.push(IMAGE.write_layout(tmp_path / "layout"), "app")).pull()


def layers(image: cl.Image) -> list[Path]:
    """Where the snapshots are, the lowest first: each with a root of its own, or a file."""
    folder = Path(image.engine.root, "snapshots")
    top = Path(image.record.layers[0].path)
    suffix = (top.parent if top.name == "root" else top).suffix
    return [folder / f"{chain.partition(':')[2]}{suffix}" for chain in chains(image)]


def chains(image: cl.Image) -> list[str]:
    return list(image.record.config.chain_ids())


def rot(path: Path) -> None:
    """Changes a few bytes of content, so that nothing else is another."""
    if path.is_dir():
        path = next(file for file in sorted(path.rglob("*")) if file.is_file() and not file.is_symlink())
    status, data = path.stat(), path.read_bytes()
    at = len(data) // 2
    path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@ALL
def test_verify_of_snapshots_that_are_in_order_finds_nothing(engine: cl.Engine, pulled: cl.Image) -> None:
    report = engine.images.verify(repair=True)
    assert (report.checked, report.damaged, report.failures) == (BLOBS + 3, (), ())
    names = {path.name for path in layers(pulled)}
    assert {path.name for path in Path(engine.root, "snapshots").iterdir()} == names


@ALL
@pytest.mark.parametrize("which", range(3))
def test_verify_unpacks_a_snapshot_that_changed_again(
    engine: cl.Engine, pulled: cl.Image, which: int
) -> None:
    rot(layers(pulled)[which])
    expected = Damage(chains(pulled)[which], "changed", (pulled.id,), "snapshot")
    found = engine.images.verify()
    assert expected in found.damaged
    assert not found.is_whole
    assert {damage.what for damage in found.damaged} == {"snapshot"}
    report = engine.images.verify(repair=True)
    assert report.is_whole
    assert expected.digest in report.repaired
    assert engine.images.verify().damaged == ()
    assert len(list(Path(engine.root, "snapshots").iterdir())) == 3
    assert engine.container(pulled).run().text == "parents that no entry says"


@ALL
def test_verify_unpacks_snapshots_that_are_gone_again(engine: cl.Engine, pulled: cl.Image) -> None:
    for path in layers(pulled):
        remove_tree(str(path))
    assert [damage.kind for damage in engine.images.verify().damaged] == ["missing"] * 3
    assert engine.images.verify(repair=True).is_whole
    assert engine.images.verify().damaged == ()
    with opened(pulled.record.layers[0]) as top:
        assert (top / "top/data").stat().st_size == 100_000


@ALL
def test_verify_repairs_the_blob_first_and_unpacks_that(engine: cl.Engine, pulled: cl.Image) -> None:
    remove_tree(str(layers(pulled)[1]))
    for blob in Path(engine.root, "content/blobs/sha256").iterdir():
        blob.write_bytes(b"rot")
    found = engine.images.verify()
    assert [damage.what for damage in found.damaged].count("snapshot") == 1
    assert engine.images.verify(repair=True).is_whole
    assert engine.images.verify().damaged == ()


@ALL
def test_verify_says_why_a_snapshot_without_its_blob_cannot_be_repaired(
    engine: cl.Engine, tmp_path: Path
) -> None:
    (loaded,) = engine.images.load(IMAGE.write_layout(tmp_path / "layout"))
    remove_tree(str(layers(loaded)[0]))
    digest = IMAGE.blobs()[1][1].digest
    Path(engine.root, "content/blobs/sha256", digest.removeprefix("sha256:")).unlink()
    report = engine.images.verify(repair=True)
    assert not report.is_whole
    assert "load or pull it again" in report.failures[0]
    assert f"{chains(loaded)[0]}: its blob is damaged" in report.failures[1]


CHANGES: dict[str, Callable[[Path], object]] = {
    "mode": lambda root: (root / "setuid").chmod(0o755),
    "owner": lambda root: os.chown(root / "opaque", 6, 0),
    "gone": lambda root: (root / "setuid").unlink(),
    "new": lambda root: (root / "new").write_text("new"),
    "attribute": lambda root: os.setxattr(root / "setuid", "user.mine", b"1"),
    "link": lambda root: ((root / "link").unlink(), (root / "link").symlink_to("/elsewhere")),
    "time": lambda root: os.utime(root / "setuid", (1, 1)),
    "file for a directory": lambda root: (shutil.rmtree(root / "deep"), (root / "deep").write_text("")),
}


@DIRECTORIES
@pytest.mark.parametrize("name", CHANGES)
def test_verify_sees_every_change_of_a_directory(engine: cl.Engine, pulled: cl.Image, name: str) -> None:
    path = layers(pulled)[1]
    CHANGES[name](path / "root" if (path / "root").is_dir() else path)
    assert {damage.kind for damage in engine.images.verify().damaged} == {"changed"}
    assert engine.images.verify(repair=True).is_whole
    assert engine.images.verify().damaged == ()


@ALL
def test_verify_leaves_directories_that_a_container_has(engine: cl.Engine, pulled: cl.Image) -> None:
    rot(layers(pulled)[2])
    is_file = layers(pulled)[2].is_file()
    with engine.container(pulled).start("sleep", "100") as container:
        report = engine.images.verify(repair=True)
        assert report.is_whole is is_file
        if not is_file:
            assert f"containers of {pulled.id} have it: remove them" in report.failures[0]
        assert container.exec("cat", "/deep/down/unsaid").text == "parents that no entry says"
    assert engine.images.verify(repair=True).is_whole


# Repairs, and kills itself before system call number `limit` of those that give a layer its name, or at their end.
REPAIR = """
import itertools, os, signal, sys
import containerlib as cl
from containerlib.images.snapshots.store import Drafts

root, snapshotter, limit = sys.argv[1:]
steps = itertools.count()
replace = Drafts.replace.__code__

def step(frame, event, argument):
    is_end = event == "return" and frame.f_code is replace
    is_call = event == "c_call" and (argument.__module__ == "posix" or "clib_" in argument.__name__)
    while frame is not None and frame.f_code is not replace and "/store/" not in frame.f_code.co_filename:
        frame = frame.f_back
    if frame is not None and frame.f_code is replace and (is_end or is_call) and next(steps) == int(limit):
        os.kill(os.getpid(), signal.SIGKILL)

with cl.Engine(root, snapshotter=snapshotter) as engine:
    sys.setprofile(step)
    assert engine.images.verify(repair=True).is_whole
    sys.setprofile(None)
"""


@DIRECTORIES
def test_repair_killed_at_any_step_leaves_a_layer_in_every_place(engine: cl.Engine, pulled: cl.Image) -> None:
    kills = 0
    while True:
        if engine.images.verify().is_whole:
            rot(layers(pulled)[2])
        command = [sys.executable, "-c", REPAIR, str(engine.root), engine.snapshotter, str(kills)]
        code = subprocess.run(command, check=False).returncode
        assert all(path.exists() for path in layers(pulled))
        assert engine.container(pulled).run("true").exit_code == 0
        if code == 0:
            break
        assert code == -signal.SIGKILL
        kills += 1
    assert kills >= 3
    engine.prune()
    assert len(list(Path(engine.root, "snapshots").iterdir())) == 3
    assert engine.images.verify().is_whole


@pytest.mark.parametrize("snapshotter", ["overlay", "erofs"], indirect=True)
def test_verify_of_images_that_share_layers_says_each_once(engine: cl.Engine, tmp_path: Path) -> None:
    other = Image((busybox_layer(), RICH), {})
    loaded = [
        engine.images.load(image.write_layout(tmp_path / name))[0]
        for name, image in (("one", IMAGE), ("two", other))
    ]
    rot(layers(loaded[0])[2])
    report = engine.images.verify()
    assert [damage.images for damage in report.damaged] == [(loaded[0].id,)]
    rot(layers(loaded[1])[0])
    first = next(d for d in engine.images.verify().damaged if d.digest == chains(loaded[0])[0])
    assert first.images == tuple(sorted(image.id for image in loaded))
    repaired = engine.images.verify(repair=True)
    assert repaired.is_whole
    assert len(repaired.repaired) == len(set(repaired.repaired))
