"""From a manifest to an image that is here: the one way in, for pull and load.

    download threads     layer 3 ------+
                         layer 2 ---+  |        each blob into a file of its own (ingest.py)
                         layer 1 -+ |  |
    unpacking threads             unpack 1, 2, 3, each following its file while it grows (unpacking.py), at the same
                                  time: what looks at the layers below, the end of each, waits for these
    this thread          then, in one transaction: names for the blobs, the snapshots and the image

Until that transaction there are only temporary names, which belong to a lease (leases.py).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from attrs import evolve

from containerlib.errors import InvalidArgument, Unsupported
from containerlib.images.content.trees import Tree
from containerlib.images.records import Progress
from containerlib.images.root import ImageRoot
from containerlib.images.snapshots.store import Drafts
from containerlib.images.transfer.transfers import Source, Transfer, Transfers
from containerlib.images.transfer.unpacking import unpack
from containerlib.spec.digest import Digest
from containerlib.spec.document import MAX_DOCUMENT
from containerlib.spec.image import Descriptor, ImageConfig, Manifest, MediaType
from containerlib.spec.layer import MAX_LAYERS
from containerlib.store import Content, ImageRow, IndexRow, Origin

if TYPE_CHECKING:
    from containerlib.spec.layer import LayerKind

__all__ = ["assemble"]

Report = Callable[[Progress], None]
_AT_LEAST, _AT_MOST = 3, 6
"""Layers that are unpacked at the same time: all that come at the same time, and no more than memory is meant for."""


def assemble(
    root: ImageRoot,
    manifest: Manifest,
    source: Source,
    *,
    references: Sequence[str],
    report: Report,
    resolved: str = "",
    index: Tree | None = None,
    check: Callable[[ImageConfig], None] | None = None,
    origin: Origin = "pulled",
) -> str:
    """Fetches, unpacks and records the image under `references`; returns its id. Blocks.

    `index` is what the manifest is a part of, to be kept with all that it names. `resolved` is what made it the
    references' image, for a pull to hold against what a registry says next time. `check` sees the config before any
    layer is fetched, and may raise. `origin`: as of the table.

    Whatever it raises, nothing of it is left; blobs and snapshots that were here before are not made again.
    """
    with root.lease() as lease, Transfers(root.content, lease, source, report) as transfers:
        config = _config(manifest, transfers)
        if check is not None:
            check(config)
        chain = config.chain_ids()
        contents, below = _contents(manifest, chain), _below(index)
        lease.keep([*contents, *(("blob", key) for key in below)])
        with Drafts(root.snapshots, lease) as drafts:
            others = index.blobs.values() if index else ()
            _unpack_all(manifest, config, transfers, drafts, others=others, report=report)
            for descriptor, data in _documents(manifest, index):
                transfers.put(descriptor, data)
            drafts.sync()
            with root.table.transaction():
                transfers.adopt()
                drafts.adopt()
                row = _row(root, manifest, chain, kind=drafts.kind, index=index)
                root.table.put(row, contents, below=below, origin=origin)
                for reference in references:
                    root.table.refer(reference, row.id, resolved=resolved, index=row.index)
                root.write_index()
    report(Progress("done", row.id, 0, 0))
    return row.id


def _config(manifest: Manifest, transfers: Transfers) -> ImageConfig:
    """Fetches the config and holds it against the manifest."""
    if manifest.config.media_type not in MediaType.CONFIGS or not all(
        MediaType.is_layer(layer.media_type) for layer in manifest.layers
    ):
        raise Unsupported(
            f"this is an artifact of type {manifest.config.media_type[:100]!r}, not an image that can run"
        )
    if manifest.config.size > MAX_DOCUMENT:
        raise InvalidArgument(
            f"more than {MAX_DOCUMENT} bytes, so not a config", field="manifest.config.size"
        )
    config = ImageConfig.from_bytes(transfers.read(manifest.config))
    if len(config.diff_ids) != len(manifest.layers):
        raise InvalidArgument(
            f"{len(config.diff_ids)} layers, and the manifest has {len(manifest.layers)}",
            field="config.rootfs.diff_ids",
        )
    if len(config.diff_ids) > MAX_LAYERS:
        raise InvalidArgument(
            f"more than {MAX_LAYERS} layers cannot be stacked", field="config.rootfs.diff_ids"
        )
    return config


def _unpack_all(
    manifest: Manifest,
    config: ImageConfig,
    transfers: Transfers,
    drafts: Drafts,
    *,
    others: Iterable[Descriptor],
    report: Report,
) -> None:
    """Starts every download, and unpacks what is not here. The first failure ends all of it.

    `others` are only fetched, after the layers.
    """
    incoming = [transfers.start(blob) for blob in (*manifest.layers, *others)]
    chain = config.chain_ids()
    missing = [i for i, chain_id in enumerate(chain) if not drafts.has(chain_id)]
    drafts.reserve(chain[i] for i in missing)
    workers = min(max(_AT_LEAST, os.cpu_count() or 1), _AT_MOST)
    with ThreadPoolExecutor(workers, thread_name_prefix="containerlib-unpack") as pool:
        below: Future[None] | None = None
        futures = []
        for i in missing:
            job = partial(_unpack_one, manifest, config, incoming[i], drafts, i, below=below, report=report)
            below = pool.submit(job)
            futures.append(below)
        try:
            for future in as_completed(futures):
                future.result()
        except BaseException:
            transfers.abandon()
            pool.shutdown(cancel_futures=True)
            raise
    for transfer in incoming:
        transfer.wait()


def _unpack_one(
    manifest: Manifest,
    config: ImageConfig,
    transfer: Transfer,
    drafts: Drafts,
    index: int,
    *,
    below: Future[None] | None,
    report: Report,
) -> None:
    """One layer. `below` is the job of the last one under it that was not here."""
    chain = config.chain_ids()[: index + 1]
    with _ended(below) as ready:
        size = unpack(
            transfer,
            partial(drafts.prepare, chain, ready),
            diff_id=Digest.parse(config.diff_ids[index]),
            compressed_size=manifest.layers[index].size,
            progress=partial(_report_unpacked, report, str(manifest.layers[index].digest)),
            wait_for_lowers=(lambda: None) if below is None else below.result,
        )
    drafts.done(chain[-1], size)


@contextmanager
def _ended(job: Future[None] | None) -> Iterator[int | None]:
    """A descriptor that is readable once the job has ended, well or not: C code waits for it. None: there is no job.

    Jobs begin in their order, so that none waits for one that nobody works on. Not a pipe: a child that another thread
    forks meanwhile would keep its end open.
    """
    if job is None:
        yield None
        return
    event = os.eventfd(0)
    try:
        job.add_done_callback(partial(_tell, os.dup(event)))
        yield event
    finally:
        os.close(event)


def _tell(event: int, _: object) -> None:
    os.eventfd_write(event, 1)
    os.close(event)


def _report_unpacked(report: Report, digest: str, done: int) -> None:
    report(Progress("unpack", digest, done, 0))


def _row(
    root: ImageRoot,
    manifest: Manifest,
    chain: Sequence[str],
    *,
    kind: LayerKind,
    index: Tree | None,
) -> ImageRow:
    descriptor = manifest.descriptor()
    sizes = root.table.snapshot_sizes()
    whole = IndexRow(str(index.top.digest), index.document.media_type, index.top.size) if index else None
    return ImageRow(
        id=str(manifest.config.digest),
        manifest_digest=str(descriptor.digest),
        manifest_media_type=descriptor.media_type,
        manifest_size=descriptor.size,
        size_bytes=sum(sizes[chain_id, kind] for chain_id in chain),
        chain=tuple(chain),
        created_at=time.time(),
        snapshot_kind=kind,
        index=whole,
    )


def _documents(manifest: Manifest, index: Tree | None) -> Iterator[tuple[Descriptor, bytes]]:
    """What is kept of manifests and indexes, under the digests that they are named by."""
    yield manifest.descriptor(), manifest.to_bytes()
    for digest, document in index.documents.items() if index else ():
        yield evolve(document.descriptor(), digest=digest), document.to_bytes()


def _contents(manifest: Manifest, chain: Sequence[str]) -> list[Content]:
    """What the image keeps from collection."""
    digests = [
        manifest.config.digest,
        manifest.descriptor().digest,
        *(layer.digest for layer in manifest.layers),
    ]
    blobs: list[Content] = [("blob", str(digest)) for digest in digests]
    return [*blobs, *(("snapshot", chain_id) for chain_id in chain)]


def _below(index: Tree | None) -> list[str]:
    """The blobs that the index keeps: itself, and all below it."""
    return [str(digest) for digest in (*index.documents, *index.blobs)] if index else []
