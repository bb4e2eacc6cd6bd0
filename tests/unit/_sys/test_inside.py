"""Paths below a root that somebody else fills; no privilege is needed."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from containerlib._sys.inside import IdMap, Inside, Owners
from containerlib._sys.transfer import Mismatch, Transfer
from containerlib._sys.trees import remove_tree

OFFSET = IdMap(((0, 100_000, 1000), (5000, 7, 1)))


@pytest.fixture
def inside(tmp_path: Path) -> Iterator[Inside]:
    root = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    yield Inside(root)
    os.close(root)


def test_id_map_text_is_the_kernels() -> None:
    assert IdMap.parse("         0     100000       1000\n      5000 7 1\n") == OFFSET


def test_id_map_goes_both_ways() -> None:
    assert [OFFSET.outward(number) for number in (0, 999, 5000)] == [100_000, 100_999, 7]
    assert [OFFSET.inward(number) for number in (100_000, 7, 1)] == [0, 5000, 65534]
    assert OFFSET.inward(OFFSET.outside(1000)) == 65534
    with pytest.raises(OSError, match="no id 1000"):
        OFFSET.outward(1000)


def test_status_has_the_owner_that_the_container_sees(tmp_path: Path) -> None:
    tmp_path.joinpath("file").write_bytes(b"abc")
    uid = os.geteuid()
    root = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    try:
        seen = Inside(root, IdMap(((42, uid, 1),))).status("/file")
    finally:
        os.close(root)
    plain = tmp_path.joinpath("file").stat()
    assert (seen.st_uid, seen.st_size, seen.st_mtime_ns, seen.st_mode) == (
        42,
        3,
        plain.st_mtime_ns,
        plain.st_mode,
    )


def test_settled_is_where_links_lead_inside(inside: Inside, tmp_path: Path) -> None:
    tmp_path.joinpath("a").symlink_to("/b")
    tmp_path.joinpath("b").symlink_to("c")
    tmp_path.joinpath("loop").symlink_to("loop")
    assert inside.settled("/a") == "/c"
    assert inside.settled("/none") == "/none"
    with pytest.raises(OSError, match="symbolic links"):
        inside.settled("/loop")


def test_open_of_fifo_is_refused_and_does_not_block(inside: Inside, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="Invalid argument"):
        inside.open("/fifo", os.O_RDONLY)


@pytest.mark.parametrize("path", ["/", "/..", "/a/."])
def test_remove_of_what_has_no_name_is_refused(inside: Inside, path: str) -> None:
    with pytest.raises(OSError, match="busy"):
        inside.remove(path, directory=True)


def copied(source: Path, target: Path, name: str) -> None:
    below, above = (os.open(path, os.O_RDONLY | os.O_DIRECTORY) for path in (source, target))
    try:
        Transfer().copy(below, name, above, name)
    finally:
        os.close(below)
        os.close(above)


@pytest.mark.parametrize("kind", ["file", "link"])
def test_transfer_of_directory_takes_no_place_of_a_file_or_link(tmp_path: Path, kind: str) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.joinpath("sub").mkdir(parents=True)
    source.joinpath("sub/file").write_text("new")
    target.mkdir()
    tmp_path.joinpath("elsewhere").mkdir()
    if kind == "file":
        target.joinpath("sub").write_text("old")
    else:
        target.joinpath("sub").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Mismatch):
        copied(source, target, "sub")
    assert list(tmp_path.joinpath("elsewhere").iterdir()) == []


def test_transfer_of_deep_tree_needs_few_descriptors(tmp_path: Path) -> None:
    deep = tmp_path.joinpath("source", "top", *("d" for _ in range(1500)))
    directory = os.open(tmp_path, os.O_RDONLY)
    for name in deep.relative_to(tmp_path).parts:
        os.mkdir(name, dir_fd=directory)
        inner = os.open(name, os.O_RDONLY, dir_fd=directory)
        os.close(directory)
        directory = inner
    os.close(directory)
    tmp_path.joinpath("target").mkdir()
    copied(tmp_path / "source", tmp_path / "target", "top")
    assert tmp_path.joinpath("target", "top", *("d" for _ in range(1500))).is_dir()
    for name in ("source", "target"):  # pytest's own removal, three runs later, ends in a RecursionError
        remove_tree(str(tmp_path / name))


OWNERS = Owners(IdMap(((0, 100_000, 65_536),)), IdMap(((0, 200_000, 65_536),)))


def test_owners_of_a_namespace_are_its_own_in_access_lists() -> None:
    entries = ((1, 7, 0xFFFFFFFF), (2, 6, 100_007), (8, 4, 200_008), (8, 4, 5))
    value = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    seen = OWNERS.attribute("system.posix_acl_access", value)
    assert [*struct.iter_unpack("<HHI", seen[4:])] == [
        (1, 7, 0xFFFFFFFF),
        (2, 6, 7),
        (8, 4, 8),
        (8, 4, 65_534),
    ]


def test_owners_of_a_namespace_have_its_capabilities_without_it() -> None:
    mine = struct.pack("<6I", 3 << 24 | 1, 0x400, 0, 0, 0, 100_000)
    assert OWNERS.attribute("security.capability", mine) == struct.pack("<5I", 2 << 24 | 1, 0x400, 0, 0, 0)
    others = struct.pack("<6I", 3 << 24 | 1, 0x400, 0, 0, 0, 300_000)
    assert OWNERS.attribute("security.capability", others) == others
    assert OWNERS.attribute("user.note", mine) == mine


def test_owners_of_files_that_go_into_a_namespace_are_the_hosts_in_attributes() -> None:
    entries = ((1, 7, 0xFFFFFFFF), (2, 6, 7), (8, 4, 8), (8, 4, 70_000))
    value = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    outside = OWNERS.attribute_outside("system.posix_acl_default", value)
    assert [number for *_, number in struct.iter_unpack("<HHI", outside[4:])] == [
        *(0xFFFFFFFF, 100_007, 200_008),
        0xFFFFFFFE,
    ]
    plain = struct.pack("<5I", 2 << 24 | 1, 0x400, 0, 0, 0)
    mine = struct.pack("<6I", 3 << 24 | 1, 0x400, 0, 0, 0, 100_000)
    assert OWNERS.attribute_outside("security.capability", plain) == mine
    assert OWNERS.attribute("security.capability", mine) == plain
    assert OWNERS.attribute_outside("user.note", plain) == plain
