"""Layers as they are stored, as the tar streams that they hold.

Which compression it is, is seen in the first bytes, as Docker does it: media types are often wrong. isal's
igzip inflates about three times as fast as zlib, which stands in where there is no isal. Every decoder's
output is taken in pieces of bounded size, whatever the ratio.
"""

from __future__ import annotations

import io
import queue
import threading
import zlib
from collections.abc import Generator, Iterator
from contextlib import suppress
from typing import IO, Any, cast

from containerlib.errors import InvalidArgument, Unsupported

__all__ = ["ahead", "decoded"]

_PIECE = 256 * 1024
"""Eight of them wait for each layer that is unpacked; larger ones are no faster (measured)."""
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE = b"\x2a\x4d\x18"
_FOREIGN = {b"\xfd7zXZ\x00": "xz", b"1AY&SY": "bzip2"}  # the latter after "BZh" and a digit


def decoded(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The decompressed bytes of `chunks`, in pieces of at most 256 KiB.

    Raises: InvalidArgument(field="layer") where they are damaged; Unsupported for a compression other than
    gzip and zstd.
    """
    head = b""
    for chunk in chunks:
        head += chunk
        if len(head) >= 10:
            break
    if head.startswith(_GZIP):
        return _gunzip(head, chunks)
    if head.startswith(_ZSTD) or head[1:4] == _ZSTD_SKIPPABLE:
        return _unzstd(head, chunks)
    for magic, name in _FOREIGN.items():
        if magic in (head[:6], head[4:10]):
            raise Unsupported(f"the layer is compressed with {name}: write it again with gzip or zstd")
    return _plain(head, chunks)


def _plain(head: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    if head:
        yield head
    yield from chunks


def _gunzip(head: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Every member of a gzip file, one after the other; zeros after the last are padding."""
    data, member = head, _gzip_member()
    try:
        while True:
            piece = member.decompress(data, _PIECE)
            if piece:
                yield piece
            data = b""
            if member.eof:
                data = member.unused_data.lstrip(b"\0") or next(chunks, b"").lstrip(b"\0")
                if not data:
                    if any(chunk.strip(b"\0") for chunk in chunks):
                        raise InvalidArgument("there is something after its end", field="layer")
                    return
                member = _gzip_member()
            elif member.needs_input:
                data = next(chunks, b"")
                if not data:
                    raise InvalidArgument("its gzip stream ends too early", field="layer")
    except _gzip_errors() as error:
        raise InvalidArgument(f"its gzip stream is damaged: {error}", field="layer") from error


def _unzstd(head: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    import zstandard  # noqa: PLC0415 - few images need it, and it takes 10 ms

    reader = zstandard.ZstdDecompressor().stream_reader(
        cast("IO[bytes]", _Stream(head, chunks)), read_size=256 * 1024, read_across_frames=True
    )
    try:
        while piece := reader.read(_PIECE):
            yield piece
    except zstandard.ZstdError as error:
        raise InvalidArgument(f"its zstd stream is damaged: {error}", field="layer") from error


class _Stream(io.RawIOBase):
    """Chunks as a file."""

    def __init__(self, head: bytes, chunks: Iterator[bytes]) -> None:
        self._rest = head
        self._chunks = chunks

    def read(self, size: int = -1) -> bytes:
        data = self._rest or next(self._chunks, b"")
        if 0 <= size < len(data):
            data, self._rest = data[:size], data[size:]
        else:
            self._rest = b""
        return data


class _ZlibMember:
    """zlib with igzip's interface."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(wbits=31)
        self._full = False

    def decompress(self, data: bytes, max_length: int) -> bytes:
        piece = self._inflate.decompress(self._inflate.unconsumed_tail + data, max_length)
        self._full = len(piece) == max_length  # then it may hold back more, without any input left
        return piece

    @property
    def eof(self) -> bool:
        return self._inflate.eof

    @property
    def needs_input(self) -> bool:
        return not self._inflate.unconsumed_tail and not self._full

    @property
    def unused_data(self) -> bytes:
        return self._inflate.unused_data


def _gzip_member() -> Any:
    try:
        from isal import igzip_lib  # noqa: PLC0415 - may be missing
    except ImportError:
        return _ZlibMember()
    return igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)


def _gzip_errors() -> tuple[type[Exception], ...]:
    try:
        from isal import isal_zlib  # noqa: PLC0415 - may be missing
    except ImportError:
        return (zlib.error,)
    return (zlib.error, cast("type[Exception]", isal_zlib.error))


def ahead(items: Iterator[bytes], depth: int = 8) -> Generator[bytes, None, None]:
    """The same items, made in a thread of their own up to `depth` ahead of their use.

    What the thread raises is raised here. Closing the generator lets the thread end after the item it is at;
    it is not waited for, because that item may be a download's next bytes.
    """
    ready: queue.Queue[bytes | BaseException | None] = queue.Queue(depth)
    stopped = threading.Event()

    def produce() -> None:
        try:
            for item in items:
                ready.put(item)
                if stopped.is_set():
                    return
            ready.put(None)
        except BaseException as error:  # raised again where the items are used
            ready.put(error)

    threading.Thread(target=produce, name="containerlib-decode", daemon=True).start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        with suppress(queue.Empty):
            while True:  # room for the item that the thread may be at: it ends after that
                ready.get_nowait()
