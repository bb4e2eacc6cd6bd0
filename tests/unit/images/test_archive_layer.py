"""Layers that are written: every kind of file, deletions, times, and the same bytes each time."""

from __future__ import annotations

import io
import os
import socket
import tarfile
from pathlib import Path

import pytest

from containerlib.errors import InvalidArgument, StageError
from containerlib.images.archives.layer import layer_tar, source_date_epoch
from containerlib.images.snapshots.merged import MergedTree


def archive_of(*layers: Path, latest: int | None = None, hide: bool = True) -> bytes:
    with MergedTree([str(layer) for layer in layers], hide_whiteouts=hide) as tree:
        return b"".join(layer_tar(tree.walk(), latest=latest))


def members(data: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {member.name: member for member in archive}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    root.joinpath("etc").mkdir(parents=True)
    root.joinpath("etc/b").write_text("b" * 3000)
    root.joinpath("etc/a").write_text("a")
    root.joinpath("etc/hard").hardlink_to(root / "etc/b")
    root.joinpath("link").symlink_to("/etc/a")
    os.mkfifo(root / "pipe")
    return root


def test_layer_tar_has_every_kind_of_file_in_order(tree: Path) -> None:
    found = members(archive_of(tree))
    assert list(found) == [".", "etc", "etc/a", "etc/b", "etc/hard", "link", "pipe"]
    assert found["etc/hard"].islnk()
    assert found["etc/hard"].linkname == "etc/b"
    assert found["link"].linkname == "/etc/a"
    assert found["pipe"].isfifo()
    assert {(member.uname, member.gname) for member in found.values()} == {("", "")}


def test_layer_tar_content_comes_back(tree: Path, tmp_path: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(archive_of(tree))) as archive:
        archive.extractall(tmp_path / "out", filter="fully_trusted")
    assert tmp_path.joinpath("out/etc/b").read_text() == "b" * 3000


def test_layer_tar_of_the_same_files_elsewhere_is_the_same_bytes(tmp_path: Path) -> None:
    copies = []
    for name, order in (("one", ("x", "y", "z")), ("two", ("z", "y", "x"))):
        root = tmp_path / name
        root.mkdir()
        for file in order:
            root.joinpath(file).write_text(file)
            os.utime(root / file, (1, 1))
        os.utime(root, (1, 1))
        copies.append(archive_of(root))
    assert copies[0] == copies[1]


def test_layer_tar_keeps_nanoseconds(tree: Path) -> None:
    os.utime(tree / "etc/a", ns=(0, 1_700_000_000_123_456_789))
    assert members(archive_of(tree))["etc/a"].pax_headers["mtime"] == "1700000000.123456789"


def test_layer_tar_with_latest_takes_later_times_back(tree: Path) -> None:
    os.utime(tree / "etc/a", (5, 5))
    found = members(archive_of(tree, latest=1000))
    assert (found["etc/a"].mtime, found["etc/b"].mtime) == (5, 1000)


def test_layer_tar_leaves_sockets_out(tree: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tree / "socket"))
        assert "socket" not in members(archive_of(tree))


