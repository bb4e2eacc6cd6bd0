"""What is of an EROFS file alone: its bytes, its bounds, its mount. What is in it, test_layers*.py say of both."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from containerlib._sys.erofs import ErofsWriter, mount_erofs
from containerlib._sys.layers import LayerLimits, LayerStats
from containerlib.errors import InvalidArgument, StageError
from rig.mounts import check_erofs, mounted_erofs
from rig.ordinary import as_user

MOUNTS = pytest.mark.privileged("CAP_SYS_ADMIN: mounts an EROFS file")
SUPER = 1024
UUID = slice(SUPER + 48, SUPER + 64)


def write(path: Path, data: bytes, *, chunk: int = 1 << 16, limits: LayerLimits | None = None) -> LayerStats:
    with ErofsWriter(str(path), limits=limits) as writer:
        for start in range(0, len(data), chunk):
            writer.feed(data[start : start + chunk])
        return writer.finish()


def names_in(mount: int) -> set[str]:
    return {path.name for path in Path(f"/proc/self/fd/{mount}/").iterdir()}


@pytest.fixture
def shared_memory() -> Iterator[Path]:
    path = Path("/dev/shm") / f"containerlib-test-{os.getpid()}"
    path.mkdir()
    yield path
    shutil.rmtree(path)


def test_erofs_of_the_same_archive_is_the_same_bytes(tmp_path, archive):
    made = archive().directory("d").file("d/a", os.urandom(200_000)).symlink("s", "d").hardlink("h", "d/a")
    data = made.file(".wh.gone").file("s/b", b"b", pax_headers={"SCHILY.xattr.user.x": "1"}).data()
    for chunk in (1 << 20, 70_000, 777):
        write(tmp_path / str(chunk), data, chunk=chunk)
    images = {(tmp_path / str(chunk)).read_bytes() for chunk in (1 << 20, 70_000, 777)}
    assert len(images) == 1


def test_erofs_of_another_archive_has_another_name(tmp_path, archive):
    for name, content in (("a", b"one"), ("b", b"two")):
        write(tmp_path / name, archive().file("f", content).data())
    assert (tmp_path / "a").read_bytes()[UUID] != (tmp_path / "b").read_bytes()[UUID]


def test_erofs_small_files_take_no_block_of_their_own(tmp_path, archive):
    made = archive()
    for number in range(1000):
        made.file(f"d/{number}", bytes(300))
    write(tmp_path / "image", made.data())
    assert (tmp_path / "image").stat().st_size < 1000 * 450


def test_erofs_hole_takes_no_space_in_the_file(tmp_path):
    with (tmp_path / "sparse").open("wb") as file:
        file.seek(300 << 30)
        file.write(b"end")
    made = ["tar", "-C", str(tmp_path), "--sparse", "--format=posix", "-c", "sparse"]
    write(tmp_path / "image", subprocess.run(made, check=True, capture_output=True).stdout)
    check_erofs(tmp_path / "image")
    assert (tmp_path / "image").stat().st_size < 4 << 20


def test_erofs_tables_of_holes_count_as_content(tmp_path):
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(8 << 40)
    made = ["tar", "-C", str(tmp_path), "--sparse", "--format=posix", "-c", "sparse"]
    data = subprocess.run(made, check=True, capture_output=True).stdout
    with pytest.raises(InvalidArgument, match="bytes of content"):
        write(tmp_path / "image", data, limits=LayerLimits(max_bytes=1))


def test_erofs_file_that_exists_is_left_alone(tmp_path):
    (tmp_path / "image").write_bytes(b"precious")
    with pytest.raises(StageError) as caught:
        ErofsWriter(str(tmp_path / "image"))
    assert (caught.value.errno, caught.value.detail) == (errno.EEXIST, str(tmp_path / "image"))
    assert (tmp_path / "image").read_bytes() == b"precious"


def test_erofs_writer_takes_nothing_after_its_end(tmp_path, archive):
    data = archive().file("a", b"x").data()[:1024]
    with ErofsWriter(str(tmp_path / "image")) as writer:
        writer.feed(data)
        writer.finish()
        before = (tmp_path / "image").read_bytes()
        with pytest.raises(StageError):
            writer.feed(data)
        with pytest.raises(StageError):
            writer.finish()
    assert (tmp_path / "image").read_bytes() == before


def test_erofs_lower_that_is_missing_is_named(tmp_path):
    with ErofsWriter(str(tmp_path / "image"), lowers=[str(tmp_path / "nowhere")]) as writer:
        with pytest.raises(StageError, match="nowhere") as caught:
            writer.finish()
    assert caught.value.errno == errno.ENOENT


def test_erofs_link_to_what_never_came_is_named_at_the_end(tmp_path, archive):
    made = archive().directory("a").hardlink("a/g", "missing/f").file("other")
    with pytest.raises(InvalidArgument, match="entry 'a/g': its hard link"):
        write(tmp_path / "image", made.data())


@pytest.mark.parametrize(
    "value", [b"", b"\2\0\0\0x", struct.pack("<IHHI", 2, 1, 8, 0), struct.pack("<IHHI", 2, 1, 7, 0)]
)
def test_erofs_access_list_that_is_malformed_is_refused(tmp_path, archive, value):
    headers = {"SCHILY.xattr.system.posix_acl_access": os.fsdecode(value)}
    with pytest.raises(InvalidArgument, match="extended attributes"):
        write(tmp_path / "image", archive().file("f", pax_headers=headers).data())


def test_erofs_memory_for_300_000_files_is_bounded(tmp_path):
    program = """
