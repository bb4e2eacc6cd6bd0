"""From a reference to the manifest for a platform, and the pull of what it names; or of all platforms of an index."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import frozen

from containerlib.errors import InvalidArgument, RegistryError
from containerlib.images.content.ingest import Ingest
from containerlib.images.content.trees import Read, Tree, read_tree, top_of
from containerlib.images.records import Progress
from containerlib.images.registry.client import Registry
from containerlib.images.root import ImageRoot
from containerlib.images.transfer.assembly import assemble
from containerlib.images.transfer.selection import choose_manifest
from containerlib.spec.digest import Digest
from containerlib.spec.image import Descriptor, Index
from containerlib.spec.platform import Platform
from containerlib.spec.reference import Reference

__all__ = ["Request", "pull"]


@frozen
class Request:
    """What is wanted of a reference: the image for the first of `platforms` that there is, or the others with it.

    `foreign_layers` of the others are fetched as well, where they are said to be elsewhere.
    """

    platforms: Sequence[Platform]
    all_platforms: bool = False
    foreign_layers: bool = False


def pull(
    root: ImageRoot,
    registry: Registry,
    reference: Reference,
    request: Request,
    *,
    report: Callable[[Progress], None],
) -> str:
    """Pulls what is wanted of `reference`; returns the id of the image that was unpacked.

    Where it is here and its tag still names the same, that is one request, a HEAD.
    """
    platforms = request.platforms
    present = _present(root, registry, reference, platforms, all_platforms=request.all_platforms)
    if present is not None:
        report(Progress("done", present, 0, 0))
        return present
    source = _RepositorySource(registry, reference.repository)
    documents = _Documents(registry, reference)
    try:
        top = documents.top()
        return assemble(
            root,
            choose_manifest(top, documents.read, platforms, str(reference)),
            source,
            references=(str(reference),),
            report=report,
            resolved=_resolution(top.digest, platforms),
            index=_index(root, top, documents.read, request),
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


class _Documents:
    """The manifests and indexes that a reference leads to, each asked for once."""

    def __init__(self, registry: Registry, reference: Reference) -> None:
        self._registry = registry
        self._reference = reference
        self._known: dict[Digest, bytes] = {}

    def top(self) -> Descriptor:
        """What the reference names."""
        answer = self._registry.manifest(self._reference)
        digest = self._reference.digest or Digest.of(answer.data)
        self._known[digest] = answer.data
        return Descriptor(answer.parse().media_type, digest, len(answer.data))

    def read(self, descriptor: Descriptor) -> bytes:
        digest = descriptor.digest
        if digest not in self._known:
            place = Reference(self._reference.registry, self._reference.repository, digest=digest)
            answer = self._registry.manifest(place)
            answer.parse()  # what the registry says that it is must be what it is, beside what its index says
            self._known[digest] = answer.data
        return self._known[digest]


def _resolution(digest: Digest, platforms: Sequence[Platform]) -> str:
    """What makes an image the one of a reference."""
    return " ".join([str(digest), *(str(platform) for platform in platforms)])


def _present(
    root: ImageRoot,
    registry: Registry,
    reference: Reference,
    platforms: Sequence[Platform],
    *,
    all_platforms: bool,
) -> str | None:
    """The id of the image that is here, whole, and that the registry still means by `reference`."""
    row = root.table.by_reference(str(reference))
    resolved = root.table.resolved(str(reference))
    if row is None or not resolved or not root.is_whole(row):
        return None
    digest = reference.digest or registry.resolve(reference).digest
    if all_platforms and digest != top_of(row, str(reference)).digest:
        return None
    return row.id if resolved == _resolution(digest, platforms) else None


def _index(root: ImageRoot, top: Descriptor, read: Read, request: Request) -> Tree | None:
    """The index with all that is below it, where that is wanted, or is here already: it stays whole then."""
    if not (request.all_platforms or root.table.has_index(str(top.digest))):
        return None
    tree = read_tree(top, read, leave=lambda blob: blob.is_foreign and not request.foreign_layers)
    return tree if isinstance(tree.document, Index) else None
