"""Files that are replaced as a whole, and files in memory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from containerlib._sys import writing
from containerlib.errors import StageError


@pytest.mark.parametrize("lasting", [True, False])
def test_replaced_file_is_another_one_with_nothing_beside_it(tmp_path: Path, lasting: bool) -> None:
    writing.replace_file(str(tmp_path), "links", b"first, and longer", lasting=lasting)
    with (tmp_path / "links").open("rb") as reader:
        writing.replace_file(str(tmp_path), "links", b"second", lasting=lasting)
        assert reader.read() == b"first, and longer"
    assert (tmp_path / "links").read_bytes() == b"second"
    assert [path.name for path in tmp_path.iterdir()] == ["links"]


@pytest.mark.parametrize("lasting", [True, False])
def test_file_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path, lasting: bool) -> None:
    (tmp_path / "links.new").mkdir()
    with pytest.raises(StageError, match="links") as caught:
        writing.replace_file(str(tmp_path), "links", b"", lasting=lasting)
    assert caught.value.stage == "state"


def test_file_that_is_gone_takes_no_place(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"old")
    with pytest.raises(FileNotFoundError):
        writing.put_in_place(f"{tmp_path}/new", f"{tmp_path}/old")
    assert (tmp_path / "old").read_bytes() == b"old"


def test_file_in_memory_ends_with_its_block() -> None:
    with writing.memory("containerlib-test", b"content") as descriptor:
        assert os.pread(descriptor, 100, 0) == b"content"
        assert not os.get_inheritable(descriptor)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
