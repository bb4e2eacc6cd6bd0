"""From images that are here to a repository: blobs several at once, then the manifests from the leaves to the root.

    push threads     layer 1 --+
                     layer 2 --+    each: mounted, or found there, or uploaded (registry/sending.py)
                     config  --+
    this thread                then PUT of each manifest by its digest, and of the outermost one by its tag

The tag is the last thing to be written: a push that is killed leaves none that is half. Blobs and manifests go as they
came, byte for byte, so that digests are the same everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

from attrs import evolve

from containerlib.errors import InvalidArgument, NotFound, Unsupported
from containerlib.images.content.store import ContentStore
from containerlib.images.content.trees import Document, manifest_of, read_tree, top_of
from containerlib.images.records import Progress
from containerlib.images.registry.client import Registry
from containerlib.images.registry.sending import Blob
from containerlib.spec.conversion import converted
from containerlib.spec.descriptor import Descriptor, MediaType
from containerlib.spec.digest import Digest
from containerlib.spec.image import Index
from containerlib.spec.image_config import ImageConfig
from containerlib.spec.options import ManifestFormat
from containerlib.spec.platform import Platform
from containerlib.spec.reference import Reference
from containerlib.store import ImageRow

__all__ = ["push"]

_AT_ONCE = 4

Report = Callable[[Progress], None]


def push(
    content: ContentStore,
    registry: Registry,
    named: Sequence[tuple[ImageRow, str | None]],
    target: Reference,
    *,
    form: ManifestFormat | None,
    report: Report,
) -> Descriptor:
    """Pushes the image, with all of its index where that is here; or several as one index with a platform for each.

    Each comes with its name that is meant, or with None where it is meant by its id.

    Raises: NotFound where a part is not here; InvalidArgument for two images of one platform; as `Registry`, and
    Unsupported for what cannot be written in `form`.
    """
    plan, rows = _Plan(content, form), [row for row, _ in named]
    if len(named) == 1:
        plan.add(top_of(*named[0]))
    else:
        index = _index([plan.add(manifest_of(row)) for row in rows], content, form)
        plan.documents[index.descriptor().digest] = index
    _push_blobs(plan, registry, target.repository, _sources(rows, target), report)
    *parts, (_, root) = plan.documents.items()
    for digest, part in parts:
        registry.push_manifest(target.repository, part, digest=digest)
    pushed = registry.push_manifest(target.repository, root, tag=target.tag or "latest")
    report(Progress("done", str(pushed.digest), 0, 0))
    return pushed


class _Plan:
    """What is to be pushed: blobs in any order, and documents with those first that others name.

    Each document under the digest that it is named by, which need not be the one that we would give it.
    """

    def __init__(self, content: ContentStore, form: ManifestFormat | None) -> None:
        self._content = content
        self._form = form
        self.blobs: dict[Digest, Descriptor] = {}
        self.documents: dict[Digest, Document] = {}

    def add(self, descriptor: Descriptor) -> Document:
        """The document that `descriptor` names, noted after all that is below it."""
        tree = read_tree(descriptor, self._read, leave=lambda blob: blob.is_foreign)
        document = tree.document
        if self._form is None:
            documents = tree.documents
        elif isinstance(document, Index):
            raise Unsupported(
                "an index is not written in another form: pull it for one platform, and push that"
            )
        else:
            document = converted(document, self._form)
            documents = {document.descriptor().digest: document}
        self.blobs |= tree.blobs
        self.documents |= documents
        return document

    def _read(self, descriptor: Descriptor) -> bytes:
        if not self._content.has(descriptor.digest):
            raise NotFound(
                f"{descriptor.platform or 'a part'} of the image is not here ({descriptor.digest}): "
                "pull all of its platforms again"
            )
        return self._content.read(descriptor.digest)

    def blob(self, descriptor: Descriptor) -> Blob:
        return Blob.at(self._content.blob_path(descriptor.digest), descriptor.digest, descriptor.size)


def _push_blobs(
    plan: _Plan, registry: Registry, repository: str, sources: Sequence[str], report: Report
) -> None:
    def push_one(descriptor: Descriptor) -> None:
        def sent(count: int) -> None:
            report(Progress("upload", str(descriptor.digest), count, descriptor.size))

        registry.push_blob(repository, plan.blob(descriptor), mount_from=sources, progress=sent)

    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="containerlib-upload") as pool:
        futures = [pool.submit(push_one, descriptor) for descriptor in plan.blobs.values()]
        try:
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        except BaseException:
            registry.stop()  # the others would go on for minutes
            pool.shutdown(cancel_futures=True)
            raise


def _index(documents: Sequence[Document], content: ContentStore, form: ManifestFormat | None) -> Index:
    """An index of images, each with the platform that its config says."""
    entries: dict[Platform, Descriptor] = {}
    for document in documents:
        if isinstance(document, Index):
            raise InvalidArgument("an index cannot be a part of one that is made here", field="images")
        platform = ImageConfig.from_bytes(content.read(document.config.digest)).platform
        if platform in entries:
            raise InvalidArgument(f"two of the images are for {platform}", field="images")
        entries[platform] = evolve(document.descriptor(), platform=platform)
    media_type = MediaType.DOCKER_LIST if form == "docker" else MediaType.INDEX
    return Index(tuple(entries.values()), media_type)


def _sources(rows: Sequence[ImageRow], target: Reference) -> list[str]:
    """Repositories of the registry that have had the images, and so their layers; none where the target has."""
    names = [Reference.parse(name) for row in rows for name in row.references]
    here = [name.repository for name in names if name.registry == target.registry]
    return [] if target.repository in here else list(dict.fromkeys(here))[:2]
