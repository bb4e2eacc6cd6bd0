"""Checks of JSON values, put together like the schema that they stand for.

    user = record({"uid": integer(0, 2**32 - 1), "additionalGids": array(integer(0, 2**32 - 1))})
    user(value)                                    # nothing, or Wrong: .path() says where, .message what

A check is a function that raises Wrong. It is called for every value of every config.json, so that what is right
costs a call and no more: the path to what is wrong is put together on the way out.

Spec: runtime-spec config.md#valid-values, config.md#extensibility (unknown properties are passed over).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "INT64",
    "UINT16",
    "UINT32",
    "UINT64",
    "Check",
    "Wrong",
    "absolute",
    "array",
    "boolean",
    "integer",
    "matching",
    "record",
    "shown",
    "step",
    "table",
    "text",
    "texts",
    "word",
    "words",
]

Check = Callable[[object], None]

_SHOWN = 80


class Wrong(Exception):
    """A value that cannot be right; who passes it on adds where it was."""

    def __init__(self, message: str, *where: str | int) -> None:
        super().__init__(message)
        self.message = message
        self.where = list(where)

    def path(self, root: str = "") -> str:
        """Where, as a path from `root`: `mounts[2].options[0]`."""
        return root + "".join(map(step, reversed(self.where))).removeprefix("." if not root else "")


def step(key: str | int) -> str:
    """One step of a path: `.name`, `[2]`, or `["net.core.somaxconn"]` where the key is no name."""
    if isinstance(key, int):
        return f"[{key}]"
    return f".{key}" if re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", key) else f"[{json.dumps(key)}]"


def shown(value: object) -> str:
    """`value` for a message, cut where it is long."""
    try:
        written = json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        written = type(value).__name__
    return written if len(written) <= _SHOWN else f"{written[:_SHOWN]}..."


# ---- one value ----


def boolean(value: Any) -> None:
    if value is not True and value is not False:
        raise Wrong(f"{shown(value)} is neither true nor false")


def text(value: Any) -> None:
    """A string that can be handed to the kernel: without NUL, and Unicode."""
    if not isinstance(value, str):
        raise Wrong(f"{shown(value)} is not a string")
    if "\0" in value:
        raise Wrong(f"{shown(value)} has a NUL in it, where the kernel would cut it")
    if not value.isascii():
        try:
            value.encode(errors="surrogateescape")
        except UnicodeEncodeError:
            raise Wrong(f"{shown(value)} is half a surrogate pair, and no text") from None


def absolute(value: Any) -> None:
    """An absolute path."""
    text(value)
    if not value.startswith("/"):
        raise Wrong(f"{shown(value)} must be an absolute path")


def integer(low: int, high: int) -> Check:
    def check(value: Any) -> None:
        if type(value) is not int:  # True is an int, 1.0 is not what Go's and C's readers take
            raise Wrong(f"{shown(value)} is not an integer")
        if not low <= value <= high:
            raise Wrong(f"{shown(value)} is not within {low} and {high}")

    return check


UINT16 = integer(0, 2**16 - 1)
UINT32 = integer(0, 2**32 - 1)
UINT64 = integer(0, 2**64 - 1)
INT64 = integer(-(2**63), 2**63 - 1)


def matching(pattern: str, meaning: str) -> Check:
    """A string that is `pattern` from end to end; `meaning` completes "... is not"."""

    def check(value: Any) -> None:
        text(value)
        if not re.fullmatch(
            pattern, value, re.ASCII
        ):  # compiled at its first use, which most commands never come to
            raise Wrong(f"{shown(value)} is not {meaning}")

    return check


def word(known: Collection[str], meaning: str) -> Check:
    """One of `known`."""

    def check(value: Any) -> None:
        if type(value) is not str or value not in known:
            text(value)
            raise Wrong(f"{shown(value)} is not {meaning}: one of {', '.join(sorted(known))}")

    return check


# ---- several values ----


def array(item: Check) -> Check:
    def check(value: Any) -> None:
        if not isinstance(value, list):
            raise Wrong(f"{shown(value)} is not an array")
        index = 0
        try:
            for index, element in enumerate(value):  # noqa: B007 - the index is for the failure
                item(element)
        except Wrong as wrong:
            wrong.where.append(index)
            raise

    return check


_each_text = array(text)


def texts(value: Any) -> None:
    """An array of strings."""
    try:
        joined = "".join(value) if type(value) is list else "\0"
    except TypeError:
        joined = "\0"
    if "\0" in joined or not joined.isascii():
        _each_text(value)


def words(known: frozenset[str], meaning: str) -> Check:
    """An array of words out of `known`."""
    each = array(word(known, meaning))

    def check(value: Any) -> None:
        try:
            right = type(value) is list and known.issuperset(value)
        except TypeError:
            right = False
        if not right:
            each(value)

    return check


def record(properties: Mapping[str, Check], *, required: Collection[str] = ()) -> Check:
    """An object with named properties; those that are not named may be anything."""

    def check(value: Any) -> None:
        if not isinstance(value, dict):
            raise Wrong(f"{shown(value)} is not an object")
        key = ""
        try:
            for key, item in value.items():
                if key in properties:
                    properties[key](item)
        except Wrong as wrong:
            wrong.where.append(key)
            raise
        for name in required:
            if name not in value:
                raise Wrong("is required", name)

    return check


def table(item: Check, key: Check = text) -> Check:
    """An object whose keys are the user's own."""

    def check(value: Any) -> None:
        if not isinstance(value, dict):
            raise Wrong(f"{shown(value)} is not an object")
        name = ""
        try:
            for name, element in value.items():
                key(name)
                item(element)
        except Wrong as wrong:
            wrong.where.append(str(name))
            raise

    return check
