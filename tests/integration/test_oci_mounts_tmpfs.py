"""What is filled after it was mounted: a tmpfs, with or without what the image has there, and /dev.

Spec: runtime-spec config.md#linux-mount-options (tmpcopyup)
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from containerlib.errors import InvalidArgument, StageError
from rig.bundles import Bundled, Rack
from rig.mounts import (
    entry,
    look,
    shell,
    with_mounts,
)

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")


# ---- tmpfs ----


def layer_with_directory(tmp_path: Path, mode: int) -> Path:
    layer = tmp_path / "layer"
    layer.joinpath("data").mkdir(parents=True)
    layer.joinpath("data").chmod(mode)
    return layer


def test_tmpfs_is_as_open_as_the_directory_that_it_covers(rack: Rack, tmp_path: Path) -> None:
    layer = layer_with_directory(tmp_path, 0o1731)
    script = "stat -c %a /data /made /given"
    mounts = (
        entry("/data", "tmpfs", "tmpfs"),
        entry("/made", "tmpfs", "tmpfs"),
        entry("/given", "tmpfs", "tmpfs", "mode=0711"),
    )
    assert shell(rack, script, *mounts, lowers=(layer,)).text.split() == ["1731", "1777", "711"]


def test_read_only_tmpfs_can_have_mounts_in_it(rack: Rack) -> None:
    change = with_mounts(entry("/new", "tmpfs", "tmpfs", "ro"), entry("/new/in/it", "tmpfs", "tmpfs"))
    made = look(rack, change)
    assert "ro" in made["/new"].options
    assert "rw" in made["/new/in/it"].options
    done = rack.run("sh", "-c", "touch /new/in/it/x; touch /new/x", change=change)
    assert b"/new/x: Read-only" in done.stderr
    assert b"/new/in" not in done.stderr


@pytest.mark.parametrize("terminal", [None, (24, 80)])
def test_read_only_dev_has_its_devices(rack: Rack, terminal: tuple[int, int] | None) -> None:
    def change(spec: dict[str, Any]) -> None:
        next(m for m in spec["mounts"] if m["destination"] == "/dev")["options"].append("ro")
        spec["process"]["terminal"] = terminal is not None

    script = "echo x >/dev/null && head -c1 /dev/zero | wc -c; touch /dev/x"
    done = rack.run("sh", "-c", script, change=change, terminal=terminal)
    assert done.text.split()[0] == "1"
    assert b"Read-only file system" in done.stdout + done.stderr


@pytest.fixture
def full_layer(tmp_path: Path) -> Path:
    """A layer with /data, which has one of everything."""
    layer = layer_with_directory(tmp_path, 0o2750)
    data = layer / "data"
    data.joinpath("deep/er").mkdir(parents=True)
    data.joinpath("deep").chmod(0o711)
    data.joinpath("deep/er/file").write_bytes(os.urandom(300_000))
    data.joinpath("program").write_text("#!/bin/sh\n")
    data.joinpath("program").chmod(0o4755)
    data.joinpath("link").symlink_to("/etc/passwd")
    data.joinpath("dangling").symlink_to("nowhere")
    os.mkfifo(data / "fifo", 0o640)
    os.mknod(data / "device", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(data / "socket"))
    os.setxattr(data / "program", "user.kind", b"\0binary")
    for path in (data, data / "deep", data / "link"):
        os.lchown(path, 12, 34)
    os.chown(data / "deep/er/file", 56, 78)
    os.setxattr(data / "deep/er/file", "security.capability", CAP_KILL)
    os.utime(data / "deep", (1_000_000_000, 1_000_000_001))
    os.utime(data / "deep/er/file", (1_000_000_000, 1_000_000_002))
    return layer


CAP_KILL = bytes.fromhex("0100000220000000000000000000000000000000")
"""As a file has it. Spec: linux/capability.h, struct vfs_cap_data"""


def copied(rack: Rack, layer: Path, *options: str) -> Bundled:
    change = with_mounts(entry("/data", "tmpfs", "tmpfs", "tmpcopyup", *options))
    return rack.create("sleep", "60", change=change, lowers=(layer,))


def facts(path: Path) -> tuple[Any, ...]:
    status = path.lstat()
    is_file = stat.S_ISREG(status.st_mode)
    return (
        status.st_mode,
        status.st_uid,
        status.st_gid,
        int(status.st_mtime),
        status.st_size if is_file else 0,
    )


def test_tmpcopyup_has_what_the_image_has(rack: Rack, full_layer: Path) -> None:
    container = copied(rack, full_layer)
    there, image = Path(f"/proc/{container.supervisor.pid}/root/data"), full_layer / "data"
    expected = {
        p.relative_to(image): facts(p) for p in image.rglob("*") if p.name not in ("device", "socket")
    }
    assert {p.relative_to(there): facts(p) for p in there.rglob("*")} == expected
    assert there.stat()[:1] + there.stat()[4:6] == image.stat()[:1] + image.stat()[4:6]
    for link in ("link", "dangling"):
        assert there.joinpath(link).readlink() == image.joinpath(link).readlink()
    assert there.joinpath("deep/er/file").read_bytes() == image.joinpath("deep/er/file").read_bytes()
    assert os.getxattr(there / "program", "user.kind") == b"\0binary"
    assert os.getxattr(there / "deep/er/file", "security.capability") == CAP_KILL


def test_tmpcopyup_leaves_the_image_as_it_was(rack: Rack, full_layer: Path) -> None:
    container = copied(rack, full_layer)
    assert container.output("sh", "-c", "rm -r /data/* && touch /data/new").status.exit_code == 0
    assert not Path(container.directory, "upper/data/new").exists()
    assert full_layer.joinpath("data/deep/er/file").exists()


def test_tmpcopyup_takes_its_own_options_before_the_images(rack: Rack, full_layer: Path) -> None:
    container = copied(rack, full_layer, "mode=0700", "uid=5", "ro")
    done = container.output("sh", "-c", "stat -c %a:%u /data; touch /data/x; ls /data/deep/er")
    assert done.text.split() == ["700:5", "file"]
    assert b"Read-only" in done.stderr


def test_tmpcopyup_copies_nothing_of_what_is_mounted_below(
    rack: Rack, source: Path, full_layer: Path
) -> None:
    source.joinpath("secret").touch()
    done = shell(
        rack,
        "ls /data/deep/er",
        entry("/data/deep/er", "bind", str(source), "rbind"),
        entry("/data", "tmpfs", "tmpfs", "tmpcopyup"),
        lowers=(full_layer,),
    )
    assert done.text == "file"


def test_tmpcopyup_of_nothing_is_a_tmpfs(rack: Rack) -> None:
    done = shell(rack, "ls -A /data; stat -c %a /data", entry("/data", "tmpfs", "tmpfs", "tmpcopyup"))
    assert done.text == "1777"


def test_tmpcopyup_that_does_not_fit_is_refused(rack: Rack, full_layer: Path) -> None:
    with pytest.raises(StageError) as caught:
        copied(rack, full_layer, "size=64k")
    assert (caught.value.stage, caught.value.errno) == ("mount", errno.ENOSPC)


def test_tmpcopyup_of_a_directory_that_never_ends_is_refused(rack: Rack, tmp_path: Path) -> None:
    layer = layer_with_directory(tmp_path, 0o755)
    place = os.open(layer / "data", os.O_RDONLY)
    for _ in range(300):
        os.mkdir("d", dir_fd=place)
        deeper = os.open("d", os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = deeper
    os.close(place)
    with pytest.raises(StageError) as caught:
        copied(rack, layer)
    assert (caught.value.stage, caught.value.errno) == ("mount", errno.ENAMETOOLONG)


@pytest.mark.parametrize("kind", ["bind", "ramfs"])
def test_tmpcopyup_of_what_is_no_tmpfs_is_refused(rack: Rack, source: Path, kind: str) -> None:
    words = ("bind", "tmpcopyup") if kind == "bind" else ("tmpcopyup",)
    with pytest.raises(InvalidArgument, match="tmpfs"):
        look(rack, with_mounts(entry("/data", kind, str(source), *words)))
