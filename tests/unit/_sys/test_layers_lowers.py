"""What a layer takes from those below it, and what it hides of them."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from containerlib._sys.layers import LayerWriter
from containerlib.errors import InvalidArgument, StageError

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


# ---- layers that are made at the same time ----


class Unfinished:
    """A layer on `low`, which is not there before `complete`; its writer is fed by a thread."""

    def __init__(self, tmp_path: Path, below: bytes) -> None:
        self.low, self.root, self._below = tmp_path / "low", tmp_path / "top", below
        self.root.mkdir()
        self.ready = os.eventfd(0)
        self.writer = LayerWriter(str(self.root), lowers=[str(self.low)], ready=self.ready)
        self._threads = ThreadPoolExecutor()

    def complete(self) -> None:
        self.low.mkdir()
        with LayerWriter(str(self.low)) as writer:
            writer.feed(self._below)
            writer.finish()
        os.eventfd_write(self.ready, 1)

    def waits(self, function: Callable[..., object], *arguments: object) -> None:
        """Fails where the call does not wait for the layer below."""
        call = self._threads.submit(function, *arguments)
        with pytest.raises(TimeoutError):
            call.result(0.2)
        self.complete()
        call.result()

    def close(self) -> None:
        self.writer.close()
        self._threads.shutdown()
        os.close(self.ready)


@pytest.fixture
def unfinished(tmp_path: Path, archive) -> Iterator[Unfinished]:
    below = (
        archive()
        .directory(".", mode=0o711, uid=9, mtime=1e9)
        .directory("a", mode=0o700, uid=5)
        .file("a/f", b"low")
    )
    made = Unfinished(tmp_path, below.symlink("link", "a").data())
    yield made
    made.close()


def test_layer_is_fed_before_the_one_below_is_there_and_takes_its_root_at_the_end(unfinished, archive, facts):
    made = archive().directory("d").file("d/f", b"x").hardlink("d/g", "d/f").file("d/.wh.old").file(".wh.a")
    unfinished.writer.feed(made.symlink("s", "d").directory("o").file("o/.wh..wh..opq").data())
    unfinished.waits(unfinished.writer.finish)
    assert facts(unfinished.root)["."] == facts(unfinished.low)["."]


def test_layer_whose_root_is_said_needs_nothing_of_the_one_below(unfinished, archive, facts):
    unfinished.writer.feed(archive().directory(".", mode=0o700, uid=3, mtime=2e9).file("f").data())
    unfinished.writer.finish()
    assert (unfinished.root.stat().st_uid, unfinished.root.stat().st_mtime) == (3, 2e9)


@pytest.mark.parametrize(
    "entry",
    [
        lambda made: made.file("a/new"),
        lambda made: made.file("link/new"),
        lambda made: made.hardlink("new", "a/f"),
        lambda made: made.directory("a").hardlink("a/new", "link/f"),
    ],
    ids=["parent", "link", "hard link", "hard link through a link"],
)
def test_layer_waits_for_the_one_below_where_it_takes_of_it(unfinished, archive, facts, entry):
    data = entry(archive()).data()
    unfinished.waits(unfinished.writer.feed, data)
    unfinished.writer.finish()
    again = unfinished.root.with_name("again")
    again.mkdir()
    with LayerWriter(str(again), lowers=[str(unfinished.low)]) as writer:
        writer.feed(data)
        writer.finish()
    assert facts(unfinished.root) == facts(again)


def test_layer_whose_root_is_opaque_waits_at_its_end(unfinished, archive):
    unfinished.writer.feed(archive().directory(".").file(".wh..wh..opq").data())
    unfinished.waits(unfinished.writer.finish)
    assert is_whiteout(unfinished.root / "a")
    assert is_whiteout(unfinished.root / "link")


def test_layer_below_that_never_came_is_named(unfinished, archive):
    os.eventfd_write(unfinished.ready, 1)
    with pytest.raises(StageError) as caught:
        unfinished.writer.feed(archive().file("a/new").data())
    assert caught.value.errno == errno.ENOENT
