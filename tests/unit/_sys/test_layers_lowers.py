"""What a layer takes from those below it, and what it hides of them."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from containerlib.errors import InvalidArgument

pytestmark = pytest.mark.privileged("CAP_CHOWN, CAP_MKNOD, CAP_SYS_ADMIN: makes owners and whiteouts")


def is_whiteout(path: Path) -> bool:
    status = path.lstat()
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def is_opaque(path: Path) -> bool:
    try:
        return os.getxattr(path, "trusted.overlay.opaque") == b"y"
    except OSError:
        return False


@pytest.fixture
def merged(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """The kernel's own opinion: the layers, top first, as one overlay."""
    mounted: list[Path] = []

    def mount(*layers: Path) -> Path:
        target = tmp_path / f"merged{len(mounted)}"
        target.mkdir()
        (tmp_path / "none").mkdir(exist_ok=True)
        lowers = ":".join(str(layer) for layer in (*layers, tmp_path / "none"))
        options = ["-t", "overlay", "-o", f"lowerdir={lowers}", "overlay"]
        subprocess.run(["mount", *options, str(target)], check=True)
        mounted.append(target)
        return target

    yield mount
    for target in mounted:
        subprocess.run(["umount", str(target)], check=True)


def names(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


@pytest.mark.parametrize("order", [1, -1])
def test_layer_whiteout_hides_what_is_below_in_either_order(apply, archive, merged, order):
    low = apply(archive().file("a").file("d/old").file("e/old").file("stays")).root
    entries = [
        lambda made: made.file(".wh.a").file("d/.wh.old"),
        lambda made: made.file("d/new").file("a", b"again"),
        lambda made: made.file(".wh.e").file(".wh.nothing"),
    ]
    made = archive()
    for entry in entries[::order]:
        entry(made)
    top = apply(made, lowers=[low]).root
    assert is_whiteout(top / "d/old")
    assert is_whiteout(top / "e")
    view = merged(top, low)
    assert names(view) == {"a", "d", "d/new", "stays"}
    assert (view / "a").read_bytes() == b"again"


@pytest.mark.parametrize("order", [1, -1])
def test_layer_whiteout_and_directory_of_one_name_leave_only_the_new(apply, archive, merged, order):
    low = apply(archive().file("d/old")).root
    entries = [lambda made: made.file(".wh.d"), lambda made: made.file("d/new")]
    made = archive()
    for entry in entries[::order]:
        entry(made)
    top = apply(made, lowers=[low]).root
    assert is_opaque(top / "d")
    assert names(merged(top, low)) == {"d", "d/new"}


def test_layer_whiteout_then_directory_entry_is_opaque(apply, archive, merged):
    low = apply(archive().file("d/old")).root
    top = apply(archive().file(".wh.d").directory("d", mode=0o700), lowers=[low]).root
    assert names(merged(top, low)) == {"d"}


@pytest.mark.parametrize("order", [1, -1])
def test_layer_opaque_directory_hides_all_below_and_nothing_of_its_own(apply, archive, merged, order):
    low = apply(archive().file("d/old").file("d/e/old")).root
    entries = [lambda made: made.file("d/.wh..wh..opq"), lambda made: made.file("d/e/new")]
    made = archive()
    for entry in entries[::order]:
        entry(made)
    top = apply(made, lowers=[low]).root
    assert is_opaque(top / "d")
    assert names(merged(top, low)) == {"d", "d/e", "d/e/new"}


def test_layer_opaque_root_hides_all_that_is_below(apply, archive, merged):
    low = apply(archive().file("a").file("d/old").file("b")).root
    top = apply(archive().file(".wh..wh..opq").file("d/new").file("b", b"new"), lowers=[low]).root
    assert names(merged(top, low)) == {"b", "d", "d/new"}


def test_layer_aufs_records_are_skipped(apply, archive, facts):
    made = (
        archive()
        .directory(".wh..wh.plnk")
        .file(".wh..wh.plnk/1.2", b"x")
        .file(".wh..wh.aufs", b"y")
        .file("a")
    )
    assert set(facts(apply(made).root)) == {".", "a"}


def test_layer_missing_parent_is_as_in_the_layer_below(apply, archive, facts):
    base = apply(
        archive().directory(
            "a", mode=0o1750, uid=5, gid=6, mtime=1e9, pax_headers={"SCHILY.xattr.user.note": "n"}
        )
    ).root
    middle = apply(archive().file("a/b/c"), lowers=[base]).root
    assert facts(middle)["a"] == facts(base)["a"]
    top = apply(archive().file("a/b/d"), lowers=[middle, base]).root
    assert facts(top)["a"] == facts(base)["a"]
    assert facts(top, times=False)["a/b"].mode == 0o755


def test_layer_root_is_as_in_the_layer_below(apply, archive, facts):
    base = apply(archive().directory(".", mode=0o711, uid=9, mtime=1e9)).root
    top = apply(archive().file("x"), lowers=[base]).root
    assert facts(top)["."] == facts(base)["."]


def test_layer_parent_that_is_a_link_below_is_followed(apply, archive, merged):
    base = apply(archive().directory("usr/lib", mode=0o700).symlink("lib", "usr/lib")).root
    middle = apply(archive().file("unrelated"), lowers=[base]).root
    top = apply(archive().file("lib/x", b"x").file("lib/sub/y", b"y"), lowers=[middle, base]).root
    view = merged(top, middle, base)
    assert (view / "lib").is_symlink()
    assert (view / "usr/lib/x").read_bytes() == b"x"
    assert (view / "lib/sub/y").read_bytes() == b"y"
    assert stat.S_IMODE((view / "usr/lib").stat().st_mode) == 0o700


@pytest.mark.parametrize("hiding", ["a/.wh..wh..opq", ".wh.a", "a/.wh.b"])
def test_layer_missing_parent_is_not_taken_from_what_is_hidden(apply, archive, hiding):
    base = apply(archive().directory("a", mode=0o755).directory("a/b", mode=0o700)).root
    middle = apply(archive().file(hiding), lowers=[base]).root
    top = apply(archive().file("a/b/x"), lowers=[middle, base]).root
    assert stat.S_IMODE((top / "a/b").stat().st_mode) == 0o755


@pytest.mark.parametrize("hiding", ["a/.wh..wh..opq", ".wh.a", "a/.wh.b"])
def test_layer_missing_parent_is_not_taken_from_what_the_same_layer_hides(apply, archive, hiding, merged):
    base = apply(archive().directory("a", mode=0o755).directory("a/b", mode=0o700).file("a/b/old")).root
    top = apply(archive().file(hiding).file("a/b/x"), lowers=[base]).root
    assert stat.S_IMODE((top / "a/b").stat().st_mode) == 0o755
    assert names(merged(top, base)) == {"a", "a/b", "a/b/x"}


def test_layer_hard_link_to_a_file_below_copies_it_up(apply, archive, facts, merged, tmp_path):
    content = os.urandom(5000)
    base = apply(
        archive()
        .directory("d", mode=0o711, mtime=1e9)
        .file("d/f", content, mode=0o4711, uid=3, gid=4, pax_headers={"SCHILY.xattr.user.note": "n"})
        .symlink("d/s", "f")
        .add("character", "d/null", devmajor=1, devminor=3)
    ).root
    made = (
        archive()
        .hardlink("g", "d/f")
        .hardlink("s", "d/s")
        .hardlink("null", "d/null")
        .hardlink("again", "d/f")
    )
    top = apply(made, lowers=[base]).root
    before, after = facts(base), facts(top)
    assert after["g"] == after["d/f"] == before["d/f"]
    assert after["s"] == before["d/s"]
    assert after["null"] == before["d/null"]
    assert after["d"] == before["d"]
    assert (top / "g").stat().st_ino == (top / "d/f").stat().st_ino == (top / "again").stat().st_ino
    assert (merged(top, base) / "d/f").read_bytes() == content


def test_layer_hard_link_through_a_link_below_finds_its_file(apply, archive):
    base = apply(archive().file("usr/bin/perl", b"perl").symlink("bin", "usr/bin")).root
    top = apply(archive().hardlink("usr/bin/perl5", "bin/perl"), lowers=[base]).root
    assert (top / "usr/bin/perl5").stat().st_ino == (top / "usr/bin/perl").stat().st_ino


def test_layer_hard_link_through_a_link_below_finds_the_layers_own_file(apply, archive):
    base = apply(archive().directory("usr/bin").symlink("bin", "usr/bin")).root
    made = archive().file("usr/bin/perl", b"perl").hardlink("usr/bin/perl5", "bin/perl")
    top = apply(made.symlink("usr/lib", "/bin").hardlink("p", "usr/lib/perl"), lowers=[base]).root
    assert {(top / name).stat().st_ino for name in ("p", "usr/bin/perl5")} == {
        (top / "usr/bin/perl").stat().st_ino
    }
    assert (top / "p").stat().st_nlink == 3


def test_layer_hard_link_to_a_sparse_file_below_keeps_the_holes(apply, archive, tmp_path):
    low = tmp_path / "low"
    low.mkdir()
    with (low / "sparse").open("wb") as file:
        file.seek(1 << 22)
        file.write(b"middle")
        file.truncate(1 << 24)
    top = apply(archive().hardlink("link", "sparse"), lowers=[low])
    assert (top.root / "link").read_bytes() == (low / "sparse").read_bytes()
    assert top.stored_bytes("link") <= 1 << 15


@pytest.mark.parametrize("hidden", ["f", "d/f"])
def test_layer_hard_link_to_what_a_layer_deleted_is_refused(apply, archive, hidden):
    base = apply(archive().file("f").file("d/f")).root
    middle = apply(archive().file(".wh.f").file("d/.wh..wh..opq"), lowers=[base]).root
    with pytest.raises(InvalidArgument, match="hard link"):
        apply(archive().hardlink("g", hidden), lowers=[middle, base])
    with pytest.raises(InvalidArgument, match="hard link"):
        apply(archive().file(".wh.f").file("d/.wh..wh..opq").hardlink("g", hidden), lowers=[base])
