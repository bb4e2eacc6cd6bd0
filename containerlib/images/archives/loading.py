"""Images from a layout or an archive, through the same door as pulled ones.

There are two tables of contents, and newer `docker save` archives have both: `index.json` (OCI) with the
manifests as they were pushed, `manifest.json` (Docker) with full names. Manifests are taken from the first
where it is there, names from both.

Spec: image-spec image-layout.md; Docker image specification v1.2, combined image JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import partial

from attrs import frozen

from containerlib.errors import InvalidArgument, NotFound
from containerlib.images.archives.files import Files
from containerlib.images.content.ingest import Ingest
from containerlib.images.content.stand_ins import STANDS_FOR
from containerlib.images.content.trees import Tree, read_tree
from containerlib.images.records import Progress
from containerlib.images.root import ImageRoot
from containerlib.images.transfer.assembly import assemble
from containerlib.images.transfer.selection import choose_manifest, fits_alone, named
from containerlib.spec.digest import Digest, Hasher
from containerlib.spec.document import MAX_DOCUMENT, Document, parse_json
from containerlib.spec.image import Descriptor, ImageConfig, Index, Manifest, MediaType
from containerlib.spec.platform import Platform, Wanted, choose
from containerlib.spec.reference import Reference

__all__ = ["load"]

_CONTAINERD_NAME = "io.containerd.image.name"
_MAX_DOCUMENTS = 128 * 1024 * 1024
"""Bytes of manifests, indexes and configs that a bundle is read for in all: of a thousand images they are a tenth."""


@frozen
class _Found:
    """An image in the bundle: where its blobs are, by digest, and what it is called."""

    manifest: Manifest
    places: dict[Digest, str]
    names: tuple[str, ...]
    index: Tree | None = None
    """What the manifest is a part of, if all of that is in the bundle."""
    config: ImageConfig | None = None
    """What alone says for which platform it is."""


class _Documents:
    """What is read whole of a bundle: so much of it in all, however often it names the same."""

    def __init__(self, files: Files) -> None:
        self.files = files
        self.layers: dict[Hashable, Descriptor] = {}
        """What has been hashed, by what it is: an archive may name one file a thousand times."""
        self._left = _MAX_DOCUMENTS

    def read(self, name: str) -> bytes:
        size = self.files.size(name) or 0
        self._left -= size
        if size > MAX_DOCUMENT or self._left < 0:
            limit = (
                f"more than {MAX_DOCUMENT}"
                if size > MAX_DOCUMENT
                else f"with others more than {_MAX_DOCUMENTS}"
            )
            raise InvalidArgument(f"{name!r} has {limit} bytes: no honest document", field="source")
        data = bytearray()
        for chunk in self.files.chunks(name):
            data += chunk
            if len(data) > size:  # somebody writes to it
                raise InvalidArgument(f"{name!r} grows while it is read", field="source")
        return bytes(data)


@frozen
class _BundleSource:
    """The blobs of one image in a bundle of files."""

    files: Files
    places: dict[Digest, str]

    def fetch(self, descriptor: Descriptor, ingest: Ingest) -> None:
        for chunk in self.files.chunks(self.places.get(descriptor.digest) or _blob(descriptor.digest)):
            ingest.write(chunk)

    def stop(self) -> None:
        """Files do not keep anyone waiting."""


def load(
    root: ImageRoot,
    files: Files,
    *,
    name: str,
    wanted: Wanted,
    report: Callable[[Progress], None],
) -> list[str]:
    """Loads every image of the bundle, which messages call `name`; returns their ids in its order."""
    if files.size("index.json") is None and files.size("manifest.json") is None:
        raise InvalidArgument(
            f"{name} is no image: it has neither index.json (an OCI layout) nor manifest.json (docker save)",
            field="source",
        )
    documents = _Documents(files)
    is_layout = files.size("index.json") is not None
    found, others = _from_layout(documents, wanted) if is_layout else (_from_docker(documents), [])
    fitting = [image for image in found if image.config is None or fits_alone(image.config, wanted)]
    if not fitting:
        others += [image.config.platform for image in found if image.config]
        raise NotFound(f"there is no image for {wanted} in {name}; there is: {named(others)}")
    ids = []
    for image in fitting:
        source = _BundleSource(files, image.places)
        references = tuple(dict.fromkeys(str(Reference.parse(name)) for name in image.names))
        ids.append(
            assemble(
                root,
                image.manifest,
                source,
                references=references,
                report=report,
                index=image.index,
                origin="loaded",
            )
        )
    return ids


def _from_layout(documents: _Documents, wanted: Wanted) -> tuple[list[_Found], list[Platform]]:
    """The images of index.json that are for one of the platforms, or do not say there; and what the others are for."""
    found, others = [], []
    entries = Document.parse(documents.read("index.json"), "index").documents("manifests")
    descriptors = _without_stand_ins([Descriptor.read(entry) for entry in entries])
    tags = _docker_names(documents, {descriptor.annotation(_CONTAINERD_NAME) for descriptor in descriptors})
    for descriptor in descriptors:
        if descriptor.platform is not None and choose(wanted.platforms, [descriptor.platform]) is None:
            others.append(descriptor.platform)
            continue
        chosen, manifest = choose_manifest(descriptor, partial(_document, documents), wanted, "the layout")
        names = [
            descriptor.annotation(_CONTAINERD_NAME),
            _full_name(descriptor.name),
            *tags.get(manifest.config.digest, ()),
        ]
        config = None
        if wanted.is_named and chosen.platform is None and manifest.config.media_type in MediaType.CONFIGS:
            config = ImageConfig.from_bytes(_document(documents, manifest.config))
        found.append(_Found(manifest, {}, tuple(filter(None, names)), _index(documents, descriptor), config))
    return found, others


def _without_stand_ins(descriptors: Sequence[Descriptor]) -> list[Descriptor]:
    """Without those that are there for readers to whom Docker's media types say nothing."""
    there = {str(descriptor.digest) for descriptor in descriptors}
    return [descriptor for descriptor in descriptors if descriptor.annotation(STANDS_FOR) not in there]


