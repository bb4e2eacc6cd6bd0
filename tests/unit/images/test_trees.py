"""Removal of trees that were made to resist it."""

from __future__ import annotations

import os
from pathlib import Path

from containerlib.images.trees import remove_tree


def test_tree_is_removed_and_counted(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "a/b").mkdir(parents=True)
    (tree / "a/b/file").write_bytes(bytes(1000))
    (tree / "a/\x01").write_bytes(bytes(10))
    assert remove_tree(str(tree)) == 1010
    assert not tree.exists()


def test_links_are_removed_and_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("")
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "link").symlink_to(outside)
    remove_tree(str(tree))
    assert (outside / "kept").exists()


def test_tree_deeper_than_recursion_descriptors_and_paths_is_removed(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    directory = os.open(tree, os.O_RDONLY)
    for _ in range(5000):
        os.mkdir("x", dir_fd=directory)
        below = os.open("x", os.O_RDONLY, dir_fd=directory)
        os.close(directory)
        directory = below
    os.close(directory)
    remove_tree(str(tree))
    assert not tree.exists()
