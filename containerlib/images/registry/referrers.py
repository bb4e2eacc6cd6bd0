"""What refers to a manifest: signatures, bills of materials and whatever else names it as its subject.

Registries of distribution-spec 1.1 answer for it; for others it is what the fallback tag names.

Spec: distribution-spec spec.md#listing-referrers.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlencode

from containerlib.errors import InvalidArgument, RegistryError
from containerlib.images.registry import fallback
from containerlib.images.registry.pages import Page, pages
from containerlib.images.registry.session import SUCCESS, Scope, Session
from containerlib.spec.descriptor import Descriptor
from containerlib.spec.digest import Digest
from containerlib.spec.image import Index

__all__ = ["has_referrers", "referrers"]

_UNKNOWN = frozenset({404, 405})
"""What registries say that know no such list: one that does says that it is empty."""


def referrers(
    session: Session, repository: str, digest: Digest, *, artifact_type: str = ""
) -> Iterator[Descriptor]:
    """The manifests whose subject is `digest`, only those of `artifact_type` if it is given, page by page.

    Raises: as `Session.send`; RegistryError for what is no list of referrers.
    """
    for page in _pages(session, repository, digest, artifact_type):
        # Asked to filter, a registry may not: it says so by leaving OCI-Filters-Applied out, and is not trusted to.
        known = page.status not in _UNKNOWN
        entries = _entries(session, page) if known else fallback.read(session, repository, digest)
        yield from (entry for entry in entries if artifact_type in ("", entry.artifact_type))


def has_referrers(session: Session, repository: str, digest: Digest) -> bool:
    """Whether the registry keeps lists of referrers: then it answers also where there are none."""
    return next(_pages(session, repository, digest, "")).status not in _UNKNOWN


def _pages(session: Session, repository: str, digest: Digest, artifact_type: str) -> Iterator[Page]:
    query = f"?{urlencode({'artifactType': artifact_type})}" if artifact_type else ""
    return pages(
        session,
        f"/v2/{repository}/referrers/{digest}{query}",
        scope=Scope(repository),
        what=f"the referrers of {session.name}/{repository}@{digest}",
        accept=SUCCESS | _UNKNOWN,
    )


def _entries(session: Session, page: Page) -> tuple[Descriptor, ...]:
    try:
        return Index.from_bytes(page.data).manifests
    except InvalidArgument as error:
        raise RegistryError(
            f"{session.name} answered with no list of referrers: {error}", code="MALFORMED"
        ) from error
