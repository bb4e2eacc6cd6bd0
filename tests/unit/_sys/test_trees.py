"""Removal of trees that were made to resist it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from containerlib._sys import native
from containerlib._sys.trees import remove_tree, remove_trees


def test_remove_tree_missing_is_fine(tmp_path: Path) -> None:
    assert remove_tree(str(tmp_path / "none")) == 0


def test_remove_tree_files_and_directories_gone(tmp_path: Path) -> None:
    top = tmp_path / "top"
    (top / "a" / "b").mkdir(parents=True)
    (top / "a" / "b" / "file").write_text("x")
    (top / "empty").mkdir()
    (top / "file").write_text("y")
    os.mkfifo(top / "fifo")
    remove_tree(str(top))
    assert not top.exists()


def test_remove_tree_of_a_file_or_a_link_unlinks_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(10))
    (tmp_path / "directory").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "directory")
    assert remove_tree(str(tmp_path / "file")) == 10
    remove_tree(str(tmp_path / "link"))
    assert [path.name for path in tmp_path.iterdir()] == ["directory"]


def test_remove_tree_returns_the_bytes_of_its_files(tmp_path: Path) -> None:
    top = tmp_path / "top"
    (top / "a/b").mkdir(parents=True)
    (top / "a/b/file").write_bytes(bytes(1000))
    (top / "a/\x01").write_bytes(bytes(10))
    assert remove_tree(str(top)) == 1010


def test_remove_tree_counts_a_file_of_many_names_once_and_one_that_stays_not(tmp_path: Path) -> None:
    top = tmp_path / "top"
    (top / "a").mkdir(parents=True)
    (top / "file").write_bytes(bytes(1000))
    (top / "a/link").hardlink_to(top / "file")
    (tmp_path / "kept").write_bytes(bytes(10))
    (top / "kept").hardlink_to(tmp_path / "kept")
    assert remove_tree(str(top)) == 1000


def test_remove_tree_symlink_out_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    top = tmp_path / "top"
    (top / "deep").mkdir(parents=True)
    (top / "link").symlink_to(outside)
    (top / "deep" / "link").symlink_to(outside)
    remove_tree(str(top))
    assert not top.exists()
    assert (outside / "kept").read_text() == "kept"


def test_remove_tree_deeper_than_recursion_descriptors_and_paths_gone(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    directory = os.open(top, os.O_RDONLY)
    for _ in range(5000):
        os.mkdir("d", dir_fd=directory)
        deeper = os.open("d", os.O_RDONLY, dir_fd=directory)
        os.close(directory)
        directory = deeper
    os.close(directory)
    remove_tree(str(top))
    assert not top.exists()


def test_remove_tree_same_names_at_all_depths_gone(tmp_path: Path) -> None:
    top = tmp_path / "top"
    for path in ("a/a/a", "a/b/a", "b/a/b", "b/b/b"):
        (top / path).mkdir(parents=True)
        (top / path / "f").write_text("")
    remove_tree(str(top))
    assert not top.exists()


def test_remove_tree_twice_at_once_both_end(tmp_path: Path) -> None:
    top = tmp_path / "top"
    for number in range(200):
        (top / str(number) / "x").mkdir(parents=True)
        (top / str(number) / "x" / "f").write_text("")
    failures: list[OSError] = []

    def remove() -> None:
        try:
            remove_tree(str(top))
        except OSError as error:
            failures.append(error)

    threads = [threading.Thread(target=remove) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    remove_tree(str(top))
    assert not top.exists()


def test_remove_tree_counts_more_than_four_gibibytes(tmp_path: Path) -> None:
    top = tmp_path / "top"
    (top / "a").mkdir(parents=True)
    with (top / "a/sparse").open("wb") as file:
        file.truncate(5 << 30)
    assert remove_tree(str(top)) == 5 << 30


def test_remove_trees_files_links_and_directories_gone(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    wide = filled(tmp_path / "wide", directories=30)
    deep = filled(tmp_path / "deep/d/d/d", directories=2)
    for number in range(20):
        (tmp_path / f"file{number}").write_bytes(bytes(100))
    (tmp_path / "link").symlink_to(outside)
    (wide / "link").symlink_to(outside)
    names = ["none", "wide", "deep", "link", *(f"file{number}" for number in range(20))]
    assert remove_trees(str(tmp_path / name) for name in names) - len(str(outside)) * 2 == 20 * 100 + 32 * 10
    assert not deep.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["outside"]
    assert (outside / "kept").read_text() == "kept"


def test_remove_trees_of_one_directory_is_shared_by_threads(tmp_path: Path) -> None:
    top = filled(tmp_path / "top", directories=10)
    names = set()

    def note(_: object, event: str, function: object) -> None:
        if event == "call":
            names.add(threading.current_thread().name)

    before = threading.getprofile()
    threading.setprofile(note)
    try:
        remove_trees([str(top)])
    finally:
        threading.setprofile(before)
    assert any("containerlib-remove" in name for name in names)
    assert not top.exists()


def test_remove_trees_raises_what_a_thread_met_and_leaves_none_running(tmp_path: Path) -> None:
    paths = [str(tmp_path / ("x" * 300 + str(number))) for number in range(20)]
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the errno says it
        remove_trees(paths)
    assert caught.value.errno == errno.ENAMETOOLONG
    assert not [each.name for each in threading.enumerate() if "containerlib-remove" in each.name]


def test_remove_trees_at_the_end_of_the_interpreter_goes_on_without_threads(tmp_path: Path) -> None:
    top = filled(tmp_path / "top", directories=5)
    program = (
        "import atexit, sys\n"
        "from containerlib._sys.trees import remove_trees\n"
        "atexit.register(remove_trees, sys.argv[1:])\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, str(top)], capture_output=True, text=True, check=True
    )
    assert ended.stderr == ""
    assert not top.exists()


def test_remove_level_moves_each_full_directory_up_once(tmp_path: Path) -> None:
    top = filled(tmp_path / "top", directories=2000)
    (top / "empty").mkdir()
    (top / "file").write_bytes(bytes(7))
    (top / "0").rename(top / os.fsdecode(b"\xff"))
    directory = os.open(top, os.O_RDONLY)
    try:
        assert native.remove_level(directory, ".", ".aside-") == (2000, 7)
        assert {path.name for path in top.iterdir()} == {f".aside-{number}" for number in range(2000)}
        assert native.remove_level(directory, ".aside-0", ".more-") == (0, 10)
        assert native.remove_level(directory, "none", ".more-") == (0, 0)
        with pytest.raises(NotADirectoryError):
            native.remove_level(directory, ".aside-1/file", ".more-")
    finally:
        os.close(directory)


def test_remove_level_deep_removes_so_many_levels_and_moves_what_is_below(tmp_path: Path) -> None:
    top = tmp_path / "top"
    (top / "a/b/c/d").mkdir(parents=True)
    (top / "a/b/file").write_bytes(bytes(7))
    (top / "a/b/c/file").write_bytes(bytes(10))
    directory = os.open(top, os.O_RDONLY)
    try:
        assert native.remove_level(directory, ".", ".aside-", deep=2) == (1, 7)
        assert sorted(path.name for path in top.rglob("*")) == [".aside-0", "d", "file"]
        assert native.remove_level(directory, ".aside-0", ".more-", deep=2) == (0, 10)
    finally:
        os.close(directory)


def test_remove_level_deep_leaves_what_a_link_points_at(tmp_path: Path) -> None:
    top, out = filled(tmp_path / "top", directories=1), filled(tmp_path / "out", directories=1)
    (top / "0/link").symlink_to(out)
    directory = os.open(top, os.O_RDONLY)
    try:
        native.remove_level(directory, ".", ".aside-", deep=8)
    finally:
        os.close(directory)
    assert list(top.iterdir()) == []
    assert (out / "0").is_dir()


def filled(top: Path, *, directories: int) -> Path:
    """With a file of ten bytes in each directory."""
    for number in range(directories):
        (top / str(number)).mkdir(parents=True)
        (top / str(number) / "file").write_bytes(bytes(10))
    return top
