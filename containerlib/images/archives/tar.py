"""Writing a tar archive as a stream of bytes: tarfile makes the headers, and wants files for everything else."""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator
from typing import IO

from containerlib.errors import StageError

__all__ = ["END", "header", "member", "write_to"]

END = bytes(2 * tarfile.BLOCKSIZE)
"""What an archive ends with."""


def header(info: tarfile.TarInfo) -> bytes:
    """The blocks before the content: pax where plain ustar cannot say it."""
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def member(info: tarfile.TarInfo, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """A member whose content, `info.size` bytes, is `chunks`."""
    yield header(info)
    yield from chunks
    if padding := -info.size % tarfile.BLOCKSIZE:
        yield bytes(padding)


def write_to(out: IO[bytes], chunks: Iterable[bytes]) -> None:
    """Raises: StageError where `out` does not take them."""
    for chunk in chunks:
        try:
            out.write(chunk)
        except OSError as error:
            raise StageError("archive", error.errno or 0, str(getattr(out, "name", "the archive"))) from error
