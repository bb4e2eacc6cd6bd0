"""The tags of a repository.

Spec: distribution-spec spec.md#listing-tags.
"""

from __future__ import annotations

from collections.abc import Iterator

from containerlib.errors import InvalidArgument, RegistryError
from containerlib.images.registry.pages import pages
from containerlib.images.registry.session import Scope, Session
from containerlib.spec.document import Document
from containerlib.spec.reference import check_tag

__all__ = ["tags"]


def tags(session: Session, repository: str, *, page_size: int = 0) -> Iterator[str]:
    """Every tag, in the registry's order, page by page.

    `page_size` is how many are asked for at once (0: as many as the registry likes).

    Raises: NotFound for a repository without any; as `Session.send`; RegistryError for what is no list of tags.
    """
    what = f"the tags of {session.name}/{repository}"
    path = f"/v2/{repository}/tags/list{f'?n={page_size}' if page_size else ''}"
    for page in pages(session, path, scope=Scope(repository), what=what):
        try:
            names = Document.parse(page.data, "tags").texts("tags")
            yield from [check_tag(name, field=f"tags[{i}]") for i, name in enumerate(names)]
        except InvalidArgument as error:
            raise RegistryError(f"{session.name} answered for {what}: {error}", code="MALFORMED") from error
