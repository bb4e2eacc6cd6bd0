"""Removal of trees that were made to resist it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from containerlib._sys.trees import remove_tree


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
