"""Decoders: every compression and its damage, in bounded pieces; and the thread that runs ahead."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest
import zstandard

from containerlib.errors import InvalidArgument, Unsupported
from containerlib.images.transfer.decoding import ahead, decoded
from containerlib.images.transfer.unpacking import Count, bounded, unpack
from containerlib.spec.digest import Digest

TEXT = b"some text, over and over. " * 50_000
NOISE = os.urandom(300_000)


def frames(data: bytes) -> bytes:
    """zstd in two frames, with a skippable one before, as zstd:chunked has it after."""
    compress = zstandard.ZstdCompressor().compress
    skippable = b"\x50\x2a\x4d\x18\x04\x00\x00\x00skip"
    return skippable + compress(data[:1000]) + compress(data[1000:])


ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda data: data,
    "gzip": gzip.compress,
    "gzip in members": lambda data: gzip.compress(data[:1000]) + gzip.compress(data[1000:]),
    "gzip, padded": lambda data: gzip.compress(data) + bytes(10_000),
    "zstd": zstandard.ZstdCompressor().compress,
    "zstd in frames": frames,
}


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[i : i + size] for i in range(0, len(data), size))


@pytest.mark.parametrize("size", [1, 7, 65536, 1 << 30])
@pytest.mark.parametrize("name", ENCODINGS)
def test_decoded_is_what_was_encoded(name: str, size: int) -> None:
    data = TEXT + NOISE if size > 7 else TEXT[:5000] + NOISE[:500]
    assert b"".join(decoded(pieces(ENCODINGS[name](data), size))) == data


@pytest.mark.parametrize("name", ["gzip", "zstd"])
def test_decoded_bomb_comes_in_bounded_pieces(name: str) -> None:
    bomb = ENCODINGS[name](bytes(64 << 20))
    sizes = [len(piece) for piece in decoded(iter([bomb]))]
    assert sum(sizes) == 64 << 20
    assert max(sizes) <= 1 << 18


@pytest.mark.parametrize(
    "data",
    [
        gzip.compress(TEXT)[:-1],
        gzip.compress(TEXT)[:100],
        gzip.compress(NOISE)[:-8] + bytes(8),
        gzip.compress(TEXT) + b"trailing",
        gzip.compress(TEXT) + bytes(100_000) + b"trailing",
        b"\x1f\x8b",
        b"\x1f\x8bxxxxxxxxxxxxxxxxxxxx",
        b"\x28\xb5\x2f\xfd" + b"\xff" * 500,
    ],
)
@pytest.mark.parametrize("size", [11, 1 << 30])
def test_decoded_damage_is_invalid(data: bytes, size: int) -> None:
    with pytest.raises(InvalidArgument) as caught:
        list(decoded(pieces(data, size)))
    assert caught.value.field == "layer"


@pytest.mark.parametrize("compress", [bz2.compress, lzma.compress])
def test_decoded_other_compression_is_unsupported(compress: Callable[[bytes], bytes]) -> None:
    with pytest.raises(Unsupported, match="gzip or zstd"):
        decoded(iter([compress(TEXT)]))


def test_decoded_without_isal_is_the_same() -> None:
    program = (
        "import sys; sys.modules['isal'] = None; import gzip\n"
        "from containerlib.images.transfer.decoding import decoded\n"
        "for size in (0, 1, 1 << 20, (1 << 20) + 1, 5 << 20):\n"
        "    text = b'abcdefg' * (size // 7 + 1)\n"
        "    data = gzip.compress(text[:9]) + gzip.compress(text)\n"
        "    for step in (1000, 1 << 30):\n"
        "        found = list(decoded(data[i:i + step] for i in range(0, len(data), step)))\n"
        "        assert b''.join(found) == text[:9] + text and max(map(len, found)) <= 1 << 18\n"
    )
    subprocess.run([sys.executable, "-P", "-c", program], check=True)


def test_decoded_gzip_is_inflated_by_isal_where_that_is() -> None:
    pytest.importorskip("isal", reason="no isal for this machine: zlib does it")
    program = (
        "import sys, gzip\n"
        "from containerlib.images.transfer.decoding import decoded\n"
        "assert b''.join(decoded(iter([gzip.compress(b'text')]))) == b'text'\n"
        "sys.exit('isal.igzip_lib' not in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-P", "-c", program], check=True)


def test_decoded_nothing_is_nothing() -> None:
    assert list(decoded(iter([]))) == []


def test_ahead_gives_the_items_and_then_the_error() -> None:
    def items() -> Iterator[bytes]:
        yield from (b"1", b"2")
        raise KeyError("3")

    found = []
    with pytest.raises(KeyError):
        found.extend(ahead(items()))
    assert list(ahead(iter([b"1", b"2"]))) == [b"1", b"2"]


def test_ahead_closed_early_ends_its_thread() -> None:
    before = threading.active_count()
    generator = ahead(iter([b"x"] * 1000))
    next(generator)
    generator.close()
    for thread in threading.enumerate():
        if thread.name == "containerlib-decode":
            thread.join(5)
    assert threading.active_count() == before


def test_layer_is_decoded_in_another_thread_than_it_is_unpacked_in() -> None:
    threads: dict[str, str] = {}

    class Coming:
        restarts = 0

        def chunks(self) -> Iterator[bytes]:
            threads["decodes"] = threading.current_thread().name
            yield gzip.compress(TEXT)

        def wait(self) -> None:
            """All of it is here."""

    class Draft:
        def feed(self, _: bytes) -> None:
            threads["unpacks"] = threading.current_thread().name

        def finish(self) -> int:
            return 7

        def close(self) -> None:
            """Nothing is held."""

    assert unpack(Coming(), Draft, diff_id=Digest.of(TEXT), compressed_size=len(TEXT)) == 7
    assert threads["unpacks"] == threading.current_thread().name != threads["decodes"]


def test_layer_that_is_said_to_be_large_unpacks_to_no_more_than_what_came_allows() -> None:
    mebibyte = bytes(1 << 20)
    pieces = bounded((mebibyte for _ in range(1 << 20)), 1 << 60, Count())
    with pytest.raises(InvalidArgument, match="no honest layer"):
        for _ in pieces:
            pass


def test_layer_that_has_come_unpacks_to_as_much_as_its_size_allows() -> None:
    mebibyte, received = bytes(1 << 20), Count()
    received.bytes = 1 << 30
    *_, (_, total) = bounded((mebibyte for _ in range(20_000)), 1 << 30, received)
    assert total == 20_000 << 20
