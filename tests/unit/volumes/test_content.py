"""What is put into a volume, step by step: what one process leaves undone the next one does."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from containerlib.volumes.content import Place


@pytest.fixture(params=["beside", "inside"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A volume `www` with a file; `inside`: as one that is a file system of its own."""
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "old").write_text("old")
    aside = tmp_path if request.param == "beside" else tmp_path / "www"
    return Place("www", str(tmp_path / "www"), str(aside))


def names(place: Place) -> list[str]:
    return sorted(entry.name for entry in Path(place.top).iterdir())


def fill(*files: str) -> Callable[[str], bool]:
    def write(directory: str) -> bool:
        for name in files:
            Path(directory, name).write_text("new")
        return True

    return write


def nothing(_: str) -> None:
    """No quota."""


def own(place: Place, kind: str) -> Path:
    return Path(place.aside, f"{'.containerlib' if place.aside == place.top else ''}{kind}")


def has(directory: Path, *files: str) -> None:
    directory.mkdir(exist_ok=True)
    for name in files:
        (directory / name).write_text("")


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        ({".removed-www-00": ["one"]}, ["old"]),
        ({".replacing-www": ["one", "two"]}, ["one", "two"]),
        ({".replacing-www": ["one", "two"], ".removed-www-00": ["older"]}, ["one", "two"]),
        ({".added-www": ["one", "two"]}, ["old", "one", "two"]),
        ({".added-www": ["two"]}, ["old", "two"]),
        ({".added-www": []}, ["old"]),
    ],
)
def test_what_a_killed_process_left_is_done_or_dropped(
    place: Place, left: dict[str, list[str]], expected: list[str]
) -> None:
    for kind, files in left.items():
        has(own(place, kind), *files)
    assert place.is_pending == any("removed" not in kind for kind in left)
    place.settle()
    assert names(place) == expected
    assert not place.is_pending
    place.settle()
    assert names(place) == expected


def test_replacing_leaves_nothing_beside(place: Place, tmp_path: Path) -> None:
    place.put(fill("new"), replace=True, prepare=nothing)
    assert names(place) == ["new"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["www"]


def test_what_the_user_has_by_now_stays_his(place: Place) -> None:
    place.put(fill("old", "new"), replace=False, prepare=nothing)
    assert names(place) == ["new", "old"]
    assert Path(place.top, "old").read_text() == "old"


def test_links_in_place_of_our_own_directories_are_not_followed(tmp_path: Path) -> None:
    """In a volume that is a file system of its own, a container may write such names."""
    (tmp_path / "victim").mkdir(mode=0o700)
    (tmp_path / "victim" / "secret").touch()
    top = tmp_path / "www"
    top.mkdir()
    place = Place("www", str(top), str(top))
    for kind in (".replacing-", ".added-"):
        (top / f".containerlib{kind}www").symlink_to(tmp_path / "victim")
    (top / ".containerlib.removed-www-00").symlink_to(tmp_path / "victim")
    assert place.is_pending
    place.settle()
    assert names(place) == []
    assert [entry.name for entry in (tmp_path / "victim").iterdir()] == ["secret"]
    assert stat.S_IMODE((tmp_path / "victim").stat().st_mode) == 0o700


def test_what_another_machine_has_on_its_way_is_left_alone(tmp_path: Path) -> None:
    """It has the same file system as a volume of its own."""
    top = tmp_path / "www"
    for name in (".containerlib.removed-theirs-00", ".containerlib.added-theirs"):
        has(top, "old")
        has(top / name, "new")
    place = Place("ours", str(top), str(top))
    assert not place.is_pending
    place.settle()
    place.put(fill("ours"), replace=True, prepare=nothing)
    assert names(place) == [".containerlib.added-theirs", ".containerlib.removed-theirs-00", "ours"]
