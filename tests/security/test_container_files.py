"""What a container may do to its files so that who reads them on the host comes to harm: diff, export and commit."""

from __future__ import annotations

import io
import os
import resource
import tarfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from containerlib._sys.layers import LayerWriter
from containerlib._sys.trees import remove_tree
from containerlib.errors import InvalidArgument, StageError
from containerlib.images.archives.changes import Change, changes
from containerlib.images.archives.layer import layer_entries, layer_tar
from containerlib.images.snapshots.merged import Entry, MergedTree

DEPTH = 1500


@pytest.fixture
def upper(tmp_path: Path) -> Path:
    path = tmp_path / "upper"
    path.mkdir()
    return path


@pytest.fixture
def deep(upper: Path) -> Iterator[Path]:
    """A directory in a directory in a directory, which has files beside it on each level."""
    here = os.open(upper, os.O_RDONLY)
    for _ in range(DEPTH):
        os.mkdir("a", dir_fd=here)
        below = os.open("a", os.O_RDONLY, dir_fd=here)
        os.close(os.open("z", os.O_CREAT, dir_fd=here))
        os.close(here)
        here = below
    os.close(here)
    yield upper
    remove_tree(str(upper))


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def archived(upper: Path, change: Callable[[Entry], None] = lambda _: None) -> bytes:
    """The layer of a container that does `change` when an entry has been seen."""

    def entries(tree: MergedTree) -> Iterable[Entry]:
        for entry in tree.walk():
            change(entry)
            yield entry

    with MergedTree([str(upper)], hide_whiteouts=False) as tree:
        return b"".join(layer_tar(entries(tree)))


def members(data: bytes) -> dict[str, tarfile.TarInfo]:
    return {member.name: member for member in tarfile.open(fileobj=io.BytesIO(data))}


@pytest.mark.usefixtures("few_descriptors")
def test_tree_deeper_than_the_interpreter_is_archived(deep: Path) -> None:
    assert archived(deep).count(b"ustar") >= 2 * DEPTH


@pytest.mark.usefixtures("few_descriptors")
def test_changes_in_a_tree_deeper_than_the_interpreter_are_listed(deep: Path, tmp_path: Path) -> None:
    (tmp_path / "lower").mkdir()
    found = list(changes(str(deep), [str(tmp_path / "lower")]))
    assert len(found) == 2 * DEPTH
    assert [change.path for change in found[-2:]] == ["/a/z", "/z"]


@pytest.mark.usefixtures("few_descriptors")
def test_tree_of_several_layers_deeper_than_descriptors_is_walked_in_order(
    deep: Path, tmp_path: Path
) -> None:
    (tmp_path / "lower/a/a").mkdir(parents=True)
    (tmp_path / "lower/a/b").touch()
    with MergedTree([str(deep), str(tmp_path / "lower")]) as tree:
        paths = [entry.path for entry in tree.walk()]
    assert len(paths) == 2 * DEPTH + 2
    assert paths[-3:] == ["a/b", "a/z", "z"]


def test_attribute_whose_name_is_no_text_comes_along(upper: Path, tmp_path: Path) -> None:
    (upper / "file").touch()
    os.setxattr(upper / "file", b"user.\xff", b"\xfe")
    data = archived(upper)
    (tmp_path / "again").mkdir()
    with LayerWriter(str(tmp_path / "again")) as writer:
        writer.feed(data)
        writer.finish()
    assert os.getxattr(tmp_path / "again/file", b"user.\xff") == b"\xfe"


def test_attribute_whose_name_would_be_read_as_anothers_is_left_out(upper: Path) -> None:
    (upper / "file").touch()
    os.setxattr(upper / "file", "user.a=b", b"c")
    assert "SCHILY.xattr.user.a" not in members(archived(upper))["file"].pax_headers


@pytest.mark.parametrize("name", [".wh.etc", ".wh..wh..opq", ".wh..wh.plnk", "\x1b[2J/.wh.a"])
def test_file_that_a_layer_would_take_for_a_deletion_is_refused(name: str, upper: Path) -> None:
    (upper / name).parent.mkdir(exist_ok=True)
    (upper / name).touch()
    with (
        MergedTree([str(upper)], hide_whiteouts=False) as tree,
        pytest.raises(InvalidArgument, match="deletion") as caught,
    ):
        list(layer_entries(tree.walk()))
    assert str(caught.value).isprintable()
    assert name.rpartition("/")[2] in str(list(members(archived(upper)))), "an export has it as it is"


def test_file_that_becomes_something_else_is_not_opened(upper: Path) -> None:
    """A device does something when it is opened, and the host is not held by the container's device rules."""
    (upper / "file").write_text("content")
    (upper / "other").write_text("content")

    def exchange(entry: Entry) -> None:
        if entry.path == "file":
            (upper / "file").unlink()
            os.mkfifo(upper / "file")

    assert set(members(archived(upper, exchange))) == {".", "other"}


def test_link_to_a_file_that_vanishes_is_the_file(upper: Path) -> None:
    (upper / "a").write_text("content")
    os.link(upper / "a", upper / "b")
    found = members(archived(upper, lambda entry: (upper / "a").unlink() if entry.path == "a" else None))
    assert set(found) == {".", "b"}
    assert found["b"].isreg()
    assert found["b"].size == 7


def test_directory_that_vanishes_is_empty(upper: Path) -> None:
    (upper / "a/b").mkdir(parents=True)
    found = archived(
        upper, lambda entry: remove_tree(str(upper / "a")) and None if entry.path == "a" else None
    )
    assert set(members(found)) <= {".", "a"}


def test_names_do_not_drive_the_terminal_of_who_reads_them() -> None:
    assert str(Change("A", "/\x1b[2J")) == r"A /\x1b[2J"
    assert (
        str(StageError("archive", 5, "/\x1b[2J\udcff"))
        == r"archive: /\x1b[2J\udcff: EIO (Input/output error)"
    )
