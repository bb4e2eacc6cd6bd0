"""Compressed layers: read back by others' readers, and the same whatever the machine has."""

from __future__ import annotations

import gzip
import os
import random
from collections.abc import Iterator

import pytest
import zstandard

from containerlib.images.archives.compression import compressed, media_type
from containerlib.spec.options import Compression

SIZES = (0, 1, 1 << 20, (1 << 20) + 1, 5_000_000)


def content(size: int) -> bytes:
    source = random.Random(size)
    return b"".join(source.randbytes(500) + b"the quick brown fox " * 30 for _ in range(size // 1100 + 1))[
        :size
    ]


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


@pytest.mark.parametrize("size", SIZES)
def test_compressed_gzip_is_one_member_that_gzip_reads(size: int) -> None:
    data = content(size)
    written = b"".join(compressed(pieces(data, 70_001), "gzip"))
    assert gzip.decompress(written) == data
    assert written.count(b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff") == 1
    assert len(written) <= len(gzip.compress(data)) * 1.02 + 100


@pytest.mark.parametrize("size", SIZES)
def test_compressed_zstd_is_read_back(size: int) -> None:
    data = content(size)
    written = b"".join(compressed(pieces(data, 70_001), "zstd"))
    assert zstandard.ZstdDecompressor().decompressobj().decompress(written) == data


def test_compressed_fast_is_another_way_to_the_same_content() -> None:
    data = content(12_000_000)
    fast, slow = (b"".join(compressed(pieces(data, 70_001), "zstd", fast=fast)) for fast in (True, False))
    assert zstandard.ZstdDecompressor().decompressobj().decompress(fast) == data
    assert fast != slow


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_compressed_does_not_depend_on_pieces_or_processors(
    kind: Compression, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = content(12_000_000)  # of less zstd makes one job, however many threads it has
    written = set()
    for processors, size in ((1, 1 << 20), (2, 4096), (7, 999_983)):
        monkeypatch.setattr(os, "cpu_count", lambda count=processors: count)
        written.add(b"".join(compressed(pieces(data, size), kind)))
    assert len(written) == 1


def test_compressed_none_is_the_content() -> None:
    assert b"".join(compressed(pieces(b"abc", 2), "none")) == b"abc"


def test_compressed_passes_on_what_its_source_raises() -> None:
    def broken() -> Iterator[bytes]:
        yield bytes(3 << 20)
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        list(compressed(broken(), "gzip"))


@pytest.mark.parametrize(("kind", "ending"), [("gzip", "tar+gzip"), ("zstd", "tar+zstd"), ("none", "tar")])
def test_media_type_says_the_compression(kind: Compression, ending: str) -> None:
    assert media_type(kind) == f"application/vnd.oci.image.layer.v1.{ending}"
