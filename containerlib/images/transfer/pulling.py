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
from containerlib.spec.digest import Digest
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
    """Pulls the image for the first of `platforms` that there is; returns its id.

    Where it is here and its tag still names the same, that is one request, a HEAD.
    """
    present = _present(root, registry, reference, platforms)
    if present is not None:
        report(Progress("done", present, 0, 0))
        return present
    source = _RepositorySource(registry, reference.repository)
    try:
        manifest, digest = _manifest(registry, reference, platforms)
        return assemble(
            root,
            manifest,
            source,
            references=(str(reference),),
            report=report,
            resolved=_resolution(digest, platforms),
        )
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


def _resolution(digest: Digest, platforms: Sequence[Platform]) -> str:
    """What makes an image the one of a reference."""
    return " ".join([str(digest), *(str(platform) for platform in platforms)])


def _present(
    root: ImageRoot, registry: Registry, reference: Reference, platforms: Sequence[Platform]
) -> str | None:
    """The id of the image that is here, whole, and that the registry still means by `reference`."""
    row = root.table.by_reference(str(reference))
    resolved = root.table.resolved(str(reference))
    if row is None or not resolved or not root.is_whole(row):
        return None
    digest = reference.digest or registry.resolve(reference).digest
    return row.id if resolved == _resolution(digest, platforms) else None


def _manifest(
    registry: Registry, reference: Reference, platforms: Sequence[Platform]
) -> tuple[Manifest, Digest]:
    """Follows indexes down to a manifest; and the digest of what the reference names."""
    wanted, top = reference, reference.digest
    for _ in range(_MAX_NESTING):
        data, media_type = registry.manifest(wanted)
        document = parse_manifest(data, media_type)
        top = top or Digest.of(data)
        if isinstance(document, Manifest):
            return document, top
        wanted = Reference(
            reference.registry,
            reference.repository,
            digest=select(document, platforms, str(reference)).digest,
        )
    raise RegistryError(f"{reference} has indexes in indexes in indexes", code="MALFORMED")
