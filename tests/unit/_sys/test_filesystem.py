"""Two paths that change places."""

from __future__ import annotations

from pathlib import Path

import pytest

from containerlib._sys.filesystem import exchange


def test_exchange_gives_each_what_the_other_has(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    one.joinpath("file").write_text("x")
    other.write_text("y")
    assert exchange(str(one), str(other))
    assert one.read_text() == "y"
    assert other.joinpath("file").read_text() == "x"


def test_exchange_with_what_is_not_there_is_an_error(tmp_path: Path) -> None:
    tmp_path.joinpath("one").mkdir()
    with pytest.raises(FileNotFoundError):
        exchange(str(tmp_path / "one"), str(tmp_path / "none"))
    assert tmp_path.joinpath("one").is_dir()


def test_exchange_that_the_kernel_cannot_do_says_so(tmp_path: Path) -> None:
    """EINVAL is also what a file system answers that knows no exchange."""
    inner = tmp_path / "outer/inner"
    inner.mkdir(parents=True)
    assert not exchange(str(tmp_path / "outer"), str(inner))
    assert inner.is_dir()
