"""A volume's size, by the project quota of the file system that the engine's root is on; refused where it has none.

Debian's kernel has them; one without CONFIG_QFMT_V2 mounts no ext4 that was made with project quotas.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import containerlib as cl
from containerlib._sys.quota import is_free
from rig.bundles import until
from rig.images import Image, Layer, busybox_layer
from rig.loops import loop_device
from rig.mounts import mounted_tmpfs

pytestmark = [pytest.mark.privileged("CAP_SYS_ADMIN: mounts a file system"), pytest.mark.vm]

FULL = "quota exceeded|No space left"
"""What writers are told by ext4, and by XFS for a project."""
MAKE = {"ext4": ("mkfs.ext4", "-q", "-O", "quota,project"), "xfs": ("mkfs.xfs", "-q")}


@pytest.fixture(params=["ext4", "xfs"])
def bounded(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[cl.Engine]:
    """An engine on a file system that enforces project quotas."""
    disk, kind = tmp_path / "disk", request.param
    disk.mkdir()
    with loop_device(tmp_path / "image", *MAKE[kind], size="400M") as device:
        words = ["mount", "-t", kind, "-o", "prjquota", device, str(disk)]
        done = subprocess.run(words, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            pytest.skip(f"this kernel mounts no {kind} with project quotas: {done.stderr.splitlines()[0]}")
        try:
            with cl.Engine(root=disk / "root") as engine:
                yield engine
        finally:
            subprocess.run(["umount", str(disk)], check=True)


def fits(path: Path, size: int) -> bool:
    """Whether a file of so many bytes can be written there, by root as it is in a container: ext4 bounds nobody who has
    CAP_SYS_RESOURCE."""
    write = ["dd", "if=/dev/zero", f"of={path}", "bs=64k", f"count={size >> 16}"]
    done = subprocess.run(
        ["setpriv", "--bounding-set", "-sys_resource", *write], check=False, capture_output=True, text=True
    )
    if done.returncode != 0:
        assert re.search(FULL, done.stderr), done.stderr
    return done.returncode == 0


def test_volume_takes_as_much_as_its_size_says(bounded: cl.Engine) -> None:
    small = bounded.volume("small").option(size="2MiB").create()
    large = bounded.volume("large").option(size="8MiB").create()
    plain = bounded.volume("plain").create()
    (small.path / "deep").mkdir()
    assert fits(small.path / "deep" / "file", 1 << 20)
    assert not fits(small.path / "deep" / "more", 2 << 20)
    assert fits(large.path / "file", 4 << 20)
    assert fits(plain.path / "file", 16 << 20)
    small.remove()
    again = bounded.volume("small").option(size="2MiB").create()
    assert fits(again.path / "file", 1 << 20)


def test_container_cannot_write_more_than_its_volume_takes(bounded: cl.Engine, tmp_path: Path) -> None:
    layer = Layer().directory("data", 0o750, uid=7).file("data/kept", "x" * (1 << 20)).finish()
    image = Image((busybox_layer(), layer), {"Env": ["PATH=/bin"]})
    (found,) = bounded.images.load(image.write_layout(tmp_path / "data"))
    recipe = bounded.container(found).mount(bounded.volume("v").option(size="2MiB"), at="/data")
    write = ("dd", "if=/dev/zero", "of=/data/file", "bs=64k")
    assert recipe.run(*write, "count=8").exit_code == 0
    done = recipe.run(*write, "count=64", check=False)
    assert re.search(FULL, done.stderr.decode())


@pytest.mark.parametrize("bounded", ["xfs"], indirect=True)
def test_image_that_has_more_than_the_volume_takes_is_told(bounded: cl.Engine, tmp_path: Path) -> None:
    layer = Layer().directory("data").file("data/kept", "x" * (4 << 20)).finish()
    image = Image((busybox_layer(), layer), {"Env": ["PATH=/bin"]})
    (found,) = bounded.images.load(image.write_layout(tmp_path / "data"))
    volume = bounded.volume("v").option(size="1MiB").create()
    with pytest.raises(cl.StageError, match="ENOSPC"):
        bounded.container(found).mount(volume, at="/data").run("true")
    assert (list(volume.path.iterdir()), bounded.containers.list()) == ([], [])


def test_restored_volume_keeps_its_bound(bounded: cl.Engine, tmp_path: Path) -> None:
    volume = bounded.volume("v").option(size="4MiB").create()
    (volume.path / "file").write_bytes(bytes(1 << 20))
    volume.backup(tmp_path / "backup.tar")
    volume.restore(tmp_path / "backup.tar")
    assert (volume.path / "file").stat().st_size == 1 << 20
    assert not fits(volume.path / "more", 4 << 20)


def test_limit_goes_with_its_volume(bounded: cl.Engine) -> None:
    volume = bounded.volume("v").option(size="4MiB").create()
    project = bounded.core.store.volumes.get("v").project
    assert not is_free(bounded.root, project)
    volume.remove()
    until(lambda: is_free(bounded.root, project), 60.0)  # XFS counts what is gone by and by


@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
def test_size_is_refused_where_nothing_would_hold_it(kind: str, tmp_path: Path) -> None:
    if kind == "tmpfs":
        with mounted_tmpfs(tmp_path / "disk", size="16m") as disk:
            refused(disk)
        return
    (tmp_path / "disk").mkdir()
    with loop_device(tmp_path / "image", "mkfs.ext4", "-q") as device:
        subprocess.run(["mount", "-t", "ext4", device, str(tmp_path / "disk")], check=True)
        try:
            refused(tmp_path / "disk")
        finally:
            subprocess.run(["umount", str(tmp_path / "disk")], check=True)


def refused(disk: Path) -> None:
    with cl.Engine(root=disk / "root") as engine:
        with pytest.raises(cl.Unsupported, match="prjquota"):
            engine.volume("v").option(size="1MiB").create()
        assert engine.volumes.list() == []
        assert [path.name for path in (disk / "root" / "volumes").iterdir()] == [".lock"]