def test_layer_tar_of_names_that_are_no_utf8_keeps_their_bytes(tree: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    tree.joinpath(name).write_text("x")
    with tarfile.open(fileobj=io.BytesIO(archive_of(tree)), errors="surrogateescape") as archive:
        assert name in archive.getnames()


def test_layer_tar_of_a_file_that_is_cut_short_keeps_the_archive_whole(tree: Path) -> None:
    tree.joinpath("etc/a").write_bytes(bytes(3 << 20))
    with MergedTree([str(tree)]) as merged:
        chunks = []
        for chunk in layer_tar(merged.walk()):
            chunks.append(chunk)
            if len(chunk) == 1 << 20:
                os.truncate(tree / "etc/a", 0)
    assert members(b"".join(chunks))["etc/a"].size == 3 << 20


def test_layer_tar_of_what_cannot_be_read_names_it(tree: Path) -> None:
    with MergedTree([str(tree)]) as merged:
        entries = [entry for entry in merged.walk() if entry.path == "etc/a"]
    with pytest.raises(StageError, match="/etc/a"):
        list(layer_tar(entries))  # its directory is closed by now


def test_merged_tree_shows_the_top_layer_and_hides_what_is_below_a_file(tmp_path: Path) -> None:
    upper, lower = tmp_path / "upper", tmp_path / "lower"
    for layer, text in ((upper, "new"), (lower, "old")):
        layer.joinpath("d").mkdir(parents=True)
        layer.joinpath("d/both").write_text(text)
    lower.joinpath("d/below").write_text("x")
    upper.joinpath("hidden").write_text("a file over a directory")
    lower.joinpath("hidden").mkdir()
    lower.joinpath("hidden/x").write_text("x")
    found = members(archive_of(upper, lower))
    assert list(found) == [".", "d", "d/below", "d/both", "hidden"]
    assert found["hidden"].isfile()
    with MergedTree([str(upper), str(lower)]) as tree:
        assert tree.status("hidden/x") is None
        assert tree.status("d/both") == upper.joinpath("d/both").stat()
        assert tree.names("d") == ["below", "both"]
        assert tree.names("hidden") == []


def test_merged_tree_never_leaves_its_layers(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    outside.joinpath("secret").write_text("s")
    layer = tmp_path / "layer"
    layer.mkdir()
    layer.joinpath("way").symlink_to(outside)
    with MergedTree([str(layer)]) as tree:
        assert tree.status("way/secret") is None
        assert [entry.path for entry in tree.walk()] == ["", "way"]


def test_merged_tree_of_a_missing_layer_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="pull the image again"):
        MergedTree([str(tmp_path / "none")])


@pytest.mark.parametrize(("text", "epoch"), [("", None), ("0", 0), ("1700000000", 1_700_000_000)])
def test_source_date_epoch_is_read(monkeypatch: pytest.MonkeyPatch, text: str, epoch: int | None) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", text)
    assert source_date_epoch() == epoch


@pytest.mark.parametrize("text", ["yesterday", "-1", "9" * 15, "9" * 5000])
def test_source_date_epoch_that_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", text)
    with pytest.raises(InvalidArgument, match="SOURCE_DATE_EPOCH"):
        source_date_epoch()


@pytest.mark.privileged("CAP_MKNOD, CAP_SYS_ADMIN: makes whiteouts as overlayfs does")
def test_layer_tar_of_an_upper_layer_says_what_is_deleted(tmp_path: Path) -> None:
    upper = tmp_path / "upper"
    upper.joinpath("again").mkdir(parents=True)
    os.mknod(upper / "gone", 0o020000, os.makedev(0, 0))
    os.setxattr(upper / "again", "trusted.overlay.opaque", b"y")
    os.setxattr(upper / "again", "trusted.mine", b"kept")
    found = members(archive_of(upper, hide=False))
    assert list(found) == [".", "again", "again/.wh..wh..opq", ".wh.gone"]
    assert dict(found["again"].pax_headers).keys() >= {"SCHILY.xattr.trusted.mine"}
    assert not any("overlay" in key for key in found["again"].pax_headers)


@pytest.mark.privileged("CAP_MKNOD, CAP_SYS_ADMIN: makes whiteouts as overlayfs does")
def test_merged_tree_hides_what_is_deleted(tmp_path: Path) -> None:
    upper, lower = tmp_path / "upper", tmp_path / "lower"
    for layer in (upper, lower):
        layer.joinpath("again").mkdir(parents=True)
    lower.joinpath("gone").write_text("x")
    lower.joinpath("again/old").write_text("x")
    upper.joinpath("again/new").write_text("x")
    os.mknod(upper / "gone", 0o020000, os.makedev(0, 0))
    os.setxattr(upper / "again", "trusted.overlay.opaque", b"y")
    assert list(members(archive_of(upper, lower))) == [".", "again", "again/new"]
