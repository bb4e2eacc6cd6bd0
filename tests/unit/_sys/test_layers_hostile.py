"""What an ill-meant or broken archive does not become."""

from __future__ import annotations

import gzip
import stat
import struct
import tarfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from containerlib._sys.layers import LayerLimits, LayerWriter
from containerlib.errors import InvalidArgument

ROOT = pytest.mark.privileged("CAP_MKNOD, CAP_SYS_ADMIN: makes devices and whiteouts")
# The fixture `apply` looks at the directory "outside", a neighbour of the one written to, after each test.


@pytest.mark.parametrize("name", ["../outside/witness", "a/../../outside/witness", "..", "a/..", "./../x"])
def test_layer_name_with_dots_is_refused_by_name(apply, archive, name):
    with pytest.raises(InvalidArgument, match=r"entry '.*\.\.") as caught:
        apply(archive().directory("a").file(name, b"evil"))
    assert caught.value.field == "layer"


@pytest.mark.parametrize("name", ["/outside/witness", "//outside/witness", "/./outside/witness"])
def test_layer_absolute_name_stays_inside(apply, archive, name):
    assert (apply(archive().file(name, b"x")).root / "outside/witness").read_bytes() == b"x"


@pytest.mark.parametrize(
    "target", ["/", "..", "../outside", "/proc/self/root", "../../../../../../../..", "."]
)
@pytest.mark.parametrize("entry", ["witness", "outside/witness", "made/witness"])
def test_layer_link_as_a_parent_leads_nowhere_outside(apply, archive, tmp_path, target, entry):
    target = target.replace("../outside", str(tmp_path / "outside"))
    root = apply(archive().symlink("out", target).file(f"out/{entry}", b"evil", mode=0o777)).root
    written = [path for path in root.rglob("witness") if path.read_bytes() == b"evil"]
    assert len(written) == 1


def test_layer_link_chain_as_a_parent_leads_nowhere_outside(apply, archive):
    made = archive().symlink("a", "..").symlink("b", "a/..").symlink("c", "b/../outside")
    assert (apply(made.file("c/witness", b"evil")).root / "outside/witness").read_bytes() == b"evil"


@pytest.mark.parametrize("entry", ["file", "directory", "fifo"])
def test_layer_link_of_the_same_name_is_replaced_and_not_followed(apply, archive, tmp_path, entry):
    outside = tmp_path / "outside"
    made = archive().symlink("out", str(outside)).symlink("leaf", str(outside / "witness"))
    made.add(entry, "out", mode=0o700).add(entry, "leaf", mode=0o700)
    root = apply(made).root
    assert not (root / "out").is_symlink()
    assert not (root / "leaf").is_symlink()


def test_layer_directory_swapped_for_a_link_takes_nothing_outside(apply, archive, tmp_path):
    made = archive().directory("d", mode=0o711, mtime=1).file("d/x")
    made.symlink("d", str(tmp_path / "outside"), mtime=2).file("d/witness", b"evil")
    with_link = apply(made).root
    assert (with_link / "d").is_symlink()
    assert [path.read_bytes() for path in with_link.rglob("witness") if not path.is_symlink()] == [b"evil"]


def test_layer_cached_parent_is_forgotten_when_it_is_swapped(apply, archive):
    made = archive().directory("real").symlink("d", "real").file("d/one").file("d", b"flat")
    with pytest.raises(InvalidArgument, match="not a directory"):
        apply(made.file("d/two"))


@pytest.mark.parametrize(
    "target", ["../outside/witness", "/../outside/witness", "a/../../outside/witness", "", "."]
)
def test_layer_hard_link_out_is_refused(apply, archive, target):
    with pytest.raises(InvalidArgument, match="entry 'g': its hard link"):
        apply(archive().directory("a").hardlink("g", target))


