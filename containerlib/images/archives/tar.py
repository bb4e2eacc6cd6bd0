"""Writing a tar archive as a stream of bytes: tarfile makes the headers, and wants files for everything else."""

from __future__ import annotations

import errno
import io
import tarfile
from collections.abc import Iterable, Iterator

from containerlib.errors import StageError
from containerlib.images.archives.streams import Writable, stream_name

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


def write_to(out: Writable, chunks: Iterable[bytes]) -> None:
    """Writes all of them, however little `out` takes at a time. Raises: StageError where it does not take them."""
    for chunk in chunks:
        left = chunk
        while left:
            try:
                taken = out.write(left)
            except OSError as error:
                raise StageError("archive", error.errno or 0, stream_name(out)) from error
            if taken is None and isinstance(out, io.RawIOBase):
                advice = "it does not wait: os.set_blocking(file.fileno(), True)"
                raise StageError("archive", errno.EAGAIN, stream_name(out), advice=advice)
            # those that are not a file's may say nothing
            left = left[len(left) if taken is None else taken :]
