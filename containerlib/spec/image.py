"""Manifests and indexes: what a registry serves under a name, as values.

Bytes are identity. What was parsed keeps the bytes it came from, and `to_bytes` gives exactly them back; a
changed value (`attrs.evolve(manifest, raw=b"", ...)`) is written anew.

Spec: image-spec manifest.md, image-index.md; Docker's schema 2 has the same fields.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from attrs import field, frozen

from containerlib.errors import InvalidArgument, Unsupported
from containerlib.spec.descriptor import (
    EMPTY,
    REF_NAME,
    Annotations,
    Descriptor,
    MediaType,
    annotations_of,
)
from containerlib.spec.digest import Digest
from containerlib.spec.document import Document
from containerlib.spec.image_config import ImageConfig

__all__ = [
    "EMPTY",
    "REF_NAME",
    "Descriptor",
    "ImageConfig",
    "Index",
    "Manifest",
    "MediaType",
    "parse_manifest",
]

_KNOWN = (*MediaType.INDEXES, *MediaType.MANIFESTS)


@frozen
class Manifest:
    """One image: its config and its layers, the lowest first. Or an artifact: any config, any blobs."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    media_type: str = MediaType.MANIFEST
    artifact_type: str = ""
    """What kind of artifact it is, where the config's media type does not say."""
    subject: Descriptor | None = None
    """The manifest that this one is about: a signature's image, for one."""
    annotations: Annotations = field(default=(), converter=annotations_of)
    raw: bytes = field(default=b"", repr=False)

    @classmethod
    def from_bytes(cls, data: bytes) -> Manifest:
        """Raises: as `parse_manifest`, and InvalidArgument for an index."""
        document = parse_manifest(data)
        if not isinstance(document, cls):
            raise InvalidArgument("it is an index", field="manifest")
        return document

    @classmethod
    def _read(cls, document: Document, data: bytes) -> Manifest:
        if "config" not in document:
            raise InvalidArgument("it is missing", field="manifest.config")
        config = Descriptor.read(document.document("config"))
        layers = tuple(Descriptor.read(layer) for layer in document.documents("layers"))
        _one_meaning([config, *layers], document)
        return cls(
            config=config,
            layers=layers,
            **_common(document, MediaType.MANIFEST),
            raw=data,
        )

    @property
    def kind(self) -> str:
        """The media type of what it is: `artifactType`, else that of the config."""
        return self.artifact_type or self.config.media_type

    def to_bytes(self) -> bytes:
        return self.raw or _encode(
            self,
            config=self.config.to_json(),
            layers=[layer.to_json() for layer in self.layers],
        )

    def descriptor(self, *, name: str = "") -> Descriptor:
        """What names this manifest in an index."""
        return _descriptor(self).named(name)


@frozen
class Index:
    """Several images under one name, mostly one for each platform (Docker: a manifest list)."""

    manifests: tuple[Descriptor, ...]
    media_type: str = MediaType.INDEX
    artifact_type: str = ""
    subject: Descriptor | None = None
    annotations: Annotations = field(default=(), converter=annotations_of)
    raw: bytes = field(default=b"", repr=False)

    @classmethod
    def from_bytes(cls, data: bytes) -> Index:
        """Raises: as `parse_manifest`, and InvalidArgument for a manifest."""
        document = parse_manifest(data)
        if not isinstance(document, cls):
            raise InvalidArgument("it is a manifest", field="index")
        return document

    @classmethod
    def _read(cls, document: Document, data: bytes) -> Index:
        manifests = tuple(Descriptor.read(entry) for entry in document.documents("manifests"))
        _one_meaning(manifests, document)
        return cls(
            manifests=manifests,
            **_common(document, MediaType.INDEX),
            raw=data,
        )

    @property
    def kind(self) -> str:
        """What it is said to be: `artifactType`, empty for an index of images."""
        return self.artifact_type

    def to_bytes(self) -> bytes:
        return self.raw or _encode(self, manifests=[entry.to_json() for entry in self.manifests])

    def descriptor(self, *, name: str = "") -> Descriptor:
        """What names this index in another one."""
        return _descriptor(self).named(name)


def parse_manifest(data: bytes, media_type: str = "") -> Manifest | Index:
    """A manifest or an index. `media_type` is what it was announced as: a Content-Type, or a descriptor's.

    Where `mediaType` in the bytes says something else, or the fields do, it is refused: what one reader takes for a
    manifest and another for an index is two images under one digest (CVE-2021-41190).

    Raises: InvalidArgument; Unsupported for Docker's schema 1, which has no digests of its config.
    """
    document = Document.parse(data, "manifest")
    version = document.number("schemaVersion", default=2)
    if version == 1:
        raise Unsupported(
            "the image has a schema 1 manifest, retired in 2017: push it again with a newer client"
        )
    if version != 2:
        raise InvalidArgument("it is not 2", field="manifest.schemaVersion")
    announced = media_type if media_type in _KNOWN else ""
    kind = document.text("mediaType", default="") or announced
    if announced and kind != announced:
        raise InvalidArgument(
            f"it is {kind[:100]!r}, and was announced as {announced!r}", field="manifest.mediaType"
        )
    is_index = kind in MediaType.INDEXES if kind in _KNOWN else "manifests" in document
    stranger = "layers" if is_index else "manifests"
    if stranger in document or (is_index and "config" in document):
        what = (
            f"it is {kind!r}, and has the fields of another"
            if kind in _KNOWN
            else "it is an index and a manifest"
        )
        raise InvalidArgument(what, field="manifest")
    return Index._read(document, data) if is_index else Manifest._read(document, data)


def _common(document: Document, media_type: str) -> dict[str, Any]:
    """The fields that manifests and indexes share."""
    return {
        "media_type": document.media_type("mediaType", default=media_type),
        "artifact_type": document.media_type("artifactType", default=""),
        "subject": Descriptor.read(document.document("subject")) if "subject" in document else None,
        "annotations": document.mapping("annotations"),
    }


def _one_meaning(descriptors: Iterable[Descriptor], document: Document) -> None:
    """Refuses one digest with two sizes or two types. An image may well have one layer twice."""
    seen: dict[Digest, Descriptor] = {}
    for entry in descriptors:
        other = seen.setdefault(entry.digest, entry)
        if (other.size, other.media_type) != (entry.size, entry.media_type):
            raise InvalidArgument(
                f"{entry.digest} is there twice, with other sizes or types", field=document.where
            )


def _descriptor(document: Manifest | Index) -> Descriptor:
    data = document.to_bytes()
    return Descriptor(document.media_type, Digest.of(data), len(data))


def _encode(document: Manifest | Index, **content: Any) -> bytes:
    value: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": document.media_type,
        "artifactType": document.artifact_type,
        **content,
        "subject": document.subject.to_json() if document.subject else None,
        "annotations": dict(document.annotations),
    }
    kept = {key: item for key, item in value.items() if item or key in content}
    return json.dumps(kept, separators=(",", ":"), ensure_ascii=False).encode()