@pytest.mark.parametrize("target", ["out/witness", "leaf", "missing", "a", "a/missing", "f/x"])
def test_layer_hard_link_never_reaches_a_file_outside(apply, archive, tmp_path, target):
    outside = tmp_path / "outside"
    made = archive().directory("a").file("f")
    made.symlink("out", str(outside)).symlink("leaf", str(outside / "witness")).hardlink("g", target)
    if target == "leaf":  # a second name for the link itself, as link(2)
        assert (apply(made.file("g", b"evil")).root / "leaf").is_symlink()
        return
    with pytest.raises(InvalidArgument, match="hard link"):
        apply(made)
    assert (outside / "witness").stat().st_nlink == 1


@ROOT
def test_layer_hard_link_to_a_link_never_changes_the_file_behind_it(apply, archive, tmp_path):
    made = archive().symlink("leaf", str(tmp_path / "outside/witness"))
    made.hardlink("g", "leaf").add("fifo", "g", mode=0o777, uid=77)
    assert stat.S_ISFIFO((apply(made).root / "g").lstat().st_mode)


@ROOT
@pytest.mark.parametrize("kind", ["character", "block"])
def test_layer_device_node_is_never_opened(apply, archive, kind):
    """A FIFO or device that a later entry names is replaced: opening it would hang or reach a disk."""
    made = archive().add(kind, "node", devmajor=1, devminor=7).add("fifo", "pipe")
    root = apply(made.file("node", b"data").file("pipe", b"data")).root
    assert (root / "node").read_bytes() == (root / "pipe").read_bytes() == b"data"


@ROOT
def test_layer_device_that_forges_a_whiteout_is_refused(apply, archive):
    with pytest.raises(InvalidArgument, match="0/0"):
        apply(archive().add("character", "etc", devmajor=0, devminor=0))
    with pytest.raises(InvalidArgument, match="hard link"):
        apply(archive().file(".wh.a").hardlink("b", "a"))
    assert stat.S_ISBLK(
        (apply(archive().add("block", "b", devmajor=0, devminor=0)).root / "b").stat().st_mode
    )


@pytest.mark.parametrize("name", [".wh.", ".wh..", ".wh...", "a/.wh...", ".wh.a/b", "a/.wh.b/c"])
def test_layer_whiteout_of_no_name_is_refused(apply, archive, name):
    with pytest.raises(InvalidArgument, match=r"\.wh\."):
        apply(archive().file(name))


def test_layer_ten_gigabytes_of_zeros_stop_at_the_bound(apply, archive, tmp_path):
    info = tarfile.TarInfo("zeros")
    info.size = 10 << 30
    packed = gzip.compress(info.tobuf() + bytes(64 << 20), 1)
    with pytest.raises(InvalidArgument, match=r"entry 'zeros'.*1048576 bytes"):
        apply(gzip.decompress(packed), limits=LayerLimits(max_bytes=1 << 20))
    files = archive()
    for number in range(100):
        files.file(str(number), bytes(1 << 15))
    with pytest.raises(InvalidArgument, match="entry '32'"):
        apply(files, limits=LayerLimits(max_bytes=1 << 20))


def test_layer_copies_from_below_count_against_the_bound(apply, archive, tmp_path):
    low = tmp_path / "low"
    low.mkdir()
    (low / "f").write_bytes(bytes(1 << 20))
    with pytest.raises(InvalidArgument, match="bytes of content"):
        apply(archive().hardlink("g", "f"), lowers=[low], limits=LayerLimits(max_bytes=1 << 16))


def feed_all(writer: LayerWriter, blocks: Iterable[bytes]) -> None:
    for block in blocks:
        writer.feed(block)


def test_layer_a_million_entries_stop_at_the_bound(tmp_path, archive):
    (tmp_path / "layer").mkdir()
    block = b"".join(archive().file(f"f{number}").data()[:512] for number in range(1000))
    with (
        pytest.raises(InvalidArgument, match="2500 entries"),
        LayerWriter(str(tmp_path / "layer"), limits=LayerLimits(max_entries=2500)) as writer,
    ):
        feed_all(writer, [block] * 1000)
    assert len(list((tmp_path / "layer").iterdir())) == 1000


