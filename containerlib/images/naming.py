"""What callers write for images: names, understood."""

from __future__ import annotations

from contextlib import suppress

from containerlib.errors import InvalidArgument
from containerlib.spec.reference import Reference
from containerlib.store import ImageRow

__all__ = ["reference_in", "tag_of", "tags_of"]


def tags_of(reference: str | None) -> tuple[str, ...]:
    """The full name, which has to be a tag; none for None."""
    return () if reference is None else (str(tag_of(reference)),)


def tag_of(reference: str) -> Reference:
    name = Reference.parse(reference)
    if name.digest is not None:
        raise InvalidArgument(f"{reference!r} has a digest, and a tag has none", field="reference")
    return name


def reference_in(row: ImageRow, name: str) -> str | None:
    """`name` as one of the image's references; None where it is an id."""
    with suppress(InvalidArgument):
        full = str(Reference.parse(name))
        return full if full in row.references else None
    return None
