"""From a reference to the manifest for a platform, and the pull of what it names; or of all platforms of an index."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from attrs import frozen

from containerlib.errors import InvalidArgument, RegistryError
from containerlib.images.content.ingest import Ingest
from containerlib.images.content.trees import Tree, read_document, read_tree, top_of
from containerlib.images.records import Progress
from containerlib.images.registry.client import Registry
from containerlib.images.root import ImageRoot
from containerlib.images.transfer.assembly import assemble
from containerlib.images.transfer.deadline import ended_at
from containerlib.images.transfer.selection import check_alone, choose_manifest
from containerlib.spec.digest import Digest
from containerlib.spec.image import Descriptor, Index
from containerlib.spec.platform import Wanted
from containerlib.spec.reference import Reference

__all__ = ["Request", "pull"]

_AT_ONCE = 6


@frozen
class Request:
    """What is wanted of a reference: the image for a platform, or those for the others with it.

    `foreign_layers` of the others are fetched as well, where they are said to be elsewhere. `deadline`: on
    time.monotonic()'s clock.
    """

    wanted: Wanted
    all_platforms: bool = False
    foreign_layers: bool = False
    deadline: float | None = None


def pull(
    root: ImageRoot,
    registry: Registry,
    reference: Reference,
    request: Request,
    *,
    report: Callable[[Progress], None],
) -> str:
    """Pulls what is wanted of `reference`; returns the id of the image that was unpacked.

    Where it is here and its tag still names the same, that is one request, a HEAD. Raises: Timeout.
    """
    with ended_at(request.deadline, registry.stop, str(reference)) as check:

        def checked(progress: Progress) -> None:
            check()
            report(progress)

        return _pull(root, registry, reference, request, report=checked)


def _pull(
    root: ImageRoot,
    registry: Registry,
    reference: Reference,
    request: Request,
    *,
    report: Callable[[Progress], None],
) -> str:
    wanted = request.wanted
    present = _present(root, registry, reference, request)
    if present is not None:
        report(Progress("done", present, 0, 0))
        return present
    source = _RepositorySource(registry, reference.repository)
    documents = _Documents(registry, reference)
    try:
        top = documents.top()
        chosen, manifest = choose_manifest(top, documents.read, wanted, str(reference))
        return assemble(
            root,
            manifest,
            source,
            references=(str(reference),),
            report=report,
            resolved=_resolution(top.digest, wanted),
            index=_index(root, top, documents, request),
            # an index has said what it is for
            check=None if chosen.platform else partial(check_alone, wanted=wanted, subject=str(reference)),
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

    def read_ahead(self, descriptors: Sequence[Descriptor]) -> None:
        """Asks for those that are not known yet, several at once. The first failure ends all of it."""
        missing = {entry.digest: entry for entry in descriptors if entry.digest not in self._known}
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="containerlib-manifest") as pool:
            try:
                for _ in pool.map(lambda entry: read_document(entry, self.read), missing.values()):
                    pass
            except BaseException:
                self._registry.stop()
                pool.shutdown(cancel_futures=True)
                raise


def _resolution(digest: Digest, wanted: Wanted) -> str:
    """What makes an image the one of a reference."""
    return " ".join([str(digest), *(str(platform) for platform in wanted.platforms)])


def _present(root: ImageRoot, registry: Registry, reference: Reference, request: Request) -> str | None:
    """The id of the image that is here, whole, and that the registry still means by `reference`."""
    row = root.table.by_reference(str(reference))
    resolved = root.table.resolved(str(reference))
    if row is None or not resolved or not root.is_whole(row):
        return None
    digest = reference.digest or registry.resolve(reference).digest
    if resolved != _resolution(digest, request.wanted):
        return None
    top = top_of(row, str(reference))
    if request.all_platforms and digest != top.digest:
        return None
    return None if request.foreign_layers and _lacks_foreign_layers(root, top) else row.id


def _lacks_foreign_layers(root: ImageRoot, top: Descriptor) -> bool:
    """Whether a pull that fetched none of them left some of other platforms where they are."""
    tree = read_tree(top, lambda descriptor: root.content.read(descriptor.digest))
    return any(blob.is_foreign and not root.content.has(blob.digest) for blob in tree.blobs.values())


def _index(root: ImageRoot, top: Descriptor, documents: _Documents, request: Request) -> Tree | None:
    """The index with all that is below it, where that is wanted, or is here already: it stays whole then."""
    if not (request.all_platforms or root.table.has_index(str(top.digest))):
        return None
    tree = read_tree(
        top,
        documents.read,
        leave=lambda blob: blob.is_foreign and not request.foreign_layers,
        read_ahead=documents.read_ahead,
    )
    return tree if isinstance(tree.document, Index) else None