def test_layer_implied_directories_and_endless_headers_count_too(apply, archive):
    with pytest.raises(InvalidArgument, match="100 entries"):
        apply(archive().file("/".join("d" * 1000)), limits=LayerLimits(max_entries=100))
    info = tarfile.TarInfo("x")
    info.type = tarfile.XGLTYPE
    with pytest.raises(InvalidArgument, match="100 entries"):
        apply(info.tobuf() * 1000, limits=LayerLimits(max_entries=100))


@pytest.mark.parametrize("links", [41, 2])
def test_layer_link_loop_is_refused(apply, archive, links):
    made = archive()
    for number in range(links):
        made.symlink(f"l{number}", f"l{(number + 1) % links}")
    with pytest.raises(InvalidArgument, match="symbolic links"):
        apply(made.file("l0/x"))


def test_layer_chain_of_links_is_followed_as_far_as_the_kernel_does(apply, archive):
    def chain(links):
        made = archive().directory("d")
        for number in range(links):
            made.symlink(f"l{number}", f"l{number + 1}" if number + 1 < links else "d")
        return made.file("l0/x", b"x")

    assert (apply(chain(40)).root / "d/x").read_bytes() == b"x"
    with pytest.raises(InvalidArgument, match="symbolic links"):
        apply(chain(41))


