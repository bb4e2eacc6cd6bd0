"""What a caller gives to be read or written: a path, or a file that is open for bytes.

    source: a BytesIO, `sys.stdin.buffer`, a pipe, an HTTP answer's body       -> pieces(source)
    target: the same the other way round                                       -> tar.write_to(target, chunks)

A stream is read once and forwards, to its end, and never whole into memory; it stays its owner's to close.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from typing import Protocol

from containerlib.errors import InvalidArgument, StageError

__all__ = ["Readable", "Source", "Target", "Writable", "check_source", "name_of", "pieces", "stream_name"]

_PIECE = 1024 * 1024


class Readable(Protocol):
    """Open for reading bytes: what is raw, buffered, or only has `read`."""

    def read(self, size: int, /) -> bytes | None: ...


class Writable(Protocol):
    """Open for writing bytes."""

    def write(self, data: bytes, /) -> int | None: ...


Source = str | os.PathLike[str] | Readable
"""A path, or a file that is open for reading bytes."""
Target = str | os.PathLike[str] | Writable
"""A path, or a file that is open for writing bytes."""


def name_of(source: Source) -> str:
    """What messages call it."""
    return repr(os.fspath(source)) if isinstance(source, str | os.PathLike) else "what was read"


def stream_name(stream: Readable | Writable) -> str:
    """The path of an open file that has one: what failed."""
    name = getattr(stream, "name", None)
    return name if isinstance(name, str) else f"the {type(stream).__name__}"


def check_source(source: object) -> None:
    """Raises: InvalidArgument(field="source") for what is no path, and gives no bytes."""
    if isinstance(source, str | os.PathLike):
        return
    if not callable(getattr(source, "read", None)) or isinstance(source, io.TextIOBase):
        raise InvalidArgument(
            'a path or a file of bytes is needed: open it with "rb", or write io.BytesIO(data)',
            field="source",
        )
    if getattr(source, "closed", False) is True:
        raise InvalidArgument("the file is closed", field="source")
    if isinstance(source, io.IOBase) and not source.readable():
        raise InvalidArgument('the file is not open for reading: open it with "rb"', field="source")


def pieces(
    stream: Readable, *, stage: str, report: Callable[[int], None] = lambda _: None
) -> Iterator[bytes]:
    """What is left of the stream, in pieces of at most 1 MiB. `report` is told how many bytes have come.

    Raises: InvalidArgument(field="source") for what gives text, or has nothing yet and does not wait;
    StageError(stage) where it cannot be read; what else its `read` raises.
    """
    done = 0
    while True:
        try:
            piece = stream.read(_PIECE)
        except OSError as error:
            raise StageError(stage, error.errno or 0, stream_name(stream)) from error
        if piece is None:
            raise InvalidArgument(
                "the file does not wait for its next bytes: os.set_blocking(file.fileno(), True)",
                field="source",
            )
        if not isinstance(piece, bytes):
            raise InvalidArgument(
                f'its read() gives {type(piece).__name__}, not bytes: open it with "rb"', field="source"
            )
        if not piece:
            return
        done += len(piece)
        report(done)
        yield piece
