"""One layer from its compressed bytes to a snapshot, while the bytes still come.

    transfer -> [thread: decompress] -> sha256 of the diff -> Draft

The draft is of use only when this returns: then what was unpacked is what the image's config promised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from containerlib.errors import InvalidArgument, RegistryError
from containerlib.images.content.ingest import Restarted
from containerlib.images.snapshots.snapshotter import Draft
from containerlib.images.transfer.decoding import ahead, decoded
from containerlib.images.transfer.transfers import Transfer
from containerlib.spec.digest import Digest, Hasher

__all__ = ["Count", "bounded", "unpack"]

MAX_RATIO = 200
ALWAYS_ALLOWED_BYTES = 1024**3
_AHEAD = 64 * 1024 * 1024
"""How much of a layer may be believed in that has not come: what is packed best may be at its start."""


def unpack(
    transfer: Transfer,
    prepare: Callable[[], Draft],
    *,
    diff_id: Digest,
    compressed_size: int,
    progress: Callable[[int], None] = lambda _: None,
    wait_for_lowers: Callable[[], None] = lambda: None,
) -> int:
    """Feeds a layer to a draft, which it finishes and closes; returns the bytes of its files. Blocks until it has come.

    A layer that comes again, because what came was not what its digest says, gets a new draft. `wait_for_lowers`
    returns when the layers below are finished, or raises what became of them.

    Raises: InvalidArgument(field="layer") for a layer that is damaged, hostile or too large for its
    compressed size; RegistryError(code="DIGEST_INVALID") where it is not `diff_id`; StageError; what the
    transfer raises.
    """
    while True:
        restarts = transfer.restarts
        try:
            size, unpacked = _unpack(
                transfer,
                prepare(),
                algorithm=diff_id.algorithm,
                compressed_size=compressed_size,
                progress=progress,
                wait_for_lowers=wait_for_lowers,
            )
        except (InvalidArgument, Restarted):
            transfer.wait()  # bytes that came wrong explain the rest, and that is for the transfer to say
            if transfer.restarts == restarts:
                raise
        else:
            break
    if unpacked != diff_id:
        raise RegistryError(
            f"a layer unpacks to {unpacked}, and the image's config says {diff_id}: push it anew",
            code="DIGEST_INVALID",
        )
    return size


def _unpack(
    transfer: Transfer,
    draft: Draft,
    *,
    algorithm: str,
    compressed_size: int,
    progress: Callable[[int], None],
    wait_for_lowers: Callable[[], None],
) -> tuple[int, Digest]:
    hasher = Hasher(algorithm)
    received = Count()
    pieces = ahead(_decoded(transfer, received))
    try:
        for piece, total in bounded(pieces, compressed_size, received):
            hasher.update(piece)
            draft.feed(piece)
            progress(total)
        wait_for_lowers()
        return draft.finish(), hasher.digest()
    finally:
        draft.close()
        pieces.close()


class Count:
    """How many bytes have come."""

    def __init__(self) -> None:
        self.bytes = 0

    def of(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self.bytes += len(chunk)
            yield chunk


def bounded(
    pieces: Iterable[bytes], compressed_size: int | None, received: Count
) -> Iterator[tuple[bytes, int]]:
    """Each piece with the bytes up to its end. Raises: InvalidArgument beyond what so few bytes may unpack to.

    `compressed_size` is what a manifest says, and only until so many bytes would have come is it known to be a lie.
    None: nothing is said, and what has come counts.
    """
    total = 0
    for piece in pieces:
        total += len(piece)
        come = received.bytes
        size = come if compressed_size is None else min(compressed_size, come + _AHEAD)
        limit = max(ALWAYS_ALLOWED_BYTES, MAX_RATIO * size)
        if total > limit:
            raise InvalidArgument(
                f"{size} bytes unpack to more than {limit}: this is no honest layer",
                field="layer",
            )
        yield piece, total


def _decoded(transfer: Transfer, received: Count) -> Iterator[bytes]:
    """Decoding from its first byte on in the thread that asks for the first piece."""
    yield from decoded(received.of(transfer.chunks()))
