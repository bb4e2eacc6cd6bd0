"""An image of a tar stream: imported, committed from a container, or squashed from another image.

    tar stream -> sha256 (the diff_id) -> compress -> a temporary blob, hashed -> assemble, as if it had been pulled

The new layer is unpacked again from what was written, so that what runs here is what others will pull.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress

from attrs import frozen

from containerlib.errors import Conflict, InvalidArgument
from containerlib.images.archives.compression import compressed, media_type
from containerlib.images.archives.configs import ConfigChanges, History, child_config, without_processes
from containerlib.images.archives.layer import layer_entries, layer_tar
from containerlib.images.content.ingest import Ingest
from containerlib.images.records import Progress
from containerlib.images.root import ImageRoot
from containerlib.images.snapshots.merged import MergedTree
from containerlib.images.transfer.assembly import assemble
from containerlib.spec.descriptor import Annotations
from containerlib.spec.digest import Digest, Hasher
from containerlib.spec.image import Descriptor, ImageConfig, Manifest, MediaType
from containerlib.spec.layer import Layer
from containerlib.spec.options import Compression

__all__ = ["Base", "NewLayer", "add_layers", "squash"]

_PIECE = 1024 * 1024
_NOTHING = Digest.of(b"")
_OCI = {
    "application/vnd.docker.image.rootfs.diff.tar": MediaType.LAYER,
    "application/vnd.docker.image.rootfs.diff.tar.gzip": MediaType.LAYER_GZIP,
    "application/vnd.docker.image.rootfs.diff.tar.zstd": MediaType.LAYER_ZSTD,
}
"""The same bytes by OCI's names."""


@frozen
class Base:
    """What the new layer comes on top of; by default nothing."""

    config: bytes = b"{}"
    layers: tuple[Descriptor, ...] = ()
    diff_ids: tuple[Digest, ...] = ()

    @classmethod
    def of(cls, manifest: Manifest, config: ImageConfig) -> Base:
        layers = tuple(
            Descriptor(_OCI.get(layer.media_type, layer.media_type), layer.digest, layer.size)
            for layer in manifest.layers
        )
        diff_ids = tuple(Digest.parse(text) for text in config.diff_ids)
        count = len(layers) - config.is_checkpoint
        return cls(without_processes(config.to_bytes()), layers[:count], diff_ids[:count])


@frozen
class NewLayer:
    """A tar archive, and how it comes into the config. `fast`: it is wanted soon, rather than small."""

    chunks: Iterable[bytes]
    history: History
    compression: Compression = "gzip"
    fast: bool = False


def add_layers(
    root: ImageRoot,
    base: Base,
    layers: Sequence[NewLayer],
    *,
    changes: ConfigChanges,
    keep_history: bool = True,
    annotations: Annotations = (),
    references: Sequence[str] = (),
    report: Callable[[Progress], None] = lambda _: None,
) -> str:
    """Makes the image that has `layers`, the lowest first, on top of `base`; returns its id. Blocks.

    Raises: InvalidArgument(field="layer") for what is no layer; StageError; whatever `chunks` raises. Nothing is left
    behind then.
    """
    with root.lease() as lease, ExitStack() as undo:
        config, diff_ids, paths = base.config, list(base.diff_ids), dict[Digest, str]()
        described = list(base.layers)
        for new in layers:
            path = lease.temporary(root.content.ingest)
            undo.callback(_unlink, path)
            layer, diff_id = _write_layer(path, new)
            paths[layer.digest] = path
            described.append(layer)
            diff_ids.append(diff_id)
            last = changes if new is layers[-1] else ConfigChanges()
            config = child_config(config, diff_ids, new.history, last, keep_history=keep_history)
        document = Descriptor(MediaType.CONFIG, Digest.of(config), len(config))
        manifest = Manifest(document, tuple(described), annotations=annotations)
        source = _Made(paths, config)
        return assemble(root, manifest, source, references=references, report=report, origin="made")


def _unlink(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)


def squash(
    root: ImageRoot,
    layers: Sequence[str | Layer],
    config: ImageConfig,
    *,
    history: History,
    compression: Compression,
    references: Sequence[str],
) -> str:
    """Makes an image of what `layers` (top first) show together, with `config`; returns its id. Blocks.

    Raises: StageError.
    """
    with MergedTree(layers) as tree:
        return add_layers(
            root,
            Base(without_processes(config.to_bytes())),
            [NewLayer(layer_tar(layer_entries(tree.walk())), history, compression)],
            changes=ConfigChanges(),
            keep_history=False,
            references=references,
        )


def _write_layer(path: str, new: NewLayer) -> tuple[Descriptor, Digest]:
    diff = Hasher()
    ingest = Ingest(path)
    try:
        for piece in compressed(_hashed(new.chunks, diff), new.compression, fast=new.fast):
            ingest.write(piece)
        if diff.digest() == _NOTHING:
            raise InvalidArgument("it is empty, and an archive of no files is not", field="layer")
        digest = ingest.finish()
    finally:
        ingest.close()
    return Descriptor(media_type(new.compression), digest, ingest.written), diff.digest()


def _hashed(chunks: Iterable[bytes], hasher: Hasher) -> Iterator[bytes]:
    for chunk in chunks:
        hasher.update(chunk)
        yield chunk


@frozen
class _Made:
    """The blobs that were not there before: the layers' by their digests, in files, and the config."""

    paths: Mapping[Digest, str]
    config: bytes

    def fetch(self, descriptor: Descriptor, ingest: Ingest) -> None:
        path = self.paths.get(descriptor.digest)
        if path is None:
            if not descriptor.digest.matches(self.config):
                raise Conflict(
                    f"the base image's blob {descriptor.digest} was removed meanwhile: pull it again"
                )
            ingest.write(self.config)
            return
        with open(path, "rb", buffering=0) as file:
            while piece := file.read(_PIECE):
                ingest.write(piece)

    def stop(self) -> None:
        """Files do not keep anyone waiting."""
