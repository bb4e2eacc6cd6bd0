"""JSON from strangers, read field by field with its types.

    document = Document.parse(data, "manifest")
    document.text("mediaType", default="")
    document.documents("layers")[0].number("size")

Go writes `null` for what is empty, so null reads as absent. What is not asked for is not looked at.
"""

from __future__ import annotations

import json
from typing import Any

from containerlib.errors import InvalidArgument

__all__ = ["MAX_DOCUMENT", "Document", "parse_json"]

MAX_DOCUMENT = 4 * 1024 * 1024
"""The largest manifest or config that is read, in bytes. Spec: distribution-spec spec.md#pushing-manifests"""

_REQUIRED: Any = object()


class Document:
    """One JSON object; `where` is its path in the whole, for messages."""

    __slots__ = ("_fields", "where")

    def __init__(self, value: object, where: str) -> None:
        if not isinstance(value, dict):
            raise InvalidArgument(f"an object is needed, not {_kind(value)}", field=where)
        self._fields: dict[str, object] = value
        self.where = where

    @classmethod
    def parse(cls, data: bytes, where: str) -> Document:
        """Raises: InvalidArgument where `data` is not a JSON object in UTF-8."""
        return cls(parse_json(data, where), where)

    def text(self, name: str, default: str = _REQUIRED) -> str:
        value: str = self._typed(name, str, default)
        return value

    def number(self, name: str, default: int = _REQUIRED) -> int:
        """A whole number that is not negative."""
        value: int = self._typed(name, int, default)
        if isinstance(value, bool) or value < 0:
            raise InvalidArgument(f"a size or count is needed, not {value!r}", field=self._path(name))
        return value

    def document(self, name: str) -> Document:
        """The object `name`, empty if it is absent."""
        return Document(self._typed(name, dict, {}), self._path(name))

    def documents(self, name: str) -> list[Document]:
        """The list of objects `name`, empty if it is absent."""
        items: list[object] = self._typed(name, list, [])
        return [Document(item, f"{self._path(name)}[{i}]") for i, item in enumerate(items)]

    def texts(self, name: str) -> tuple[str, ...] | None:
        """The list of strings `name`, None if it is absent. A lone string is a list of one."""
        value = self._fields.get(name)
        if value is None:
            return None
        if isinstance(value, str):
            return (value,)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise InvalidArgument(f"a list of strings is needed, not {_kind(value)}", field=self._path(name))
        return tuple(value)

    def keys(self, name: str) -> tuple[str, ...]:
        """The sorted keys of the object `name`: JSON's way to write a set."""
        return tuple(sorted(self._typed(name, dict, {})))

    def mapping(self, name: str) -> tuple[tuple[str, str], ...]:
        """The object of strings `name` as sorted pairs."""
        items: dict[str, object] = self._typed(name, dict, {})
        if not all(isinstance(value, str) for value in items.values()):
            raise InvalidArgument("an object of strings is needed", field=self._path(name))
        return tuple(sorted((key, str(value)) for key, value in items.items()))

    def annotation(self, name: str) -> str:
        """The annotation `name`, empty if there is none: a strange one is no error, only a hint lost."""
        annotations = self._fields.get("annotations")
        value = annotations.get(name) if isinstance(annotations, dict) else None
        return value if isinstance(value, str) else ""

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
    """`data` as JSON. Raises: InvalidArgument, also for what is nested too deep to read."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"it is not JSON: {error}", field=where) from error


def _kind(value: object) -> str:
    return "null" if value is None else type(value).__name__
