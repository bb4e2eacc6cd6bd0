"""Descriptors, manifests and indexes: what a registry serves, as values.

Bytes are identity. What was parsed keeps the bytes it came from, and `to_bytes` gives exactly them back; a
changed value (`attrs.evolve(manifest, raw=b"", ...)`) is written anew.

Spec: image-spec descriptor.md, manifest.md, image-index.md; Docker's schema 2 has the same fields.
"""

from __future__ import annotations

import json
from typing import Any

from attrs import field, frozen

from containerlib.errors import InvalidArgument, Unsupported
from containerlib.spec.digest import Digest
from containerlib.spec.document import Document
from containerlib.spec.image_config import ImageConfig
from containerlib.spec.platform import Platform

__all__ = ["Descriptor", "ImageConfig", "Index", "Manifest", "MediaType", "parse_manifest"]

REF_NAME = "org.opencontainers.image.ref.name"


class MediaType:
    """The media types of image-spec media-types.md and of Docker's schema 2."""

    INDEX = "application/vnd.oci.image.index.v1+json"
    MANIFEST = "application/vnd.oci.image.manifest.v1+json"
    CONFIG = "application/vnd.oci.image.config.v1+json"
    LAYER = "application/vnd.oci.image.layer.v1.tar"
    LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
    LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
    DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
    DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
    DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
    INDEXES = (INDEX, DOCKER_LIST)
    MANIFESTS = (MANIFEST, DOCKER_MANIFEST)
    CONFIGS = (CONFIG, DOCKER_CONFIG)
    _LAYER_PREFIXES = ("application/vnd.oci.image.layer.", "application/vnd.docker.image.rootfs.")

    @classmethod
    def is_layer(cls, media_type: str) -> bool:
        """Whether it is a file system layer; how it is compressed is seen in its first bytes."""
        return media_type.startswith(cls._LAYER_PREFIXES)


@frozen
class Descriptor:
    """What a blob is, its digest, and its size in bytes. `platform` is only set in an index."""

    media_type: str
    digest: Digest
    size: int
    platform: Platform | None = None
    name: str = ""
    """The annotation `org.opencontainers.image.ref.name` in a layout's index.json."""

    @classmethod
    def read(cls, document: Document) -> Descriptor:
        return cls(
            media_type=document.text("mediaType", default=""),
            digest=Digest.parse(document.text("digest"), field=f"{document.where}.digest"),
            size=document.number("size"),
            platform=_read_platform(document),
            name=document.annotation(REF_NAME),
        )

    def to_json(self) -> dict[str, Any]:
        value: dict[str, Any] = {
            "mediaType": self.media_type,
            "digest": str(self.digest),
            "size": self.size,
        }
        if self.platform is not None:
            value["platform"] = {"architecture": self.platform.architecture, "os": self.platform.os}
            if self.platform.variant:
                value["platform"]["variant"] = self.platform.variant
        if self.name:
            value["annotations"] = {REF_NAME: self.name}
        return value


@frozen
class Manifest:
    """One image: its config and its layers, the lowest first."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    media_type: str = MediaType.MANIFEST
    raw: bytes = field(default=b"", repr=False)

    @classmethod
    def from_bytes(cls, data: bytes) -> Manifest:
        """Raises: InvalidArgument(field=the path of what is wrong)."""
        return cls._read(Document.parse(data, "manifest"), data)

    @classmethod
    def _read(cls, document: Document, data: bytes) -> Manifest:
        if "config" not in document:
            raise InvalidArgument("it is missing", field="manifest.config")
        return cls(
            config=Descriptor.read(document.document("config")),
            layers=tuple(Descriptor.read(layer) for layer in document.documents("layers")),
            media_type=document.text("mediaType", default=MediaType.MANIFEST),
            raw=data,
        )

    def to_bytes(self) -> bytes:
        return self.raw or _encode(
            {
                "schemaVersion": 2,
                "mediaType": self.media_type,
                "config": self.config.to_json(),
                "layers": [layer.to_json() for layer in self.layers],
            }
        )

    def descriptor(self, *, name: str = "") -> Descriptor:
        """What names this manifest in an index."""
        data = self.to_bytes()
        return Descriptor(self.media_type, Digest.of(data), len(data), name=name)


@frozen
class Index:
    """Several images under one name, mostly one for each platform (Docker: a manifest list)."""

    manifests: tuple[Descriptor, ...]
    media_type: str = MediaType.INDEX
    raw: bytes = field(default=b"", repr=False)

    @classmethod
    def from_bytes(cls, data: bytes) -> Index:
        """Raises: InvalidArgument(field=the path of what is wrong)."""
        return cls._read(Document.parse(data, "index"), data)

    @classmethod
    def _read(cls, document: Document, data: bytes) -> Index:
        return cls(
            manifests=tuple(Descriptor.read(entry) for entry in document.documents("manifests")),
            media_type=document.text("mediaType", default=MediaType.INDEX),
            raw=data,
        )

    def to_bytes(self) -> bytes:
        return self.raw or _encode(
            {
                "schemaVersion": 2,
                "mediaType": self.media_type,
                "manifests": [entry.to_json() for entry in self.manifests],
            }
        )


def parse_manifest(data: bytes, media_type: str = "") -> Manifest | Index:
    """A manifest or an index, told apart by `mediaType` in the bytes, else by `media_type` or by its fields.

    Raises: InvalidArgument; Unsupported for Docker's schema 1, which has no digests of its config.
    """
    document = Document.parse(data, "manifest")
    if document.number("schemaVersion", default=2) == 1:
        raise Unsupported(
            "the image has a schema 1 manifest, retired in 2017: push it again with a newer client"
        )
    kind = document.text("mediaType", default="") or media_type
    if "manifests" in document and "layers" in document:
        raise InvalidArgument("it is both an index and a manifest", field="manifest")
    if kind in MediaType.INDEXES or ("manifests" in document and kind not in MediaType.MANIFESTS):
        return Index._read(document, data)
    return Manifest._read(document, data)


def _read_platform(document: Document) -> Platform | None:
    if "platform" not in document:
        return None
    fields = document.document("platform")
    return Platform(
        fields.text("os", default=""),
        fields.text("architecture", default=""),
        fields.text("variant", default=""),
    )


def _encode(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
