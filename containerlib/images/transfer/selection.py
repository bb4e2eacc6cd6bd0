"""Which entry of an index is the image for a machine, and whether an image that comes alone is."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import evolve

from containerlib.errors import NotFound
from containerlib.images.content.trees import MAX_NESTING, Read, read_document, too_deep
from containerlib.spec.image import Descriptor, ImageConfig, Index, Manifest
from containerlib.spec.platform import Platform, Wanted, choose

__all__ = ["check_alone", "choose_manifest", "fits_alone", "named", "select"]

_MAX_NAMES, _MAX_NAME = 50, 100
"""Of what a message names: the registry wrote it."""


def choose_manifest(top: Descriptor, read: Read, wanted: Wanted, subject: str) -> tuple[Descriptor, Manifest]:
    """Follows indexes down from `top` to the manifest that is wanted, and what names that.

    Raises: NotFound, as `select`; InvalidArgument where a document is not what its descriptor says; as `read`.
    """
    descriptor = top
    for _ in range(MAX_NESTING):
        document = read_document(descriptor, read)
        if isinstance(document, Manifest):
            return descriptor, document
        descriptor = select(document, wanted, subject)
    raise too_deep()


def select(index: Index, wanted: Wanted, subject: str) -> Descriptor:
    """The index's entry for what is wanted; its only entry, if that says no platform.

    Raises: NotFound, with what there is.
    """
    offered = [entry.platform for entry in index.manifests]
    if len(offered) == 1 and offered[0] is None:
        return index.manifests[0]
    position = choose(wanted.platforms, offered)
    if position is None:
        raise NotFound(f"{subject} has no image for {wanted}; there is: {named(filter(None, offered))}")
    return index.manifests[position]


def fits_alone(config: ImageConfig, wanted: Wanted) -> bool:
    """Whether an image whose platform only its config says will do.

    Older builders wrote no variant, and some tools no platform at all: what is not said is not held against it.
    """
    offered = config.platform
    if not wanted.is_named or not (offered.os and offered.architecture):
        return True
    return any(
        want.serves(offered if config.variant else evolve(offered, variant=want.variant))
        for want in wanted.platforms
    )


def check_alone(config: ImageConfig, wanted: Wanted, subject: str) -> None:
    """Raises: NotFound where the image is for another platform than the one that was asked for."""
    if not fits_alone(config, wanted):
        raise NotFound(f"{subject} has no image for {wanted}; there is: {named([config.platform])}")


def named(platforms: Iterable[Platform]) -> str:
    """Each once, for a message."""
    names = sorted({str(each)[:_MAX_NAME] for each in platforms if each.os != "unknown"})
    return ", ".join([*names[:_MAX_NAMES], *(["..."] if len(names) > _MAX_NAMES else [])]) or "none"
