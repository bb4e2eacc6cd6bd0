"""The one request that puts a manifest or an index into a registry.

distribution keeps what a repository has in files that it does not exchange at once: who looks while another client
pushes the same blob finds one of them empty, and what names that blob is refused with DIGEST_INVALID.

Spec: distribution-spec spec.md#pushing-manifests
"""

from __future__ import annotations

from itertools import count

from containerlib.errors import RegistryError, Unsupported
from containerlib.images.registry.session import Scope, Session
from containerlib.images.registry.uploads import check_digest
from containerlib.spec.digest import Digest
from containerlib.spec.image import Index, Manifest

__all__ = ["put_manifest"]


def put_manifest(
    session: Session,
    repository: str,
    document: Manifest | Index,
    *,
    tag: str = "",
    digest: Digest | None = None,
) -> bool:
    """Puts it under `tag`, or under its digest. Whether the registry lists it with its subject's referrers.

    Raises: Unsupported where the registry knows no such digests; as `Session.send`; RegistryError where it is stored
    as something else.
    """
    descriptor, data = document.descriptor(), document.to_bytes()
    digest = digest or descriptor.digest
    target = tag or digest
    what = f"{session.name}/{repository}{':' if tag else '@'}{target}"
    path, headers = f"/v2/{repository}/manifests/{target}", {"Content-Type": descriptor.media_type}
    scope = Scope(repository, "pull,push")
    for attempt in count():
        try:
            with session.send("PUT", path, scope=scope, what=what, headers=headers, content=data) as response:
                check_digest(session.name, response, digest, what)
                return "OCI-Subject" in response.headers
        except RegistryError as error:
            if (error.status, error.code) != (400, "DIGEST_INVALID"):
                raise
            if digest.algorithm != "sha256":  # distribution 2 holds every manifest against its sha256
                raise Unsupported(
                    f"{session.name} takes no manifest by its {digest.algorithm}, by which an index names it: "
                    "push to another registry, or an index that is made anew"
                ) from error
            # The digest is of these bytes: that it is wrong passes.
            if attempt + 1 >= session.retry.attempts:
                raise
        session.pause(attempt)
    raise AssertionError("the last attempt raises")
