"""Referrers where the registry keeps no list of them: an index under the tag `sha256-<hex of the subject>`.

    read:    GET the index; none is an empty one
    change:  GET, PUT the index with the change, wait, GET again: is the change still there?
                                                  ^ no: another client had read before, and written after

There is no way to say "only if unchanged". So whoever writes looks again once all who may have read the index before
have written theirs, which is a few times as long as it took itself, and begins anew where its change was lost.

Spec: distribution-spec spec.md#referrers-tag-schema.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from attrs import evolve

from containerlib.errors import InvalidArgument, RegistryError, Unsupported
from containerlib.images.registry.answers import bounded
from containerlib.images.registry.manifests import put_manifest
from containerlib.images.registry.session import SUCCESS, Scope, Session
from containerlib.spec.descriptor import Descriptor, MediaType
from containerlib.spec.digest import Digest
from containerlib.spec.document import MAX_DOCUMENT
from containerlib.spec.image import Index, Manifest, parse_manifest

__all__ = ["add", "entry_of", "read", "remove", "tag_of"]

_ATTEMPTS = 20
_LEAST_WAIT = 0.05
_WAIT = 3.0
"""In units of what reading and writing took."""

Entries = tuple[Descriptor, ...]


def tag_of(subject: Digest) -> str:
    """The tag of the index; the digest of SHA-512 is cut so that it is one."""
    return f"{subject.algorithm}-{subject.hex[:64]}"


def entry_of(document: Manifest | Index) -> Descriptor:
    """How the manifest is listed."""
    return evolve(document.descriptor(), artifact_type=document.kind, annotations=document.annotations)


def read(session: Session, repository: str, subject: Digest) -> Entries:
    """The entries; none where there is no index.

    Raises: as `Session.send`; RegistryError where there is something else under the tag.
    """
    tag = tag_of(subject)
    what, path = f"{session.name}/{repository}:{tag}", f"/v2/{repository}/manifests/{tag}"
    headers, scope, accept = {"Accept": MediaType.INDEX}, Scope(repository), SUCCESS | {404}
    with session.send("GET", path, scope=scope, what=what, headers=headers, accept=accept) as response:
        if response.status_code == 404:
            return ()
        data = bounded(response, MAX_DOCUMENT)
    try:
        document = parse_manifest(data)
        if isinstance(document, Index):
            return document.manifests
        why = "it is a manifest"
    except (InvalidArgument, Unsupported) as error:
        why = str(error)
    raise RegistryError(f"{what} should be a list of referrers, and is not: {why}", code="MALFORMED")


def add(session: Session, repository: str, subject: Digest, entry: Descriptor) -> None:
    """Has `entry` in the index. Raises: as `read`."""

    def change(entries: Entries) -> Entries:
        known = any(other.digest == entry.digest for other in entries)
        return entries if known else (*entries, entry)

    _change(session, repository, subject, change)


def remove(session: Session, repository: str, subject: Digest, digest: Digest) -> None:
    """Has no entry of `digest` in the index. Raises: as `read`."""
    _change(session, repository, subject, lambda entries: tuple(e for e in entries if e.digest != digest))


def _change(session: Session, repository: str, subject: Digest, change: Callable[[Entries], Entries]) -> None:
    for _ in range(_ATTEMPTS):
        start = time.monotonic()
        entries = read(session, repository, subject)
        changed = change(entries)
        if changed == entries:
            return
        try:
            put_manifest(session, repository, Index(changed), tag=tag_of(subject))
        except RegistryError as error:
            there = tuple(entry for entry in changed if _exists(session, repository, entry))
            if not 400 <= error.status < 500 or there == changed:
                raise
            put_manifest(
                session, repository, Index(there), tag=tag_of(subject)
            )  # without what somebody deleted and left in the list
        taken = time.monotonic() - start
        session.wait(max(_LEAST_WAIT, taken * _WAIT) * random.uniform(1.0, 2.0))  # noqa: S311 - spreads clients
    raise RegistryError(
        f"the list of referrers of {session.name}/{repository}@{subject} is changed by others all the time: "
        "try again later"
    )


def _exists(session: Session, repository: str, entry: Descriptor) -> bool:
    what, path = f"{session.name}/{repository}@{entry.digest}", f"/v2/{repository}/manifests/{entry.digest}"
    headers, scope, accept = {"Accept": entry.media_type}, Scope(repository), SUCCESS | {404}
    with session.send("HEAD", path, scope=scope, what=what, headers=headers, accept=accept) as response:
        return response.is_success
