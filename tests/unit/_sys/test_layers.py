"""What a well-meant archive becomes."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest

from containerlib._sys.layers import LayerLimits, LayerWriter
from containerlib.errors import StageError

ROOT = pytest.mark.privileged("CAP_CHOWN, CAP_MKNOD, CAP_SYS_ADMIN: makes owners, devices and trusted xattrs")
CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")  # cap_net_raw=ep


def gnu_tar(*arguments: str) -> None:
    if shutil.which("tar") is None:
        pytest.skip("needs GNU tar")
    subprocess.run(["tar", *arguments], check=True)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Files of every sort that a user may make, with names that do not fit old headers."""
    root = tmp_path / "tree"
    deep = root / ("d" * 90) / ("e" * 90)
    deep.mkdir(parents=True)
    (deep / ("f" * 120)).write_bytes(b"deep")
    (root / "empty").touch()
    (root / "large").write_bytes(os.urandom(300_001))
    (root / "link").symlink_to("large")
    (root / "long link").symlink_to("x/" * 120)
    os.link(root / "large", deep / "twin")
    (root / "ünïcode \udcff").write_bytes(b"x")  # a byte that is no UTF-8
    os.mkfifo(root / "pipe")
    (root / "large").chmod(0o4751)
    (root / "readonly").mkdir(mode=0o555)
    for number, path in enumerate(sorted(root.rglob("*"), reverse=True)):
        os.utime(path, ns=(0, 1_234_567_890_123_456_789 - number), follow_symlinks=False)
    return root


@pytest.mark.parametrize("version", ["gnu", "oldgnu", "posix"])
@pytest.mark.parametrize("chunk", [1 << 20, 1000])
def test_layer_from_gnu_tar_is_what_gnu_tar_extracts(apply, facts, tree, tmp_path, *, version, chunk):
    gnu_tar("-C", str(tree), f"--format={version}", "-cf", str(tmp_path / "a.tar"), ".")
    expected = tmp_path / "expected"
    expected.mkdir()
    gnu_tar("-C", str(expected), "-xpf", str(tmp_path / "a.tar"))
    root = apply((tmp_path / "a.tar").read_bytes(), chunk=chunk).root
    assert facts(root) == facts(expected)
    assert (root / "large").stat().st_nlink == 2
    if version == "posix":
        assert facts(root) == facts(tree)


def test_layer_in_ustar_has_its_prefixes_joined(apply, archive):
    name = "p" * 80 + "/" + "q" * 90
    assert (apply(archive(tarfile.USTAR_FORMAT).file(name, b"x")).root / name).read_bytes() == b"x"


@ROOT
def test_layer_entry_of_each_kind_has_its_owner_mode_and_time(apply, archive, facts):
    own = {"uid": 1234, "gid": 70_000, "mtime": 1_500_000_000.125}
    made = archive()
    made.directory("d", mode=0o2770, **own)
    made.file("d/f", b"content", mode=0o6755, **own)
    made.symlink("d/s", "f", **own)
    made.add("fifo", "d/p", mode=0o620, **own)
    made.add("character", "d/null", devmajor=1, devminor=3, mode=0o666, **own)
    made.add("block", "d/loop", devmajor=7, devminor=300, mode=0o660, **own)
    seen = facts(apply(made).root)
    assert {path: (fact.kind, fact.mode) for path, fact in seen.items() if path != "."} == {
        "d": ("d", 0o2770),
        "d/f": ("-", 0o6755),
        "d/s": ("l", 0o777),
        "d/p": ("p", 0o620),
        "d/null": ("c", 0o666),
        "d/loop": ("b", 0o660),
    }
    del seen["."]
    assert {fact.owner for fact in seen.values()} == {(1234, 70_000)}
    assert {fact.mtime_ns for fact in seen.values()} == {1_500_000_000_125_000_000}
    assert (seen["d/null"].device, seen["d/loop"].device) == (os.makedev(1, 3), os.makedev(7, 300))


