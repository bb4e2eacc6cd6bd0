"""Manifests on their way into a registry and out of it, and the referrers of their subjects.

    publish(session, "acme/app", manifest, tag="1.0")        PUT; 201, and OCI-Subject if there is a subject
    retract(session, "acme/app", digest)                     DELETE; 202

A registry that does not say OCI-Subject keeps no list of referrers. Then the list is an index of ours under a tag that
is made of the subject's digest, and brought up to date here (fallback.py).

Spec: distribution-spec spec.md#pushing-manifests, #deleting-manifests.
"""

from __future__ import annotations

from attrs import evolve

from containerlib.errors import InvalidArgument, RegistryError, Unsupported
from containerlib.images.registry import fallback
from containerlib.images.registry.answers import bounded
from containerlib.images.registry.manifests import put_manifest
from containerlib.images.registry.referrers import has_referrers
from containerlib.images.registry.session import Scope, Session
from containerlib.spec.descriptor import Descriptor, MediaType
from containerlib.spec.digest import Digest
from containerlib.spec.document import MAX_DOCUMENT
from containerlib.spec.image import Index, Manifest, parse_manifest

__all__ = ["publish", "remove_blob", "remove_tag", "retract"]

_ACCEPT = ", ".join((*MediaType.INDEXES, *MediaType.MANIFESTS))


def publish(
    session: Session,
    repository: str,
    document: Manifest | Index,
    *,
    tag: str = "",
    digest: Digest | None = None,
) -> Descriptor:
    """Puts the manifest under its digest, and under `tag` if there is one, where all that it names is there already.

    `digest` instead of its sha256, if there is no tag.

    Raises: InvalidArgument for one of more than 4 MiB, or that has another digest; as `put_manifest`.
    """
    descriptor, data = document.descriptor(), document.to_bytes()
    if digest is not None:
        if tag or not digest.matches(data):
            raise InvalidArgument("it goes with no tag, and has to be that of the manifest", field="digest")
        descriptor = evolve(descriptor, digest=digest)
    if len(data) > MAX_DOCUMENT:
        raise InvalidArgument(f"more than {MAX_DOCUMENT} bytes, which registries refuse", field="manifest")
    listed = put_manifest(session, repository, document, tag=tag, digest=descriptor.digest)
    if document.subject is not None and not listed:
        fallback.add(session, repository, document.subject.digest, fallback.entry_of(document))
    return descriptor


def retract(session: Session, repository: str, digest: Digest) -> None:
    """Deletes the manifest with all of its tags, and takes it from the list of its subject's referrers.

    Raises: NotFound; Unsupported where the registry deletes nothing; as `Session.send`.
    """
    subject = _subject(session, repository, digest)
    what = f"{session.name}/{repository}@{digest}"
    _delete(session, repository, f"/v2/{repository}/manifests/{digest}", what)
    if subject is not None and not has_referrers(session, repository, subject):
        fallback.remove(session, repository, subject, digest)


def remove_tag(session: Session, repository: str, tag: str) -> None:
    """Deletes the tag, and leaves what it names.

    Raises: NotFound; Unsupported, as many registries cannot; as `Session.send`.
    """
    what = f"{session.name}/{repository}:{tag}"
    try:
        _delete(session, repository, f"/v2/{repository}/manifests/{tag}", what)
    except RegistryError as error:
        if error.status != 400:
            raise
        # distribution 2 takes the tag for a digest that is malformed
        raise Unsupported(f"{session.name} does not delete tags: delete {what} by its digest") from error


def remove_blob(session: Session, repository: str, digest: Digest) -> None:
    """Deletes the blob from the repository. Raises: as `retract`."""
    what = f"the blob {digest} of {session.name}/{repository}"
    _delete(session, repository, f"/v2/{repository}/blobs/{digest}", what)


def _delete(session: Session, repository: str, path: str, what: str) -> None:
    try:
        with session.send("DELETE", path, scope=Scope(repository, "delete,pull,push"), what=what):
            pass
    except Unsupported as error:
        raise Unsupported(
            f"{session.name} does not delete {what}: its settings may allow it "
            "(distribution: REGISTRY_STORAGE_DELETE_ENABLED=true)"
        ) from error


def _subject(session: Session, repository: str, digest: Digest) -> Digest | None:
    """What the manifest is about, if it is about anything."""
    what, path = f"{session.name}/{repository}@{digest}", f"/v2/{repository}/manifests/{digest}"
    headers = {"Accept": _ACCEPT}
    try:
        with session.send("GET", path, scope=Scope(repository), what=what, headers=headers) as response:
            document = parse_manifest(bounded(response, MAX_DOCUMENT))
    except (InvalidArgument, Unsupported):  # it can be deleted for all that
        return None
    return document.subject.digest if document.subject else None
