"""Each verb that writes a file of the caller's: into a device or a FIFO, through a symlink, after a killed writer."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import containerlib as cl
from containerlib.spec.image import Manifest
from rig.images import Image, Layer
from rig.registry import Registry

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN, CAP_MKNOD: makes containers, and a device")

CONTENT = b"content\n" * 100
Writer = Callable[[Path], object]


def exporting(box: cl.ContainerRecipe, request: pytest.FixtureRequest) -> Writer:
    return box.create("true").export


def copying_out(box: cl.ContainerRecipe, request: pytest.FixtureRequest) -> Writer:
    file = box.create("true").path("/file")
    file.write_bytes(CONTENT)
    return file.copy_out


def saving(box: cl.ContainerRecipe, request: pytest.FixtureRequest) -> Writer:
    (image,) = box.engine.images.list()
    return image.save


def backing_up(box: cl.ContainerRecipe, request: pytest.FixtureRequest) -> Writer:
    return box.engine.volume("data").create().backup


def fetching(box: cl.ContainerRecipe, request: pytest.FixtureRequest) -> Writer:
    registry: Registry = request.getfixturevalue("registry")
    layout = Image((Layer().file("file", CONTENT).finish(),), {}).write_layout(registry.directory / "layout")
    registry.push(layout, "app")
    client = cl.Registry(registry.address)
    request.addfinalizer(client.close)
    manifest = client.manifest("app:latest").parse()
    assert isinstance(manifest, Manifest)
    return lambda path: client.save("app", manifest.layers[0], path)


@pytest.fixture(params=[exporting, copying_out, saving, backing_up, fetching], ids=lambda verb: verb.__name__)
def write(box: cl.ContainerRecipe, request: pytest.FixtureRequest) -> Writer:
    """A verb that writes a file."""
    writer: Writer = request.param(box, request)
    return writer


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory where nothing but the target is left."""
    (tmp_path / "place").mkdir()
    return tmp_path / "place"


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_device_stays_one(write: Writer, place: Path) -> None:
    null = place / "null"
    os.mknod(null, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    write(null)
    assert null.is_char_device()
    (place / "link").symlink_to(null)
    write(place / "link")
    assert null.is_char_device()
    assert names(place) == ["link", "null"]


def test_fifo_gets_the_bytes(write: Writer, place: Path) -> None:
    write(place / "file")
    os.mkfifo(place / "fifo")
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append((place / "fifo").read_bytes()))
    reader.start()
    write(place / "fifo")
    reader.join()
    assert (place / "fifo").is_fifo()
    assert hashlib.sha256(read[0]).hexdigest() == digest(place / "file")
    assert names(place) == ["fifo", "file"]


def test_symlink_leads_to_a_new_file(write: Writer, place: Path) -> None:
    (place / "link").symlink_to("file")
    write(place / "link")
    assert (place / "link").is_symlink()
    assert not (place / "file").is_symlink()
    assert names(place) == ["file", "link"]


def test_symlink_leads_to_a_file_that_is_replaced_as_a_whole(write: Writer, place: Path) -> None:
    (place / "file").write_text("old")
    (place / "link").symlink_to("file")
    with (place / "file").open() as old:
        write(place / "link")
        assert old.read() == "old", "its readers have it as it was"
    assert (place / "link").is_symlink()
    assert (place / "file").read_bytes() != b"old"
    assert names(place) == ["file", "link"]


def test_what_a_killed_writer_left_is_removed(write: Writer, place: Path) -> None:
    (place / ".file.containerlib-killed").write_text("half")
    (place / ".other.containerlib-killed").write_text("half of another")
    write(place / "file")
    assert names(place) == [".other.containerlib-killed", "file"]


def test_tree_leaves_devices_of_the_host_alone(box: cl.ContainerRecipe, place: Path) -> None:
    """The names in it are the container's choice."""
    with box.create("true") as container:
        container.path("/tree").mkdir()
        container.path("/tree/null").write_bytes(CONTENT)
        os.mknod(place / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        with pytest.raises(cl.Conflict, match="null is a device"):
            container.path("/tree").copy_out(place, contents=True)
    assert (place / "null").is_char_device()


def test_null_device_that_is_a_file_is_named(busybox_image: Path, tmp_path: Path) -> None:
    """The host as it is after somebody wrote over it, in a mount namespace of its own."""
    program = (
        "import containerlib as cl, sys\n"
        "with cl.Engine(sys.argv[1]) as engine:\n"
        "    try: engine.container(engine.images.load(sys.argv[2])[0]).run('true')\n"
        "    except cl.StageError as error: print(error)\n"
    )
    (tmp_path / "file").write_text("")
    script = 'mount --bind "$0" /dev/null && exec "$@"'
    command = [sys.executable, "-c", program, str(tmp_path / "root"), str(busybox_image)]
    printed = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, str(tmp_path / "file"), *command],
        check=True,
        stdin=subprocess.PIPE,
        capture_output=True,
        text=True,
    ).stdout
    assert "it is no null device" in printed
    assert "mknod -m 666 /dev/null c 1 3" in printed