def test_layer_mode_does_not_depend_on_the_umask(apply, archive):
    before = os.umask(0o077)
    try:
        root = apply(archive().directory("d", mode=0o777).file("d/f", mode=0o666)).root
    finally:
        os.umask(before)
    assert stat.S_IMODE((root / "d").stat().st_mode) == 0o777
    assert stat.S_IMODE((root / "d/f").stat().st_mode) == 0o666
    assert stat.S_IMODE(root.stat().st_mode) == 0o755


@pytest.mark.parametrize(("text", "nanoseconds"), [("-1.5", -1_500_000_000), ("7.1234567899", 7_123_456_789)])
def test_layer_time_of_a_pax_record_keeps_its_fraction(apply, archive, text, nanoseconds):
    root = apply(archive().file("f", pax_headers={"mtime": text})).root
    assert (root / "f").stat().st_mtime_ns == nanoseconds


def test_layer_root_entry_sets_the_directory_itself(apply, archive):
    root = apply(archive().directory("./", mode=0o711, mtime=77).file("./f")).root
    assert (stat.S_IMODE(root.stat().st_mode), root.stat().st_mtime) == (0o711, 77)


def test_layer_large_numbers_are_read_from_gnu_headers(apply, archive):
    root = apply(archive(tarfile.GNU_FORMAT).file("f", mtime=2**33)).root  # past octal's 33 bits: base-256
    assert (root / "f").stat().st_mtime == 2**33


@pytest.mark.parametrize(
    "options",
    [
        ["--format=gnu"],
        ["--format=posix", "--sparse-version=0.0"],
        ["--format=posix", "--sparse-version=0.1"],
        ["--format=posix", "--sparse-version=1.0"],
    ],
    ids=lambda options: "-".join(option.split("=")[1] for option in options),
)
@pytest.mark.parametrize("segments", [0, 1, 4, 60])
def test_layer_sparse_file_stays_sparse(apply, tmp_path, options, segments):
    source = tmp_path / "source" / ("sparse" * 20)
    source.parent.mkdir()
    with source.open("wb") as file:
        for number in range(segments):
            file.seek(number << 18)
            file.write(os.urandom(5000))
        file.truncate((segments << 18) + (1 << 21) + 7)
    gnu_tar("-C", str(source.parent), "--sparse", *options, "-cf", str(tmp_path / "a.tar"), source.name)
    for chunk in (1 << 20, 700):
        made = apply((tmp_path / "a.tar").read_bytes(), chunk=chunk)
        assert (made.root / source.name).read_bytes() == source.read_bytes()
        assert made.stored_bytes(source.name) <= source.stat().st_blocks * 512 + (1 << 15)


@ROOT
def test_layer_xattrs_are_set_and_overlay_ones_are_dropped(apply, archive, facts):
    def records(values: dict[str, bytes]) -> dict[str, str]:
        return {f"SCHILY.xattr.{name}": os.fsdecode(value) for name, value in values.items()}

    made = archive()
    made.file(
        "ping",
        b"program",
        uid=7,
        mode=0o4755,
        pax_headers=records(
            {"security.capability": CAPABILITY, "user.note": b"\0a=b\n", "trusted.overlay.redirect": b"/"}
        ),
    )
    made.directory("d", pax_headers=records({"trusted.overlay.opaque": b"y", "user.note": b"d"}))
    made.symlink("s", "ping", pax_headers=records({"trusted.mark": b"s"}))
    seen = facts(apply(made).root)
    assert seen["ping"].xattrs == {"security.capability": CAPABILITY, "user.note": b"\0a=b\n"}
    assert seen["ping"].mode == 0o4755
    assert seen["d"].xattrs == {"user.note": b"d"}
    assert seen["s"].xattrs == {"trusted.mark": b"s"}


def test_layer_xattr_that_a_link_cannot_have_is_skipped_and_counted(apply, archive):
    made = apply(archive().symlink("s", "x", pax_headers={"SCHILY.xattr.user.note": "s"}))
    assert made.stats.skipped_xattrs == 1