def _document(documents: _Documents, descriptor: Descriptor) -> bytes:
    data = documents.read(_blob(descriptor.digest))
    if not descriptor.digest.matches(data):
        raise InvalidArgument(f"a document is not what its name {descriptor.digest} says", field="index")
    return data


def _index(documents: _Documents, top: Descriptor) -> Tree | None:
    """The index, if all platforms of it are here: `docker save` names those too that it has not."""

    def is_here(blob: Descriptor) -> bool:
        return documents.files.size(_blob(blob.digest)) is not None

    try:
        tree = read_tree(
            top, partial(_document, documents), leave=lambda blob: blob.is_foreign and not is_here(blob)
        )
    except NotFound:
        return None
    whole = isinstance(tree.document, Index) and all(map(is_here, tree.blobs.values()))
    return tree if whole else None


def _from_docker(documents: _Documents) -> list[_Found]:
    """The images of manifest.json: configs and layers are named by path, and there are no manifests."""
    return [_docker_image(documents, entry) for entry in _docker_entries(documents)]


def _docker_image(documents: _Documents, entry: Document) -> _Found:
    config_path = entry.text("Config")
    config_data = documents.read(config_path)
    config = ImageConfig.from_bytes(config_data)
    paths = entry.texts("Layers")
    if len(paths) != len(config.diff_ids):
        raise InvalidArgument(
            f"{len(config.diff_ids)} layers, and the archive lists {len(paths)}", field="manifest.json"
        )
    config_descriptor = Descriptor(MediaType.CONFIG, Digest.of(config_data), len(config_data))
    layers = tuple(_layer(documents, path) for path in paths)
    places = {layer.digest: path for layer, path in zip(layers, paths, strict=True)}
    return _Found(
        Manifest(config_descriptor, layers),
        {**places, config_descriptor.digest: config_path},
        entry.texts("RepoTags"),
        config=config,
    )


def _layer(documents: _Documents, path: str) -> Descriptor:
    """Reads the layer once for its digest: the archive's paths say nothing to be relied on."""
    identity = documents.files.identity(path)
    if identity in documents.layers:
        return documents.layers[identity]
    hasher, size, head = Hasher(), 0, b""
    for chunk in documents.files.chunks(path):
        hasher.update(chunk)
        size += len(chunk)
        head = head or chunk[:2]
    media_type = MediaType.LAYER_GZIP if head == b"\x1f\x8b" else MediaType.LAYER
    return documents.layers.setdefault(identity, Descriptor(media_type, hasher.digest(), size))


def _docker_names(documents: _Documents, known: set[str]) -> dict[Digest, tuple[str, ...]]:
    """The full names that manifest.json has for each config, as far as it is there, and that are not `known`.

    Two entries of index.json may be around the same config, and each has its own names.
    """
    if documents.files.size("manifest.json") is None:
        return {}
    names: dict[Digest, tuple[str, ...]] = {}
    for entry in _docker_entries(documents):
        digest = Digest.of(documents.read(entry.text("Config")))
        others = [name for name in entry.texts("RepoTags") if str(Reference.parse(name)) not in known]
        names[digest] = (*names.get(digest, ()), *others)
    return names


def _docker_entries(documents: _Documents) -> list[Document]:
    value = parse_json(documents.read("manifest.json"), "manifest.json")
    if not isinstance(value, list):
        raise InvalidArgument("a list is needed", field="manifest.json")
    return [Document(item, f"manifest.json[{i}]") for i, item in enumerate(value)]


def _full_name(name: str) -> str:
    """A layout's name for an image if it is more than a tag: those of Docker and buildx are only that."""
    return name if "/" in name or ":" in name else ""


def _blob(digest: Digest) -> str:
    return f"blobs/{digest.algorithm}/{digest.hex}"
