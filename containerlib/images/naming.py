"""What callers write for images: names, understood."""

from __future__ import annotations

from contextlib import suppress

from containerlib.errors import InvalidArgument, NotFound
from containerlib.spec.digest import ALGORITHMS
from containerlib.spec.reference import Reference
from containerlib.store import ImageRow, ImageTable
from containerlib.units import check_kind

__all__ = ["find_row", "reference_in", "tag_of", "tags_of"]

_DIGITS = frozenset("0123456789abcdef")
_FEWEST, _WHOLE = 4, 64


def _is_id(name: str) -> bool:
    """Whether `name` can be no reference, only an id: a digest or its start, or as many digits as SHA-256 has."""
    algorithm, _, digits = name.rpartition(":")
    return algorithm in ALGORITHMS or (len(digits) == _WHOLE and name == digits and not set(digits) - _DIGITS)


def _starts_of_ids(name: str) -> tuple[str, ...]:
    """What ids start with that `name` may stand for: a digest or its start, whose algorithm may be left out."""
    algorithm, colon, digits = name.rpartition(":")
    if len(digits) < _FEWEST or set(digits) - _DIGITS or (colon and algorithm not in ALGORITHMS):
        return ()
    return (name,) if colon else tuple(f"{each}:{digits}" for each in ALGORITHMS)


def find_row(table: ImageTable, name: str) -> ImageRow:
    """The image by its full id, its reference, or the start of its id, in this order as in Docker.

    Raises: NotFound; InvalidArgument where it can be no reference, or several ids start so.
    """
    if not _is_id(name):
        row = table.by_reference(str(Reference.parse(name)))
        if row is not None:
            return row
    rows = [row for start in _starts_of_ids(name) for row in table.by_id(start)]
    if len(rows) > 1:
        raise InvalidArgument(f"several images' ids start with {name!r}: write more of it", field="id")
    if not rows:
        raise NotFound(f"there is no image {name!r} here: pull or load it first")
    return rows[0]


def tags_of(reference: str | None) -> tuple[str, ...]:
    """The full name, which has to be a tag; none for None."""
    return () if reference is None else (str(tag_of(reference)),)


def tag_of(reference: str) -> Reference:
    check_kind(reference, str, want='a name: write "repository:tag"', field="reference")
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
