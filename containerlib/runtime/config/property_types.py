"""What a row of the table of properties is, and how one is written. Its users import properties.py."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from attrs import frozen

from containerlib.runtime.config.refusals import REFUSALS

__all__ = ["Property", "Section", "Status", "done", "each", "not_linux", "refused"]

_REFUSAL_TEST = (
    "tests/unit/runtime/test_validate.py::test_property_that_is_refused_is_named_with_the_reason[{path}]"
)


class Status(Enum):
    """What becomes of a property; the value is the word in the documentation."""

    IMPLEMENTED = "implemented"
    REFUSED = "refused"
    NOT_LINUX = "not on Linux"


@frozen
class Property:
    """`test` is the pytest node id that shows it, `sentence` what the error says or how far it goes.

    `untested`: what of it cannot be tested on the project's machines, and why.
    """

    path: str
    status: Status
    test: str = ""
    sentence: str = ""
    untested: str = ""


@frozen
class Section:
    """`anchor`: its place in the specification, `config-linux.md#memory`."""

    title: str
    anchor: str
    rows: tuple[Property, ...]


def done(path: str, test: str = "", sentence: str = "", untested: str = "") -> Property:
    """A row of what is implemented."""
    return Property(path, Status.IMPLEMENTED, test, sentence, untested)


def refused(path: str, status: Status = Status.REFUSED) -> Property:
    """A row of REFUSALS."""
    test = _REFUSAL_TEST.format(path=path)
    return Property(path, status, test, REFUSALS[path])


def not_linux(path: str) -> Property:
    """A row of REFUSALS that is for another platform."""
    return refused(path, Status.NOT_LINUX)


def each(prefix: str, words: Iterable[str], test: str = "", untested: str = "") -> tuple[Property, ...]:
    """Rows that have all but the end of their paths in common."""
    return tuple(done(f"{prefix}{word}", test, untested=untested) for word in words)
