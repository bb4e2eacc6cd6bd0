"""The steps that the extension takes several of at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from containerlib._sys import native


def test_make_directories_stops_at_one_that_cannot_be_made(tmp_path: Path) -> None:
    paths = [str(tmp_path / name) for name in ("a", "a/b", "none/c", "d")]
    assert native.make_directories(paths, 0o750) == 2
    assert (tmp_path / "a/b").stat().st_mode & 0o777 == 0o750
    assert not (tmp_path / "d").exists()
    assert native.make_directories([], 0o755) == 0


def test_write_files_writes_each_line_on_its_own_until_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    (tmp_path / "b").touch()
    pairs = [("a", "1\n"), ("a", "2\n"), ("b", "3\n"), ("none", "4\n"), ("a", "5\n")]
    assert native.write_files([(str(tmp_path / name), text) for name, text in pairs]) == 3
    assert (tmp_path / "a").read_text() == "1\n2\n"
    assert (tmp_path / "b").read_text() == "3\n"
    assert not (tmp_path / "none").exists()


def test_steps_with_a_nul_byte_are_refused_before_the_first(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="null byte"):
        native.make_directories([str(tmp_path / "a"), str(tmp_path / "b\0c")], 0o755)
    assert not (tmp_path / "a").exists()
