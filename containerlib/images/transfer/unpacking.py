"""One layer from its compressed bytes to a directory, while the bytes still come.

    transfer -> [thread: decompress] -> sha256 of the diff -> LayerWriter

The directory is of use only when this returns: then what was unpacked is what the image's config promised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from containerlib.errors import InvalidArgument, RegistryError
from containerlib.images.transfer.decoding import ahead, decoded
from containerlib.images.transfer.transfers import Transfer
from containerlib.spec.digest import Digest, Hasher

__all__ = ["LayerWriterFactory", "default_writer", "unpack"]

MAX_RATIO = 200
ALWAYS_ALLOWED_BYTES = 1024**3


class Stats(Protocol):
    @property
    def bytes(self) -> int: ...


class Writer(Protocol):
    """What is used of `containerlib._sys.layers.LayerWriter`."""

    def feed(self, data: bytes) -> None: ...
    def finish(self) -> Stats: ...
    def close(self) -> None: ...


class LayerWriterFactory(Protocol):
    def __call__(self, directory: str, *, lowers: Sequence[str]) -> Writer: ...


def default_writer(directory: str, *, lowers: Sequence[str]) -> Writer:
    """The real one."""
    from containerlib._sys.layers import LayerWriter  # noqa: PLC0415 - loads the extension

    return LayerWriter(directory, lowers=lowers)


def unpack(
    transfer: Transfer,
    directory: str,
    *,
    lowers: Sequence[str],
    diff_id: Digest,
    compressed_size: int,
    writer: LayerWriterFactory,
    progress: Callable[[int], None],
) -> int:
    """Unpacks a layer into `directory`; returns the bytes of its files. Blocks until it has come.

    Raises: InvalidArgument(field="layer") for a layer that is damaged, hostile or too large for its
    compressed size; RegistryError(code="DIGEST_INVALID") where it is not `diff_id`; StageError; what the
    transfer raises.
    """
    hasher = Hasher(diff_id.algorithm)
    pieces = ahead(_decoded(transfer))
    layer = writer(directory, lowers=lowers)
    try:
        for piece, total in _bounded(pieces, compressed_size):
            hasher.update(piece)
            layer.feed(piece)
            progress(total)
        stats = layer.finish()
    except InvalidArgument:
        transfer.wait()  # bytes that came wrong explain the rest, and that is for the transfer to say
        raise
    finally:
        layer.close()
        pieces.close()
    if hasher.digest() != diff_id:
        raise RegistryError(
            f"a layer unpacks to {hasher.digest()}, and the image's config says {diff_id}: push it anew",
            code="DIGEST_INVALID",
        )
    return stats.bytes


def _bounded(pieces: Iterable[bytes], compressed_size: int) -> Iterator[tuple[bytes, int]]:
    """Each piece with the bytes up to its end. Raises: InvalidArgument beyond what so few bytes may unpack to."""
    limit = max(ALWAYS_ALLOWED_BYTES, MAX_RATIO * compressed_size)
    total = 0
    for piece in pieces:
        total += len(piece)
        if total > limit:
            raise InvalidArgument(
                f"{compressed_size} bytes unpack to more than {limit}: this is no honest layer",
                field="layer",
            )
        yield piece, total


def _decoded(transfer: Transfer) -> Iterator[bytes]:
    """Decoding from its first byte on in the thread that asks for the first piece."""
    yield from decoded(transfer.chunks())
