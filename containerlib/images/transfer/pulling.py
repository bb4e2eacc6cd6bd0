"""From a reference to the manifest for a platform, and the pull of what it names."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import frozen

from containerlib.errors import InvalidArgument, RegistryError
from containerlib.images.content.ingest import Ingest
from containerlib.images.records import Progress
from containerlib.images.registry.client import Registry
from containerlib.images.root import ImageRoot
from containerlib.images.transfer.assembly import assemble
from containerlib.images.transfer.selection import select
from containerlib.spec.image import Descriptor, Manifest, parse_manifest
from containerlib.spec.platform import Platform
from containerlib.spec.reference import Reference

__all__ = ["pull"]

_MAX_NESTING = 3


def pull(
    root: ImageRoot,
    registry: Registry,
    reference: Reference,
    *,
    platforms: Sequence[Platform],
    report: Callable[[Progress], None],
) -> str:
    """Pulls the image for the first of `platforms` that there is; returns its id."""

    source = _RepositorySource(registry, reference.repository)
    try:
        manifest = _manifest(registry, reference, platforms)
        return assemble(root, manifest, source, references=(str(reference),), report=report)
    except InvalidArgument as error:
        if error.field.startswith("layer"):
            raise
        raise RegistryError(f"{reference} has a malformed document: {error}", code="MALFORMED") from error


@frozen
class _RepositorySource:
    """The blobs of one repository."""

    registry: Registry
    repository: str

    def fetch(self, descriptor: Descriptor, ingest: Ingest) -> None:
        self.registry.fetch(self.repository, descriptor, ingest)

    def stop(self) -> None:
        self.registry.stop()


def _manifest(registry: Registry, reference: Reference, platforms: Sequence[Platform]) -> Manifest:
    """Follows indexes down to a manifest."""
    wanted = reference
    for _ in range(_MAX_NESTING):
        data, media_type = registry.manifest(wanted)
        document = parse_manifest(data, media_type)
        if isinstance(document, Manifest):
            return document
        wanted = Reference(
            reference.registry,
            reference.repository,
            digest=select(document, platforms, str(reference)).digest,
        )
    raise RegistryError(f"{reference} has indexes in indexes in indexes", code="MALFORMED")
