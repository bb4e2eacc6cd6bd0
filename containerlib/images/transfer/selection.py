"""Which entry of an index is the image for a machine."""

from __future__ import annotations

from collections.abc import Sequence

from containerlib.errors import NotFound
from containerlib.images.content.trees import MAX_NESTING, Read, read_document, too_deep
from containerlib.spec.image import Descriptor, Index, Manifest
from containerlib.spec.platform import Platform, choose

__all__ = ["choose_manifest", "select"]

_MAX_NAMES, _MAX_NAME = 50, 100
"""Of what a message names: the registry wrote it."""


def choose_manifest(top: Descriptor, read: Read, platforms: Sequence[Platform], subject: str) -> Manifest:
    """Follows indexes down from `top` to the manifest for the first of `platforms` that there is.

    Raises: NotFound, as `select`; InvalidArgument where a document is not what its descriptor says; as `read`.
    """
    descriptor = top
    for _ in range(MAX_NESTING):
        document = read_document(descriptor, read)
        if isinstance(document, Manifest):
            return document
        descriptor = select(document, platforms, subject)
    raise too_deep()


def select(index: Index, platforms: Sequence[Platform], subject: str) -> Descriptor:
    """The index's entry for the first of `platforms` that it has; its only entry, if that says no platform.

    Raises: NotFound, with what there is.
    """
    offered = [entry.platform for entry in index.manifests]
    if len(offered) == 1 and offered[0] is None:
        return index.manifests[0]
    position = choose(platforms, offered)
    if position is None:
        names = sorted({str(p)[:_MAX_NAME] for p in offered if p and p.os != "unknown"})
        there = ", ".join([*names[:_MAX_NAMES], *(["..."] if len(names) > _MAX_NAMES else [])]) or "none"
        raise NotFound(f"{subject} has no image for {platforms[0]}; there is: {there}")
    return index.manifests[position]
