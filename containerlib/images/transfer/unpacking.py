"""One layer from its compressed bytes to a snapshot, while the bytes still come.

    transfer -> [thread: decompress] -> sha256 of the diff -> Draft

The draft is of use only when this returns: then what was unpacked is what the image's config promised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from containerlib.errors import InvalidArgument, RegistryError
from containerlib.images.snapshots.snapshotter import Draft
from containerlib.images.transfer.decoding import ahead, decoded
from containerlib.images.transfer.transfers import Transfer
from containerlib.spec.digest import Digest, Hasher

__all__ = ["unpack"]

MAX_RATIO = 200
ALWAYS_ALLOWED_BYTES = 1024**3


def unpack(
    transfer: Transfer,
    draft: Draft,
    *,
    diff_id: Digest,
    compressed_size: int,
    progress: Callable[[int], None],
    wait_for_lowers: Callable[[], None],
) -> int:
    """Feeds a layer to `draft`, which it finishes and closes; returns the bytes of its files. Blocks until it has come.

    `wait_for_lowers` returns when the layers below are finished, or raises what became of them.

    Raises: InvalidArgument(field="layer") for a layer that is damaged, hostile or too large for its
    compressed size; RegistryError(code="DIGEST_INVALID") where it is not `diff_id`; StageError; what the
    transfer raises.
    """
    hasher = Hasher(diff_id.algorithm)
    pieces = ahead(_decoded(transfer))
    try:
        for piece, total in _bounded(pieces, compressed_size):
            hasher.update(piece)
            draft.feed(piece)
            progress(total)
        wait_for_lowers()
        size = draft.finish()
    except InvalidArgument:
        transfer.wait()  # bytes that came wrong explain the rest, and that is for the transfer to say
        raise
    finally:
        draft.close()
        pieces.close()
    if hasher.digest() != diff_id:
        raise RegistryError(
            f"a layer unpacks to {hasher.digest()}, and the image's config says {diff_id}: push it anew",
            code="DIGEST_INVALID",
        )
    return size


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
