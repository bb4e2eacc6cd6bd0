"""Damaged blobs, fetched again from the registries that their images were pulled from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing

from containerlib.errors import Error, InvalidArgument, NotFound
from containerlib.images.content.ingest import Ingest
from containerlib.images.content.trees import manifest_of, read_document, top_of
from containerlib.images.content.verify import Damage, is_whole
from containerlib.images.registry.client import Registry
from containerlib.images.root import ImageRoot
from containerlib.spec.digest import Digest
from containerlib.spec.image import Descriptor, Index
from containerlib.spec.reference import Reference
from containerlib.store import ImageRow

__all__ = ["repair"]


def repair(
    root: ImageRoot, damaged: Sequence[Damage], connect: Callable[[str], Registry]
) -> tuple[list[str], list[str]]:
    """Digests of the blobs that are whole again, and a sentence for each that is not.

    A manifest comes before what it names, because it says their sizes: what fails is tried again for as long as
    something else was repaired. `connect` makes the client of a registry.
    """
    rows = {row.id: row for row in root.table.list()}
    repaired: list[str] = []
    left = list(damaged)
    while True:
        failures: dict[str, str] = {}
        for damage in left:
            images = [rows[image] for image in damage.images if image in rows]
            try:
                _fetch(root, Digest.parse(damage.digest), images, connect)
            except (Error, OSError) as error:
                failures[damage.digest] = f"{damage.digest}: {error}"
            else:
                repaired.append(damage.digest)
        if len(failures) in (0, len(left)):
            return repaired, list(failures.values())
        left = [damage for damage in left if damage.digest in failures]


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
        descriptor, is_document = _find(root, row, digest)
        ingest = Ingest(path, digest, descriptor.size)
        with closing(ingest):
            if is_document:
                place = Reference(reference.registry, reference.repository, digest=digest)
                ingest.write(registry.manifest(place).data)
            else:
                registry.fetch(reference.repository, descriptor, ingest)
            ingest.finish()
        with root.table.transaction():
            root.content.adopt(path, digest)


def _find(root: ImageRoot, row: ImageRow, digest: Digest) -> tuple[Descriptor, bool]:
    """What names the blob in the image or its indexes, and whether it is a manifest or index itself."""
    names = [manifest_of(row), *(top_of(row, name) for name in (None, *row.references))]
    damaged = False
    while names:
        name = names.pop()
        if name.digest == digest:
            return name, True
        if not is_whole(root.content, name.digest):
            damaged = True
            continue
        document = read_document(name, lambda name: root.content.read(name.digest))
        if isinstance(document, Index):
            names += document.manifests
            continue
        for blob in (document.config, *document.layers):
            if blob.digest == digest:
                return blob, False
    if damaged:
        raise InvalidArgument("its manifest is damaged, and has to be repaired first", field="manifest")
    raise NotFound(f"the manifest of {row.id} does not name it")