import sys, tarfile
from containerlib._sys.erofs import ErofsWriter
def peak():  # of this program alone: ru_maxrss has the parent's in it
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
with ErofsWriter(sys.argv[1]) as writer:
    block = bytearray(tarfile.TarInfo("x").tobuf(tarfile.USTAR_FORMAT))
    writer.feed(block)
    before = peak()
    for number in range(300_000):
        name = b"usr/share/%05d/a-name-of-thirty-bytes-%06d" % (number // 40, number)
        block[: len(name)] = name
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\\0 " % sum(block)
        writer.feed(block)
    assert writer.finish().entries == 307_503
    print(peak() - before)
"""
    ran = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "image")], check=True, capture_output=True
    )
    assert 1 << 10 < int(ran.stdout) < 40 << 10


@MOUNTS
def test_erofs_mount_is_read_only_without_devices_and_setuid(tmp_path, archive):
    write(tmp_path / "image", archive().file("f", b"x").data())
    mount = mount_erofs(str(tmp_path / "image"))
    try:
        flags = os.fstatvfs(mount).f_flag
        assert flags & os.ST_RDONLY
        assert flags & os.ST_NOSUID
        assert flags & os.ST_NODEV
        assert names_in(mount) == {"f"}
        with pytest.raises(OSError, match="Read-only"):
            os.open("g", os.O_CREAT | os.O_WRONLY, dir_fd=mount)
    finally:
        os.close(mount)


@MOUNTS
def test_erofs_mount_of_a_file_in_memory_ends_with_its_loop_device(shared_memory, archive):
    image = shared_memory / "image"
    write(image, archive().file("f", b"x").data())
    mount = mount_erofs(str(image))
    assert names_in(mount) == {"f"}
    os.close(mount)
    backing = Path("/sys/block").glob("loop*/loop/backing_file")
    assert str(image) not in {path.read_text().strip() for path in backing}


@MOUNTS
@pytest.mark.parametrize(("content", "number"), [(None, errno.ENOENT), (bytes(8192), errno.EINVAL)])
def test_erofs_mount_of_what_is_none_says_so(tmp_path, content, number):
    if content is not None:
        (tmp_path / "image").write_bytes(content)
    with pytest.raises(StageError) as caught:
        mount_erofs(str(tmp_path / "image"))
    assert (caught.value.stage, caught.value.errno) == ("mount", number)


def test_erofs_without_privileges_is_unsupported_and_says_why(tmp_path):
    program = """
from containerlib._sys import erofs
from containerlib.errors import Unsupported
try:
    erofs.mount_erofs("/")
except Unsupported as error:
    print(error)
"""
    argv = [sys.executable, "-c", program]
    if os.geteuid() == 0:
        argv = as_user(65534, *argv)
    ran = subprocess.run(argv, check=True, capture_output=True, text=True, cwd="/")
    assert "CAP_SYS_ADMIN" in ran.stdout


@MOUNTS
def test_erofs_directory_of_many_names_finds_each(tmp_path, archive):
    names = {f"{prefix}{number}" for number in range(3000) for prefix in ("", "-", ".", "..x", "é" * 30)}
    names |= {"!", "-", "...", ".a", "~", "x" * 255, "\x01"}
    made = archive()
    for name in sorted(names, key=hash):
        made.file(f"d/{name}", name.encode())
    write(tmp_path / "image", made.data())
    check_erofs(tmp_path / "image")
    with mounted_erofs(tmp_path / "image", tmp_path) as root:
        assert {path.name for path in (root / "d").iterdir()} == names
        assert all((root / "d" / name).read_bytes() == name.encode() for name in names)
        assert not any((root / "d" / f"{name}?").exists() for name in names if len(name) < 255)
        assert (root / "d/..").stat().st_ino == root.stat().st_ino


@MOUNTS
def test_erofs_large_attributes_and_links_cross_blocks(tmp_path, archive):
    value = "v" * 60_000
    made = archive().file("f", b"content", pax_headers={"SCHILY.xattr.user.large": value})
    made.directory("d", pax_headers={"SCHILY.xattr.trusted.large": value}).file("d/x", b"x")
    write(tmp_path / "image", made.symlink("s", "t" * 4095).file("full", bytes(4032)).data())
    check_erofs(tmp_path / "image")
    with mounted_erofs(tmp_path / "image", tmp_path) as root:
        assert (
            os.getxattr(root / "f", "user.large")
            == os.getxattr(root / "d", "trusted.large")
            == value.encode()
        )
        assert (root / "f").read_bytes() == b"content"
        assert (root / "d/x").read_bytes() == b"x"
        assert os.readlink(root / "s") == "t" * 4095  # noqa: PTH115 - not a path
        assert (root / "full").read_bytes() == bytes(4032)


@MOUNTS
def test_erofs_layers_are_fed_at_once_and_finished_in_order(tmp_path, archive):
    content = os.urandom(1 << 20)
    low = (
        archive().directory("usr/lib", mode=0o700).symlink("lib", "usr/lib").file("usr/lib/a", content).data()
    )
    top = archive().file("lib/b", b"b").hardlink("c", "lib/a").data()
    writers = {name: ErofsWriter(str(tmp_path / name)) for name in ("low", "top")}
    feeds = [
        threading.Thread(target=writers[name].feed, args=(data,))
        for name, data in (("low", low), ("top", top))
    ]
    for feed in feeds:
        feed.start()
    for feed in feeds:
        feed.join()
    writers["low"].finish()
    below = mount_erofs(str(tmp_path / "low"))
    writers["top"].finish(lowers=[f"/proc/self/fd/{below}"])
    os.close(below)
    for writer in writers.values():
        writer.close()
    with mounted_erofs(tmp_path / "top", tmp_path) as root:
        assert {str(path.relative_to(root)) for path in root.rglob("*")} == {
            "c",
            "usr",
            "usr/lib",
            "usr/lib/a",
            "usr/lib/b",
        }
        assert (root / "c").read_bytes() == content
        assert (root / "c").stat().st_nlink == 2
        assert stat.S_IMODE((root / "usr/lib").stat().st_mode) == 0o700
