"""Damaged blobs, fetched again from the registries that their images were pulled from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing

from containerlib.errors import Error, InvalidArgument, NotFound
from containerlib.images.content.ingest import Ingest
from containerlib.images.content.verify import Damage, is_whole
from containerlib.images.registry.client import Registry
from containerlib.images.root import ImageRoot
from containerlib.spec.digest import Digest
from containerlib.spec.image import Descriptor, Manifest
from containerlib.spec.reference import Reference
from containerlib.store import ImageRow

__all__ = ["repair"]


def repair(
    root: ImageRoot, damaged: Sequence[Damage], connect: Callable[[str], Registry]
) -> tuple[list[str], list[str]]:
    """Digests of the blobs that are whole again, and a sentence for each that is not.

    A manifest comes before what it names, because it says their sizes. `connect` makes the client of a registry.
    """
    rows = {row.id: row for row in root.table.list()}
    manifests = {row.manifest_digest for row in rows.values()}
    repaired, failures = [], []
    for damage in sorted(damaged, key=lambda damage: damage.digest not in manifests):
        images = [rows[image] for image in damage.images if image in rows]
        try:
            _fetch(root, Digest.parse(damage.digest), images, connect)
        except (Error, OSError) as error:
            failures.append(f"{damage.digest}: {error}")
        else:
            repaired.append(damage.digest)
    return repaired, failures


def _fetch(
    root: ImageRoot, digest: Digest, images: Sequence[ImageRow], connect: Callable[[str], Registry]
) -> None:
    """From the first registry that has it."""
    trouble: Error = NotFound("no image that needs it has a name in a registry: load or pull it again")
    for row in images:
        for reference in map(Reference.parse, row.references):
            try:
                with connect(reference.registry) as registry:
                    _fetch_from(root, registry, reference, row, digest)
            except Error as error:
                trouble = error
            else:
                return
    raise trouble


def _fetch_from(
    root: ImageRoot, registry: Registry, reference: Reference, row: ImageRow, digest: Digest
) -> None:
    with root.lease() as lease:
        lease.keep([("blob", str(digest))])
        path = lease.temporary(root.content.ingest)
        if str(digest) == row.manifest_digest:
            place = Reference(reference.registry, reference.repository, digest=digest)
            ingest = Ingest(path, digest, row.manifest_size)
            with closing(ingest):
                ingest.write(registry.manifest(place)[0])
                ingest.finish()
        else:
            descriptor = _descriptor(root, row, digest)
            ingest = Ingest(path, digest, descriptor.size)
            with closing(ingest):
                registry.fetch(reference.repository, descriptor, ingest)
                ingest.finish()
        with root.table.transaction():
            root.content.adopt(path, digest)


def _descriptor(root: ImageRoot, row: ImageRow, digest: Digest) -> Descriptor:
    manifest_digest = Digest.parse(row.manifest_digest)
    if not is_whole(root.content, manifest_digest):
        raise InvalidArgument("its manifest is damaged, and has to be repaired first", field="manifest")
    manifest = Manifest.from_bytes(root.content.read(manifest_digest))
    for descriptor in (manifest.config, *manifest.layers):
        if descriptor.digest == digest:
            return descriptor
    raise NotFound(f"the manifest of {row.id} does not name it")
