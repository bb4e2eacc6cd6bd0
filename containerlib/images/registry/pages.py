"""Lists that a registry gives in pages: the next one is where `Link: <...>; rel="next"` leads.

Spec: distribution-spec spec.md#listing-tags; RFC 8288.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from urllib.parse import urljoin

from attrs import field, frozen

from containerlib.errors import InvalidArgument, RegistryError
from containerlib.images.registry.answers import bounded, request_line
from containerlib.images.registry.hosts import origin, split_url
from containerlib.images.registry.session import SUCCESS, Scope, Session
from containerlib.spec.document import MAX_DOCUMENT

__all__ = ["Page", "next_link", "pages"]

_MAX_PAGES = 10_000
_MAX_BYTES = 64 * 1024 * 1024
"""Of all pages: a million tags have less."""
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - HTTP's word for a word
_PARAMETER = rf'\s*;\s*(?:{_TOKEN})(?:\s*=\s*(?:"(?:[^"\\]|\\.)*"|[^",;\s]*))?'
_LINK = re.compile(rf"\s*<(?P<url>[^<>]*)>(?P<parameters>(?:{_PARAMETER})*)\s*,?")
_RELATION = re.compile(r';\s*rel\s*=\s*(?:"([^"]*)"|([^",;\s]*))', re.IGNORECASE)


@frozen
class Page:
    """One answer: its status, the headers that matter to lists, and its body."""

    status: int
    data: bytes = field(repr=False)
    filters: str = ""


def pages(
    session: Session, path: str, *, scope: Scope, what: str, accept: frozenset[int] = SUCCESS
) -> Iterator[Page]:
    """Every page, each when it is asked for.

    Raises: as `Session.send`; RegistryError for a link that leaves the registry, or goes on without end.
    """
    url, seen, size = path, {path}, 0
    while True:
        with session.send("GET", url, scope=scope, what=what, accept=accept) as response:
            data = bounded(response, MAX_DOCUMENT)
            link = next_link(response.headers.get_list("Link"))
            here = str(response.url)
            filters = response.headers.get("OCI-Filters-Applied", "")
        yield Page(response.status_code, data, filters)
        if not link:
            return
        url = _beside(here, link)
        why = ""
        if not url or origin(url) != origin(session.base):
            why = "of another host"
        elif url in seen or len(seen) == _MAX_PAGES:
            why = "that has no end"
        if why:
            raise RegistryError(
                f"{session.name} goes on with a list {why}, for {what}",
                code="MALFORMED",
                request=request_line("GET", here),
            )
        seen.add(url)
        size += len(data)
        if size > _MAX_BYTES:
            raise RegistryError(
                f"more than {_MAX_BYTES} bytes came for {what}, which is no honest list",
                code="SIZE_INVALID",
                request=request_line("GET", here),
            )


def _beside(here: str, link: str) -> str:
    """Where `link` leads from `here`, empty where that is nowhere, or has a user name in it."""
    try:
        url: str = urljoin(here, link)
        return "" if split_url(url).username is not None else url
    except (ValueError, InvalidArgument):
        return ""


def next_link(headers: Iterable[str]) -> str:
    """The target of the first link whose relation is `next`, empty if there is none."""
    for header in headers:
        position = 0
        while match := _LINK.match(header, position):
            position = match.end()
            relation = _RELATION.search(match["parameters"])  # RFC 8288: only the first counts
            if relation and "next" in (relation[1] or relation[2] or "").lower().split():
                return match["url"]
    return ""
