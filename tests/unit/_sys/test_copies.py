"""Copies of trees: true to all that a file is."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path

import pytest

from containerlib._sys.copies import copy_tree
from containerlib._sys.inside import IdMap, Owners
from containerlib._sys.trees import remove_tree, tree_size

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN, CAP_MKNOD, CAP_CHOWN: files of all kinds and owners")

OLD = 1_500_000_000_123_456_789


@pytest.fixture
def source(tmp_path: Path) -> Path:
    top = tmp_path / "source"
    (top / "a/b").mkdir(parents=True)
    (top / "a/file").write_text("x" * 5000)
    (top / "a/b/same").hardlink_to(top / "a/file")
    (top / "a/link").symlink_to("../nowhere")
    os.mkfifo(top / "fifo", 0o620)
    os.mknod(top / "device", 0o020640, os.makedev(1, 3))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(top / "socket"))
    (top / "setuid").write_text("s")
    os.setxattr(top / "setuid", "user.note", b"1")
    os.setxattr(top / "a", "trusted.note", b"2")
    os.setxattr(top / "a/link", "trusted.note", b"3", follow_symlinks=False)
    with (top / "sparse").open("wb") as file:
        file.seek(50 << 20)
        file.write(b"end")
    for path in [*top.rglob("*"), top]:
        os.lchown(path, 7, 8)
    (top / "setuid").chmod(0o6755)
    (top / "a").chmod(0o1777)
    for path in [*top.rglob("*"), top]:
        os.utime(path, ns=(OLD, OLD), follow_symlinks=False)
    return top


def facts(top: Path) -> dict[str, tuple[object, ...]]:
    found: dict[str, tuple[object, ...]] = {}
    for path in [top, *top.rglob("*")]:
        status = path.lstat()
        links = 0 if path.is_dir() else status.st_nlink
        names = os.listxattr(path, follow_symlinks=False)
        attributes = {name: os.getxattr(path, name, follow_symlinks=False) for name in names}
        size = status.st_size if path.is_file() else 0
        content = path.readlink() if path.is_symlink() else path.read_bytes() if 0 < size < 10_000 else None
        found[str(path.relative_to(top))] = (
            *(status.st_mode, status.st_uid, status.st_gid, status.st_rdev, status.st_mtime_ns),
            *(links, size, content, attributes),
        )
    return found


def test_copy_is_what_it_is_a_copy_of(source: Path, tmp_path: Path) -> None:
    expected = facts(source)
    copy_tree(str(source), str(tmp_path / "copy"))
    assert facts(tmp_path / "copy") == expected
    assert (tmp_path / "copy/a/file").samefile(tmp_path / "copy/a/b/same")
    assert not (tmp_path / "copy/a/file").samefile(source / "a/file")


def test_copy_leaves_holes(source: Path, tmp_path: Path) -> None:
    copy_tree(str(source), str(tmp_path / "copy"))
    copied = tmp_path / "copy/sparse"
    assert copied.read_bytes() == (source / "sparse").read_bytes()
    assert copied.stat().st_blocks * 512 < 1 << 20


def test_copy_by_links_shares_every_file_and_no_directory(source: Path, tmp_path: Path) -> None:
    copy_tree(str(source), str(tmp_path / "copy"), link=True)
    for path in source.rglob("*"):
        if not path.is_dir() or path.is_symlink():
            other = tmp_path / "copy" / path.relative_to(source)
            assert other.lstat().st_ino == path.lstat().st_ino, path
    (tmp_path / "copy/a/file").unlink()
    assert (source / "a/file").exists()


def test_copy_to_what_is_there_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(FileExistsError):
        copy_tree(str(source), str(tmp_path))


def test_copy_deeper_than_recursion_and_descriptors(tmp_path: Path) -> None:
    place = tmp_path / "deep"
    place.mkdir()
    for _ in range(1100):
        place = place / "x"
        place.mkdir()
    copy_tree(str(tmp_path / "deep"), str(tmp_path / "copy"))
    assert Path(tmp_path, "copy", "x/" * 1100).is_dir()
    for name in ("deep", "copy"):
        remove_tree(str(tmp_path / name))


def test_tree_size_counts_blocks_and_a_hard_link_once(source: Path) -> None:
    size = tree_size(str(source))
    assert 8192 <= size < 1 << 20
    (source / "again").hardlink_to(source / "a/file")
    assert tree_size(str(source)) == size


def test_copy_for_a_user_namespace_has_the_ids_that_it_has_on_the_host(source: Path, tmp_path: Path) -> None:
    os.lchown(source / "a/link", 70_000, 9)
    os.setxattr(source / "sparse", "security.capability", struct.pack("<5I", 2 << 24 | 1, 0x400, 0, 0, 0))
    owners = Owners(IdMap(((0, 100_000, 1000),)), IdMap(((0, 200_000, 1000),)))
    copy_tree(str(source), str(tmp_path / "target"), owners=owners)
    made = facts(tmp_path / "target")
    for name, (mode, _, _, *rest) in facts(source).items():
        user, group = (0xFFFFFFFE, 200_009) if name == "a/link" else (100_007, 200_008)
        if name == "sparse":
            assert made[name][-1] == {
                "security.capability": struct.pack("<6I", 3 << 24 | 1, 0x400, 0, 0, 0, 100_000)
            }
            continue
        assert made[name] == (mode, user, group, *rest), name
