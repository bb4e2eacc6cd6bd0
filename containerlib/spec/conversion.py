"""An image's manifest in Docker's words (schema 2) and in OCI's: other media types for the same blobs.

Registries from before 2017 know Docker's alone. The manifest gets another digest by it; config and layers keep theirs.

Spec: image-spec media-types.md#compatibility-matrix.
"""

from __future__ import annotations

from attrs import evolve

from containerlib.errors import Unsupported
from containerlib.spec.descriptor import Descriptor, MediaType
from containerlib.spec.image import Manifest
from containerlib.spec.options import ManifestFormat

__all__ = ["converted"]

_TO_DOCKER = {
    MediaType.MANIFEST: MediaType.DOCKER_MANIFEST,
    MediaType.CONFIG: MediaType.DOCKER_CONFIG,
    MediaType.LAYER: MediaType.DOCKER_LAYER,
    MediaType.LAYER_GZIP: MediaType.DOCKER_LAYER_GZIP,
    MediaType.LAYER_FOREIGN_GZIP: MediaType.DOCKER_LAYER_FOREIGN_GZIP,
}
_TO_OCI = {theirs: ours for ours, theirs in _TO_DOCKER.items()}


def converted(manifest: Manifest, form: ManifestFormat) -> Manifest:
    """The same image in that form; the very same manifest where it has that form already.

    Raises: Unsupported for what the form has no word for: an artifact, or for Docker a layer of zstd.
    """
    words = _TO_DOCKER if form == "docker" else _TO_OCI
    if manifest.media_type in words.values():
        return manifest
    if manifest.artifact_type or manifest.subject:
        raise Unsupported("an artifact, or what has a subject, has no other form than OCI's")
    return evolve(
        manifest,
        media_type=words[manifest.media_type],
        config=_renamed(manifest.config, words),
        layers=tuple(_renamed(layer, words) for layer in manifest.layers),
        annotations={},
        raw=b"",
    )


def _renamed(descriptor: Descriptor, words: dict[str, str]) -> Descriptor:
    name = words.get(descriptor.media_type)
    if name is None:
        raise Unsupported(f"what is of type {descriptor.media_type!r} is not known in the other form")
    return evolve(descriptor, media_type=name, annotations={}, artifact_type="")