def test_layer_link_that_grows_without_end_is_refused(apply, archive):
    with pytest.raises(InvalidArgument, match=r"symbolic links|more than 4095"):
        apply(archive().symlink("a", "new/../a/" + "b/" * 1500).file("a/x"))


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"comment": "x" * (1 << 20)}, "extended header has more than 1048576"),
        ({"SCHILY.xattr.user.x": "x" * (65 << 10)}, "extended attributes have more than 65536"),
        ({"path": "x/" * 2100}, "more than 4095"),
        ({"path": "x" * 256}, "more than 4095 bytes, or a part 255"),
        ({"path": "a\0b"}, "NUL"),
        ({"mtime": "soon"}, "number"),
        ({"uid": "-1"}, "number"),
        ({"uid": str(2**32)}, "number"),
        ({"gid": str(2**32 + 7)}, "number"),
        ({"gid": str(2**32 - 1)}, "number"),
        ({"size": str(2**63)}, "number"),
        ({"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "9"}, "sparse"),
        ({"GNU.sparse.map": "0,9", "GNU.sparse.size": "1"}, "sparse"),
        ({"GNU.sparse.map": "0,", "GNU.sparse.size": "1"}, "sparse"),
        ({"GNU.sparse.numbytes": "1"}, "sparse"),
        ({"SCHILY.xattr.security.capability": "bad"}, "extended attributes"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_layer_extended_header_that_asks_too_much_is_refused(apply, archive, headers, reason):
    with pytest.raises(InvalidArgument, match=reason):
        apply(archive().file("f", b"x", pax_headers=headers))


def pax(records: bytes) -> bytes:
    info = tarfile.TarInfo("header")
    info.type = tarfile.XHDTYPE
    info.size = len(records)
    return info.tobuf() + records.ljust(512, b"\0") + tarfile.TarInfo("f").tobuf()


@pytest.mark.parametrize(
    "records",
    [
        b"x",
        b"5 a=b",
        b"6 a=b",
        b"99 a=b\n",
        b"0 a=b\n",
        b"-6 a=b\n",
        b"4 a\n\n",
        b"5 =b\n",
        b"8 a\0b=c\n",
        b" a=b\n",
    ],
)
def test_layer_malformed_extended_header_is_refused(apply, records):
    with pytest.raises(InvalidArgument, match="extended header"):
        apply(pax(records))


def checksummed(block: bytearray) -> bytes:
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize(
    ("at", "value", "reason"),
    [
        (124, b"99999999999\0", "number"),
        (124, b"\xff" * 12, "number"),
        (124, b"\x80" + b"\xff" * 11, "number"),
        (108, b"\xff" * 8, "number"),
        (108, b"\xff" * 7 + b"\xfe", "number"),
        (108, b"\x80\0\0\1\0\0\0\0", "number"),  # 2**32, of which root's 0 would be left
        (116, b"\x80\0\0\1\0\0\0\0", "number"),
        (156, b"Z", "type"),
        (0, b"\0", "empty"),
    ],
)
def test_layer_header_field_out_of_range_is_refused(apply, at, value, reason):
    block = bytearray(tarfile.TarInfo("f").tobuf())
    block[at : at + len(value)] = value
    with pytest.raises(InvalidArgument, match=reason):
        apply(checksummed(block))


def old_sparse(*segments: tuple[int, int], real: int, stored: int) -> bytes:
    block = bytearray(tarfile.TarInfo("f").tobuf())
    block[124:136] = b"%011o\0" % stored
    block[156:157] = b"S"
    block[257:265] = b"ustar  \0"
    for number, segment in enumerate(segments):
        block[386 + 24 * number : 410 + 24 * number] = b"%011o\0%011o\0" % segment
    block[483:495] = b"\x80" + struct.pack(">3xQ", real)
    return checksummed(block) + bytes(stored)


@pytest.mark.parametrize(
    "data",
    [
        old_sparse((0, 512), (100, 512), real=4096, stored=1024),
        old_sparse((600, 512), real=1000, stored=512),
        old_sparse((0, 512), real=1000, stored=1024),
        old_sparse((0, 2**33 - 1), (2**33 - 1, 2), real=2**34, stored=512),
        old_sparse((0, 512), real=2**63, stored=512),
    ],
)
def test_layer_sparse_map_that_contradicts_itself_is_refused(apply, data):
    with pytest.raises(InvalidArgument, match=r"sparse|number"):
        apply(data)


@pytest.mark.parametrize("cut", [1, 511, 513, 1023, 1025, 1500])
def test_layer_truncated_is_refused(apply, archive, cut):
    data = archive().file("f", b"x" * 1000).data()
    with pytest.raises(InvalidArgument, match="ends inside"):
        apply(data[:cut])


@pytest.mark.parametrize("garbage", [b"\x1f\x8b\x08" + b"x" * 600, b"<html>" * 200, bytes(512) + b"x" * 512])
def test_layer_garbage_is_refused(apply, garbage):
    with pytest.raises(InvalidArgument, match="no tar header"):
        apply(garbage)


def test_layer_header_whose_sum_is_wrong_is_refused(apply):
    block = bytearray(checksummed(bytearray(tarfile.TarInfo("file").tobuf())))
    block[0] ^= 1
    with pytest.raises(InvalidArgument, match="no tar header"):
        apply(bytes(block))


def test_layer_header_whose_sum_is_of_signed_bytes_is_read(apply):
    """As some old programs made it."""
    block = bytearray(tarfile.TarInfo("f\xe9").tobuf(tarfile.GNU_FORMAT))
    block[148:156] = b" " * 8
    signed = sum(byte - 256 if byte > 127 else byte for byte in block)
    block[148:156] = b"%06o\0 " % signed
    assert (apply(bytes(block)).root / "f\xe9").is_file()


def test_layer_writes_nothing_after_a_failure(tmp_path, archive):
    root = tmp_path / "layer"
    root.mkdir()
    with LayerWriter(str(root)) as writer:
        for _ in range(2):
            with pytest.raises(InvalidArgument, match=r"entry 'a/\.\./b'"):
                writer.feed(archive().file("a/../b").file("c").data())
        with pytest.raises(InvalidArgument, match=r"entry 'a/\.\./b'"):
            writer.finish()
    assert list(root.iterdir()) == []


def test_layer_many_failures_leave_no_descriptor_open(apply, archive, tmp_path: Path):
    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir()))
    for _ in range(20):
        with pytest.raises(InvalidArgument):
            apply(archive().file("a/b/c", b"x").hardlink("x/y", "a/b/missing"), lowers=[tmp_path])
    assert len(list(descriptors.iterdir())) == before
