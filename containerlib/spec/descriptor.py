"""Descriptors: what names a blob by its digest, and the media types that say what it is.

    Descriptor(MediaType.LAYER_GZIP, digest, size, annotations={"org.opencontainers.image.title": "app.tar"})

Spec: image-spec descriptor.md, media-types.md; Docker's schema 2 has the same fields.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import evolve, field, frozen

from containerlib.errors import InvalidArgument
from containerlib.spec.digest import Digest
from containerlib.spec.document import Document
from containerlib.spec.platform import Platform

__all__ = ["EMPTY", "REF_NAME", "Annotations", "Descriptor", "MediaType", "annotations_of"]

REF_NAME = "org.opencontainers.image.ref.name"
"""The annotation that names an image in a layout's index.json."""

Annotations = tuple[tuple[str, str], ...]
"""Keys and values, sorted: an object of strings that hashes."""

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[\x21-\x7e]+", re.ASCII)


class MediaType:
    """The media types of image-spec media-types.md and of Docker's schema 2."""

    INDEX = "application/vnd.oci.image.index.v1+json"
    MANIFEST = "application/vnd.oci.image.manifest.v1+json"
    CONFIG = "application/vnd.oci.image.config.v1+json"
    EMPTY = "application/vnd.oci.empty.v1+json"
    LAYER = "application/vnd.oci.image.layer.v1.tar"
    LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
    LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
    LAYER_FOREIGN_GZIP = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
    DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
    DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
    DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
    DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
    DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"
    DOCKER_LAYER_FOREIGN_GZIP = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    INDEXES = (INDEX, DOCKER_LIST)
    MANIFESTS = (MANIFEST, DOCKER_MANIFEST)
    CONFIGS = (CONFIG, DOCKER_CONFIG)
    _LAYER_PREFIXES = ("application/vnd.oci.image.layer.", "application/vnd.docker.image.rootfs.")
    _FOREIGN_PREFIXES = (
        "application/vnd.oci.image.layer.nondistributable.",
        "application/vnd.docker.image.rootfs.foreign.",
    )

    @classmethod
    def is_layer(cls, media_type: str) -> bool:
        """Whether it is a file system layer; how it is compressed is seen in its first bytes."""
        return media_type.startswith(cls._LAYER_PREFIXES)

    @classmethod
    def is_foreign(cls, media_type: str) -> bool:
        """Whether it is a layer that registries may not keep: it is fetched from its descriptor's `urls`."""
        return media_type.startswith(cls._FOREIGN_PREFIXES)


def annotations_of(value: Mapping[str, str] | Iterable[tuple[str, str]]) -> Annotations:
    return tuple(sorted(dict(value).items()))


@frozen
class Descriptor:
    """What a blob is, its digest, and its size in bytes. `platform` is only set in an index."""

    media_type: str
    digest: Digest
    size: int
    platform: Platform | None = None
    annotations: Annotations = field(default=(), converter=annotations_of)
    urls: tuple[str, ...] = ()
    """Where else the blob may be fetched from."""
    data: bytes | None = field(default=None, repr=False)
    """The blob itself, where the descriptor carries it."""
    artifact_type: str = ""
    """In an index: what kind of artifact the manifest is."""

    @classmethod
    def read(cls, document: Document) -> Descriptor:
        """Raises: InvalidArgument(field=the path of what is wrong)."""
        digest = Digest.parse(document.text("digest"), field=f"{document.where}.digest")
        size = document.number("size")
        return cls(
            media_type=document.media_type("mediaType"),
            digest=digest,
            size=size,
            platform=Platform.read(document.document("platform")) if "platform" in document else None,
            annotations=document.mapping("annotations"),
            urls=_urls(document),
            data=_data(document, digest, size),
            artifact_type=document.media_type("artifactType", default=""),
        )

    @property
    def name(self) -> str:
        """The annotation `org.opencontainers.image.ref.name`, empty if there is none."""
        return self.annotation(REF_NAME)

    def annotation(self, name: str) -> str:
        """The value of one annotation, empty if there is none."""
        return dict(self.annotations).get(name, "")

    @property
    def is_foreign(self) -> bool:
        """Whether it is a layer that may not be distributed: it stays where its URLs are. Spec: layer.md"""
        return MediaType.is_foreign(self.media_type) and bool(self.urls)

    def named(self, name: str) -> Descriptor:
        """As it stands under `name` in a layout's index.json; without a name where that is empty."""
        others = {key: value for key, value in self.annotations if key != REF_NAME}
        return evolve(self, annotations={**others, REF_NAME: name} if name else others)

    def to_json(self) -> dict[str, Any]:
        value: dict[str, Any] = {
            "mediaType": self.media_type,
            "digest": str(self.digest),
            "size": self.size,
            "urls": list(self.urls),
            "annotations": dict(self.annotations),
            "data": base64.b64encode(self.data).decode() if self.data is not None else "",
            "artifactType": self.artifact_type,
            "platform": self.platform.to_json() if self.platform else None,
        }
        return {key: item for key, item in value.items() if item or key == "size"}


EMPTY = Descriptor(MediaType.EMPTY, Digest.of(b"{}"), 2, data=b"{}")
"""What an artifact has where it needs no config or no layer. Spec: manifest.md#guidance-for-an-empty-descriptor"""


def _urls(document: Document) -> tuple[str, ...]:
    urls = document.texts("urls")
    for position, url in enumerate(urls):
        if not _URL.fullmatch(url):
            raise InvalidArgument(f"{url[:200]!r} is no URL", field=f"{document.where}.urls[{position}]")
    return urls


def _data(document: Document, digest: Digest, size: int) -> bytes | None:
    """The blob in the descriptor. Spec: descriptor.md#embedded-content: it must be what size and digest say."""
    if "data" not in document:
        return None
    where = f"{document.where}.data"
    try:
        data = base64.b64decode(document.text("data"), validate=True)
    except ValueError as error:
        raise InvalidArgument(f"it is not base64: {error}", field=where) from error
    if len(data) != size or not digest.matches(data):
        raise InvalidArgument(f"it has {len(data)} bytes, and not those of size and digest", field=where)
    return data
