"""What hangs on a manifest or an index: every document below it, and their blobs.

    tree = read_tree(top_of(row, name), read)       # `read` gives the bytes that a descriptor names
    tree.documents                                    # by digest: what others name before those, the top last
    tree.blobs                                        # configs and layers by digest, each once

Spec: image-spec image-index.md: an index may be in an index.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from attrs import field, frozen

from containerlib.errors import InvalidArgument
from containerlib.spec.digest import Digest
from containerlib.spec.image import Descriptor, Index, Manifest, parse_manifest
from containerlib.store import ImageRow, IndexRow

__all__ = [
    "MAX_NESTING",
    "Document",
    "Read",
    "Tree",
    "index_of",
    "manifest_of",
    "names_of",
    "read_document",
    "read_tree",
    "too_deep",
    "top_of",
]

MAX_NESTING = 3
"""How many documents one may have to open to come to a manifest."""
_MAX_DOCUMENTS = 1000
_MAX_BYTES = 32 * 1024 * 1024
"""Of all documents, which are in memory together."""

Document = Manifest | Index
Read = Callable[[Descriptor], bytes]


@frozen
class Tree:
    """A manifest with its blobs, or an index with all that is below it."""

    top: Descriptor
    documents: dict[Digest, Document] = field(factory=dict)
    blobs: dict[Digest, Descriptor] = field(factory=dict)

    @property
    def document(self) -> Document:
        """The one at the top."""
        return self.documents[self.top.digest]


def read_tree(
    top: Descriptor,
    read: Read,
    *,
    leave: Callable[[Descriptor], bool] = lambda _: False,
    read_ahead: Callable[[Sequence[Descriptor]], None] = lambda _: None,
) -> Tree:
    """All that `top` leads to, but the blobs that `leave` says are not wanted.

    `read_ahead` is told what of an index will be read, before the first of it is.

    Raises: InvalidArgument for what is not as its descriptor says, nested too deep, or too much; as `read`.
    """
    tree, seen = Tree(top), dict[Digest, Descriptor]()

    def visit(descriptor: Descriptor, depth: int) -> None:
        document = read_document(descriptor, read)
        if isinstance(document, Index):
            if depth == MAX_NESTING:
                raise too_deep()
            _note(document.manifests, seen)
            read_ahead(document.manifests)
            for entry in document.manifests:
                if entry.digest not in tree.documents:
                    visit(entry, depth + 1)
        else:
            for blob in (document.config, *document.layers):
                if not leave(blob):
                    _check_same(tree.blobs.setdefault(blob.digest, blob), blob)
        tree.documents[descriptor.digest] = document

    _note((top,), seen)
    visit(top, 1)
    return tree


def _note(entries: Iterable[Descriptor], seen: dict[Digest, Descriptor]) -> None:
    """Raises: InvalidArgument where they do not agree with what is in `seen`, or are too much together with it."""
    for entry in entries:
        _check_same(seen.setdefault(entry.digest, entry), entry, of_type=True)
    if len(seen) > _MAX_DOCUMENTS:
        raise InvalidArgument(f"more than {_MAX_DOCUMENTS} manifests are in it", field="index")
    if sum(entry.size for entry in seen.values()) > _MAX_BYTES:
        raise InvalidArgument(f"its manifests have more than {_MAX_BYTES} bytes", field="index")


def read_document(descriptor: Descriptor, read: Read) -> Document:
    """The manifest or index that `descriptor` names. Raises: InvalidArgument where it is not what that says it is."""
    data = read(descriptor)
    if len(data) != descriptor.size:
        raise InvalidArgument(
            f"{descriptor.digest} has {len(data)} bytes, and was announced with {descriptor.size}",
            field="manifest.size",
        )
    return parse_manifest(data, descriptor.media_type)


def too_deep() -> InvalidArgument:
    return InvalidArgument("it has indexes in indexes in indexes", field="index")


def manifest_of(row: ImageRow) -> Descriptor:
    """What names the image's own manifest."""
    return Descriptor(row.manifest_media_type, Digest.parse(row.manifest_digest), row.manifest_size)


def index_of(row: ImageRow, reference: str | None) -> IndexRow | None:
    """The index that the image's name stands for, or, without a name, that it was last taken from; if it is here."""
    return row.index if reference is None else dict(row.indexes).get(reference)


def top_of(row: ImageRow, reference: str | None) -> Descriptor:
    """What the image is under that name: the index around it that is here with all its platforms, or its manifest."""
    index = index_of(row, reference)
    if index is None:
        return manifest_of(row)
    return Descriptor(index.media_type, Digest.parse(index.digest), index.size)


def names_of(row: ImageRow) -> tuple[str | None, ...]:
    """The names that it is written down under: None once, where it has none."""
    return row.references or (None,)


def _check_same(known: Descriptor, other: Descriptor, *, of_type: bool = False) -> None:
    """One layer may well have Docker's type in one manifest, and OCI's in another."""
    if known.size != other.size or (of_type and known.media_type != other.media_type):
        raise InvalidArgument(f"{other.digest} is there twice, with other sizes or types", field="index")