def test_layer_entry_that_comes_again_replaces_the_first(apply, archive, facts):
    made = archive()
    made.file("file", b"old").symlink("link", "file").directory("full/of/things").file("full/of/x", b"x")
    made.directory("kept", mode=0o700).file("kept/x", b"x").file("becomes")
    made.file("file", b"new").file("link", b"real").file("full", b"flat")
    made.directory("kept", mode=0o750).directory("becomes").file("becomes/y", b"y")
    seen = facts(apply(made).root, times=False)
    assert {path: fact.content for path, fact in seen.items() if fact.kind == "-"} == {
        "file": b"new",
        "link": b"real",
        "full": b"flat",
        "kept/x": b"x",
        "becomes/y": b"y",
    }
    assert seen["kept"].mode == 0o750


def test_layer_entry_that_replaces_one_name_of_a_hard_link_leaves_the_other(apply, archive):
    root = apply(archive().file("a", b"first").hardlink("b", "a").file("a", b"second")).root
    assert ((root / "a").read_bytes(), (root / "b").read_bytes()) == (b"second", b"first")


def test_layer_hard_link_given_twice_stays(apply, archive):
    root = apply(archive().file("a", b"x").hardlink("b", "./a").hardlink("b", "/a").hardlink("b", "b")).root
    assert (root / "a").stat().st_nlink == 2


def test_layer_deep_directory_is_replaced_whole(apply, archive):
    made = archive()
    for depth in (1900, 300):
        made.directory("/".join("d" * depth))
    root = apply(made.file("d", b"flat")).root
    assert (root / "d").read_bytes() == b"flat"


def test_layer_missing_parents_are_made(apply, archive):
    made = apply(archive().file("a/b/c", b"x"))
    assert (made.root / "a/b/c").read_bytes() == b"x"
    assert stat.S_IMODE((made.root / "a").stat().st_mode) == 0o755
    assert made.stats == type(made.stats)(entries=3, bytes=1)


def test_layer_parent_that_is_a_link_is_followed_inside_the_layer(apply, archive):
    made = archive().directory("usr/lib").symlink("lib", "/usr/lib").symlink("lib64", "../../lib")
    root = apply(made.file("lib/x", b"x").file("lib64/new/y", b"y")).root
    assert (root / "usr/lib/x").read_bytes() == b"x"
    assert (root / "usr/lib/new/y").read_bytes() == b"y"


@pytest.mark.parametrize("ending", [0, 512, 1024, 10240])
def test_layer_may_end_with_or_without_zero_blocks(apply, archive, ending):
    data = archive().file("a", b"x").data()[:1024] + bytes(ending)
    assert (apply(data).root / "a").read_bytes() == b"x"


def test_layer_takes_any_buffer_and_ignores_what_follows_the_end(apply, archive, tmp_path):
    data = archive().file("a", b"x").data()
    (tmp_path / "l").mkdir()
    with LayerWriter(str(tmp_path / "l")) as writer:
        writer.feed(bytearray(data))
        writer.feed(memoryview(b"junk"))
        writer.feed(b"")
        assert writer.finish().entries == 1
    with pytest.raises(ValueError, match="closed"):
        writer.feed(data)


def test_layer_of_a_missing_directory_names_it(tmp_path):
    with pytest.raises(StageError, match="nowhere") as caught:
        LayerWriter(str(tmp_path), lowers=[str(tmp_path / "nowhere")])
    assert caught.value.errno == 2


@pytest.mark.privileged("CAP_SYS_ADMIN: mounts a small tmpfs")
def test_layer_on_a_full_disk_says_so(apply, archive, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)], check=True)
    try:
        with LayerWriter(str(small), limits=LayerLimits()) as writer:
            with pytest.raises(StageError) as caught:
                writer.feed(archive().file("d/large", bytes(1 << 20)).data())
            with pytest.raises(StageError):
                writer.finish()
    finally:
        subprocess.run(["umount", str(small)], check=True)
    assert (caught.value.errno, caught.value.stage, caught.value.detail) == (28, "layer", "d/large")
    assert "free some space" in str(caught.value)
