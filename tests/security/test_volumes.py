"""Volumes under attack: who is at work in one exchanges directories with links out of it, while others do theirs.

Nothing outside of the volume may be read into it, changed or removed.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

import containerlib as cl
from containerlib.store import Store
from containerlib.volumes import VolumeStore
from rig.images import Image, Layer, busybox_layer

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

REMOVALS = 40
FILLS = 25

NEIGHBOUR = """
import os, sys
outside = sys.argv[1]
print("ready", flush=True)
while True:
    for place, names, files in os.walk("."):
        for name in names:
            path = f"{place}/{name}"
            try:
                os.rename(path, f"{path}-")
                os.symlink(outside, path)
                os.unlink(path)
                os.rename(f"{path}-", path)
            except OSError:
                pass
"""
"""In every directory below the one that it works in, of whatever name: directory, link, directory, link."""


@contextmanager
def neighbour(place: Path, outside: Path) -> Iterator[None]:
    command = [sys.executable, "-c", NEIGHBOUR, str(outside)]
    with subprocess.Popen(command, cwd=place, stdout=subprocess.PIPE) as racer:
        assert racer.stdout is not None
        assert racer.stdout.readline() == b"ready\n"
        try:
            yield
            assert racer.poll() is None, "the race was not on to the end"
        finally:
            racer.kill()


def state_of(outside: Path) -> list[tuple[str, int, int, int]]:
    paths = sorted([outside, *outside.rglob("*")])
    return [
        (str(path), *(path.lstat().st_mode, path.lstat().st_uid, path.lstat().st_mtime_ns)) for path in paths
    ]


def test_removal_where_a_neighbour_exchanges_directories_and_links_removes_nothing_outside(
    tmp_path: Path, outside: Path
) -> None:
    store = Store(tmp_path)
    volumes, before = VolumeStore(tmp_path, store), state_of(outside)
    for _ in range(REMOVALS):
        top = Path(volumes.create("www").path)
        for name in ("a", "b", "c"):
            (top / name / "deep" / "er").mkdir(parents=True)
            (top / name / "deep" / "secret").touch()
        with neighbour(top, outside):
            with suppress(cl.StageError):  # it adds what was just removed
                volumes.remove("www")
            time.sleep(0.01)
        volumes.prune()
        assert state_of(outside) == before
    assert volumes.list() == []
    store.close()


def test_filling_where_a_neighbour_exchanges_directories_and_links_writes_nothing_outside(
    engine: cl.Engine, tmp_path: Path, outside: Path
) -> None:
    """In a directory of the host as a volume, others see what is not yet whole."""
    layer = Layer().directory("data", 0o777)
    for name in ("a", "b", "c"):
        layer.directory(f"data/{name}").directory(f"data/{name}/deep").file(f"data/{name}/deep/secret", "new")
    image = Image((busybox_layer(), layer.finish()), {"Env": ["PATH=/bin"]})
    (found,) = engine.images.load(image.write_layout(tmp_path / "image"))
    there, before = tmp_path / "there", state_of(outside)
    there.mkdir()
    volume = engine.volume("v").option(type="none", device=str(there), o="bind").create()
    recipe = engine.container(found).mount(volume, at="/data")
    with neighbour(there, outside):
        for _ in range(FILLS):
            with suppress(cl.Error):
                recipe.run("true")
            assert state_of(outside) == before
            subprocess.run(
                ["find", str(there), "-mindepth", "1", "-delete"], check=False, capture_output=True
            )


def test_restoring_where_a_neighbour_exchanges_directories_and_links_moves_nothing_from_outside(
    engine: cl.Engine, tmp_path: Path, outside: Path
) -> None:
    there, before = tmp_path / "there", state_of(outside)
    (there / "a" / "deep").mkdir(parents=True)
    volume = engine.volume("v").option(type="none", device=str(there), o="bind").create()
    volume.backup(tmp_path / "backup.tar")
    with neighbour(there, outside):
        for _ in range(FILLS):
            with suppress(cl.Error):
                volume.restore(tmp_path / "backup.tar")
            assert state_of(outside) == before


def test_backup_where_a_neighbour_exchanges_directories_and_links_has_nothing_from_outside(
    engine: cl.Engine, tmp_path: Path, outside: Path
) -> None:
    volume = engine.volume("v").create()
    for name in ("a", "b", "c"):
        (volume.path / name / "deep").mkdir(parents=True)
    with neighbour(volume.path, outside):
        for number in range(FILLS):
            archive = tmp_path / f"{number}.tar"
            with suppress(cl.Error):
                volume.backup(archive)
            if archive.exists():
                listed = subprocess.run(["tar", "-tf", archive], check=True, capture_output=True, text=True)
                assert "secret" not in listed.stdout
