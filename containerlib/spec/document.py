"""JSON from strangers, read field by field with its types.

    document = Document.parse(data, "manifest")
    document.text("mediaType", default="")
    document.documents("layers")[0].number("size")

Go writes `null` for what is empty, so null reads as absent. What is not asked for is not looked at, but nothing may
be there twice: which of two equal keys counts differs from parser to parser, and Go's takes `Layers` for `layers`.
"""

from __future__ import annotations

import json
import re
from typing import Any

from containerlib.errors import InvalidArgument

__all__ = ["MAX_DOCUMENT", "Document", "parse_json"]

MAX_DOCUMENT = 4 * 1024 * 1024
"""The largest manifest or config that is read, in bytes. Spec: distribution-spec spec.md#pushing-manifests"""

_MAX_NODES = 100_000
"""The most objects and lists: as small as `{}` is, 4 MiB of them would be 90 MB of memory."""
_MAX_NUMBER = (1 << 63) - 1
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")

_NAME = r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"
_MEDIA_TYPE = re.compile(f"{_NAME}/{_NAME}", re.ASCII)

_REQUIRED: Any = object()


class Document:
    """One JSON object; `where` is its path in the whole, for messages."""

    __slots__ = ("_fields", "where")

    def __init__(self, value: object, where: str) -> None:
        if not isinstance(value, dict):
            raise InvalidArgument(f"an object is needed, not {_kind(value)}", field=where)
        if len({name.lower() for name in value}) != len(value):
            raise InvalidArgument("two of its fields differ in upper and lower case only", field=where)
        self._fields: dict[str, object] = value
        self.where = where

    @classmethod
    def parse(cls, data: bytes, where: str) -> Document:
        """Raises: InvalidArgument where `data` is not a JSON object in UTF-8."""
        return cls(parse_json(data, where), where)

    def text(self, name: str, default: str = _REQUIRED) -> str:
        value: str = self._typed(name, str, default)
        return value

    def media_type(self, name: str, default: str = _REQUIRED) -> str:
        """A text of RFC 6838's form (section 4.2): it can be sent in a header as it is."""
        text = self.text(name, default)
        if text != default and not _MEDIA_TYPE.fullmatch(text):
            raise InvalidArgument(
                f'{text[:200]!r} is not a media type such as "application/json"', field=self._path(name)
            )
        return text

    def number(self, name: str, default: int = _REQUIRED) -> int:
        """A whole number that is not negative, and that 64 bits with a sign hold."""
        value: int = self._typed(name, int, default)
        if isinstance(value, bool) or not 0 <= value <= _MAX_NUMBER:
            raise InvalidArgument(f"a size or count is needed, not {str(value)[:30]}", field=self._path(name))
        return value

    def flag(self, name: str) -> bool:
        """True or false; false if it is absent."""
        value: bool = self._typed(name, bool, False)
        return value

    def document(self, name: str) -> Document:
        """The object `name`, empty if it is absent."""
        return Document(self._typed(name, dict, {}), self._path(name))

    def documents(self, name: str) -> list[Document]:
        """The list of objects `name`, empty if it is absent."""
        items: list[object] = self._typed(name, list, [])
        return [Document(item, f"{self._path(name)}[{i}]") for i, item in enumerate(items)]

    def texts(self, name: str) -> tuple[str, ...]:
        """The list of strings `name`, empty if it is absent."""
        items: list[object] = self._typed(name, list, [])
        if not all(isinstance(item, str) for item in items):
            raise InvalidArgument("a list of strings is needed", field=self._path(name))
        return tuple(str(item) for item in items)

    def argv(self, name: str) -> tuple[str, ...] | None:
        """As `texts`, but None if it is absent, and a lone string is a list of one: as Docker reads commands."""
        value = self._fields.get(name)
        if value is None or isinstance(value, str):
            return None if value is None else (value,)
        return self.texts(name)

    def keys(self, name: str) -> tuple[str, ...]:
        """The sorted keys of the object `name`: JSON's way to write a set."""
        return tuple(sorted(self._typed(name, dict, {})))

    def mapping(self, name: str) -> tuple[tuple[str, str], ...]:
        """The object of strings `name` as sorted pairs."""
        items: dict[str, object] = self._typed(name, dict, {})
        if not all(isinstance(value, str) for value in items.values()):
            raise InvalidArgument("an object of strings is needed", field=self._path(name))
        return tuple(sorted((key, str(value)) for key, value in items.items()))

    def __contains__(self, name: str) -> bool:
        return self._fields.get(name) is not None

    def _typed(self, name: str, kind: type, default: Any) -> Any:
        value = self._fields.get(name)
        if value is None:
            if default is _REQUIRED:
                raise InvalidArgument("it is missing", field=self._path(name))
            return default
        if not isinstance(value, kind):
            raise InvalidArgument(f"{kind.__name__} is needed, not {_kind(value)}", field=self._path(name))
        return value

    def _path(self, name: str) -> str:
        return f"{self.where}.{name}"


def parse_json(data: bytes, where: str) -> object:
    """`data` as JSON. Raises: InvalidArgument, also for what is nested too deep, or has a key twice."""
    if data.count(b"{") + data.count(b"[") > _MAX_NODES:
        raise InvalidArgument(f"more than {_MAX_NODES} objects and lists are in it", field=where)
    try:
        value: object = json.loads(data.decode(), object_pairs_hook=_unique, parse_constant=_refuse_constant)
        if _SURROGATE.search(data):
            json.dumps(value, ensure_ascii=False).encode()  # refuses half a pair, which no text may have
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"it is not JSON: {str(error)[:300]}", field=where) from error
    return value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value: dict[str, object] = {}
    for name, item in pairs:
        if name in value:
            raise ValueError(f"an object has the key {name[:100]!r} twice")
        value[name] = item
    return value


def _refuse_constant(word: str) -> object:
    raise ValueError(f"{word} is a word of JavaScript's")


def _kind(value: object) -> str:
    return "null" if value is None else type(value).__name__
