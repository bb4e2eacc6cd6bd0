"""What skopeo, podman and buildah find an image by in an OCI layout that has Docker's media types.

    index.json   name -> our index (OCI's type) -> manifest          found by those that know no other type there
                 name -> manifest, or manifest list (Docker's type)  what the image is, with the digest that it has

They pass over what has another type than OCI's in index.json itself, and open whatever an index of that type names. So
one of ours stands beside it, that names the same manifests, whose bytes and digests stay. What it stands for comes
last, which is what counts for those that take both.

Spec: image-spec image-layout.md#indexjson-file
"""

from __future__ import annotations

from attrs import evolve

from containerlib.errors import Error
from containerlib.images.content.trees import Read, read_document
from containerlib.spec.descriptor import Descriptor, MediaType
from containerlib.spec.image import Index

__all__ = ["STANDS_FOR", "named_in_layout", "stand_in"]

STANDS_FOR = "io.containerlib.stands-for"
"""The annotation with the digest of what such an index is there for."""


def stand_in(top: Descriptor, read: Read) -> Index | None:
    """An OCI index of the manifests that `top` leads to; None where `top` has OCI's type, or cannot be read."""
    if top.media_type == MediaType.DOCKER_MANIFEST:
        return Index((top,))
    if top.media_type != MediaType.DOCKER_LIST:
        return None
    try:
        document = read_document(top, read)
    except Error:  # it is damaged, which `verify` says and repairs
        return None
    return Index(document.manifests) if isinstance(document, Index) else None


def named_in_layout(top: Descriptor, index: Index | None) -> list[Descriptor]:
    """The entries for `top` in index.json, `index` being what stands in for it."""
    if index is None:
        return [top]
    return [evolve(index.descriptor(), annotations={STANDS_FOR: str(top.digest)}), top]
