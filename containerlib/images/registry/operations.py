"""What can be done to the repositories of a registry, besides reading images from them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence

from attrs import evolve

from containerlib.images.registry import publishing
from containerlib.images.registry.places import Place, Places
from containerlib.images.registry.referrers import referrers
from containerlib.images.registry.sending import Blob, mount_blob, push_blob, push_stream
from containerlib.images.registry.tags import tags
from containerlib.spec.descriptor import EMPTY, Descriptor
from containerlib.spec.digest import Digest
from containerlib.spec.document import Document
from containerlib.spec.image import Index, Manifest
from containerlib.spec.reference import Reference, check_repository, check_tag

__all__ = ["Operations"]

TITLE = "org.opencontainers.image.title"
"""The annotation with a file's name. Spec: image-spec annotations.md"""
_BINARY = "application/octet-stream"

Content = Blob | bytes | str | os.PathLike[str] | Iterable[bytes]


class Operations:
    """Words of `Registry`; each of them blocks.

    All raise InvalidArgument for what is no repository, tag or digest; NotFound, Unauthorized, Unavailable and
    RegistryError; Unsupported for what the registry does not do.
    """

    name: str
    _places: Places

    def push_blob(
        self,
        repository: str,
        content: Content,
        *,
        media_type: str = _BINARY,
        mount_from: str | Sequence[str] = (),
        progress: Callable[[int], None] = lambda _: None,
    ) -> Descriptor:
        """Makes the blob be there and describes it: bytes, the file of a path, or chunks that come by.

        Bytes and files are not sent where the registry has them, or `mount_from`, another repository of it, has. Chunks
        are sent as they come. `progress` is told how many bytes have been sent.
        """
        place, media_type = self._place(repository), _media_type(media_type)
        sources = self._beside(place, _several(mount_from), "mount_from")
        if not isinstance(content, Blob | bytes | str | os.PathLike):
            sent = push_stream(place.session, place.repository, content, sent=progress)
            return Descriptor(media_type, *sent)
        blob = _blob(content)
        push_blob(place.session, place.repository, blob, sources=sources, sent=progress)
        return Descriptor(media_type, blob.digest, blob.size)

    def mount(self, repository: str, digest: Digest | str, *, source: str = "") -> bool:
        """Has the blob in `repository` without sending it, from `source` or whichever has it. Whether that went."""
        place = self._place(repository)
        sources = self._beside(place, [source], "source") if source else [""]
        return any(mount_blob(place.session, place.repository, _digest(digest), name) for name in sources)

    def push_manifest(
        self, repository: str, document: Manifest | Index, *, tag: str = "", digest: Digest | str = ""
    ) -> Descriptor:
        """Puts the manifest under its digest and under `tag`. What it names must be there.

        Its digest is of sha256, but without a tag `digest` may be another that it has: the one that an index names.

        If it has a subject, it is among the subject's referrers afterwards, whatever the registry supports.
        """
        if tag:
            check_tag(tag)
        place = self._place(repository)
        name = _digest(digest) if digest else None
        return publishing.publish(place.session, place.repository, document, tag=tag, digest=name)

    def push_artifact(
        self,
        repository: str,
        artifact_type: str,
        files: Iterable[str | os.PathLike[str]] = (),
        *,
        blobs: Sequence[Descriptor] = (),
        tag: str = "",
        subject: Descriptor | None = None,
        annotations: Mapping[str, str] | None = None,
    ) -> Descriptor:
        """Pushes `files`, by their names, and an artifact of them and of `blobs`, which are there already.

        `subject` is the manifest that it is about, such as what `push_manifest` returned.
        """
        artifact_type = _media_type(artifact_type)
        parts = [self._push_file(repository, os.fspath(file)) for file in files]
        layers = (*parts, *blobs) or (EMPTY,)
        self.push_blob(repository, b"{}", media_type=EMPTY.media_type)
        manifest = Manifest(
            EMPTY,
            tuple(layers),
            artifact_type=artifact_type,
            subject=subject,
            annotations=annotations or {},
        )
        return evolve(self.push_manifest(repository, manifest, tag=tag), artifact_type=artifact_type)

    def tags(self, repository: str, *, page_size: int = 0) -> list[str]:
        """Every tag. `page_size` is how many are asked for at once: as many as the registry likes, unless given."""
        place = self._place(repository)
        return list(tags(place.session, place.repository, page_size=page_size))

    def referrers(
        self, repository: str, digest: Digest | str, *, artifact_type: str = ""
    ) -> list[Descriptor]:
        """The artifacts whose subject is `digest`, of one type or all: signatures and the like."""
        place = self._place(repository)
        return list(referrers(place.session, place.repository, _digest(digest), artifact_type=artifact_type))

    def delete_tag(self, repository: str, tag: str) -> None:
        """Deletes the tag and not what it names, which not every registry can."""
        place = self._place(repository)
        publishing.remove_tag(place.session, place.repository, check_tag(tag))

    def delete_manifest(self, repository: str, digest: Digest | str) -> None:
        """Deletes the manifest, with every tag that it has."""
        place = self._place(repository)
        publishing.retract(place.session, place.repository, _digest(digest))

    def delete_blob(self, repository: str, digest: Digest | str) -> None:
        """Deletes the blob, whatever still names it."""
        place = self._place(repository)
        publishing.remove_blob(place.session, place.repository, _digest(digest))

    def _place(self, repository: str, field: str = "repository") -> Place:
        """Where the repository is written to: not to a mirror."""
        check_repository(repository, field=field)
        return self._places.of(Reference.parse(f"{self.name}/{repository}"))[-1]

    def _beside(self, place: Place, repositories: Sequence[str], field: str) -> list[str]:
        """Those that are at the same registry, by the names that they have there."""
        places = [self._place(repository, field) for repository in repositories]
        return [other.repository for other in places if other.session is place.session]

    def _push_file(self, repository: str, path: str) -> Descriptor:
        return evolve(self.push_blob(repository, path), annotations={TITLE: os.path.basename(path)})


def _blob(content: Blob | bytes | str | os.PathLike[str]) -> Blob:
    if isinstance(content, Blob):
        return content
    return Blob.of_bytes(content) if isinstance(content, bytes) else Blob.of_file(os.fspath(content))


def _media_type(text: str) -> str:
    return Document({"type": text}, "media").media_type("type")


def _digest(value: Digest | str) -> Digest:
    return Digest.parse(value) if isinstance(value, str) else value


def _several(value: str | Sequence[str]) -> Sequence[str]:
    return (value,) if isinstance(value, str) else value
