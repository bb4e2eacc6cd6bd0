"""As much of the protobuf wire format as CRIU's messages need: numbers, booleans, strings and messages in messages.

    PAGE = {"address": Field(1, TEXT), "port": Field(2, NUMBER)}
    data = encode(PAGE, {"address": "::1", "port": 27})
    decode(PAGE, data)                                      # {"address": "::1", "port": 27}

A list is a repeated field. What a table does not know is passed over, as newer messages have it.

Spec: protobuf.dev/programming-guides/encoding
"""

from __future__ import annotations

from collections.abc import Mapping

from containerlib.errors import InvalidArgument
from containerlib.spec.values import NamedTuple, cast

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["BYTES", "FLAG", "NUMBER", "TEXT", "Field", "Table", "decode", "encode", "without"]

NUMBER, FLAG, TEXT, BYTES = "number", "flag", "text", "bytes"
"""int32, uint32 and enums; bool; string; bytes."""
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED = {_FIXED64: 8, _FIXED32: 4}
_SIGNED = 1 << 63
_MASK = (1 << 64) - 1
_LONGEST = 70
"""Bits that ten bytes of a number have."""


class Field(NamedTuple):
    """A field by its number; `kind`: what it is, or the table of the message that it is."""

    number: int
    kind: str | Mapping[str, Field]
    repeated: bool = False


Table = Mapping[str, Field]


def encode(table: Table, values: Mapping[str, Any]) -> bytes:
    """The message of `values`, of which those that are None are left out."""
    parts = []
    for name, value in values.items():
        field = table[name]
        for each in value if field.repeated else () if value is None else (value,):
            parts.append(_encode_field(field, each))
    return b"".join(parts)


def decode(table: Table, data: bytes) -> dict[str, Any]:
    """What a message says; of a repeated field a list. Raises: InvalidArgument where it is none.

    A message in it that comes twice is refused: other readers merge the two.
    """
    known = {field.number: (name, field) for name, field in table.items()}
    values: dict[str, Any] = {}
    at = 0
    while at < len(data):
        key, at = _read_number(data, at)
        value, at = _read_value(data, at, key & 7)
        name, field = known.get(key >> 3, ("", None))
        if field is None:
            continue
        if isinstance(value, bytes) != (field.kind not in (NUMBER, FLAG)):
            raise InvalidArgument(f"field {key >> 3} of a message has another type than {name}")
        read = _decoded(field, value)
        if field.repeated:
            values.setdefault(name, []).append(read)
        elif isinstance(read, dict) and name in values:
            raise InvalidArgument(f"a message has two of {name}")
        else:
            values[name] = read
    return values


def without(data: bytes, path: tuple[int, ...]) -> bytes:
    """A message without the field that is found by these numbers; all else as it is. Raises: InvalidArgument."""
    kept = bytearray()
    at = 0
    while at < len(data):
        begin = at
        key, at = _read_number(data, at)
        value, at = _read_value(data, at, key & 7)
        if key >> 3 != path[0]:
            kept += data[begin:at]
        elif len(path) > 1:
            inner = without(value, path[1:]) if isinstance(value, bytes) else b""
            kept += _number(key) + _number(len(inner)) + inner
    return bytes(kept)


def _encode_field(field: Field, value: Any) -> bytes:
    if field.kind in (NUMBER, FLAG):
        return _number(field.number << 3 | _VARINT) + _number(int(value) & _MASK)
    data: bytes
    if field.kind == TEXT:
        data = value.encode("utf-8", "surrogateescape")
    elif field.kind == BYTES:
        data = value
    else:
        data = encode(cast(Table, field.kind), value)
    return _number(field.number << 3 | _BYTES) + _number(len(data)) + data


def _decoded(field: Field, value: int | bytes) -> Any:
    if isinstance(value, bytes):
        if field.kind == TEXT:
            return value.decode("utf-8", "surrogateescape")
        if field.kind == BYTES:
            return value
        return decode(cast(Table, field.kind), value)
    if field.kind == FLAG:
        return value != 0
    return value - (1 << 64) if value & _SIGNED else value


def _number(value: int) -> bytes:
    """A varint: seven bits a byte, the lowest first; all but the last have the highest bit."""
    data = bytearray()
    while value > 0x7F:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    data.append(value)
    return bytes(data)


def _read_number(data: bytes, at: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        if at >= len(data) or shift >= _LONGEST:
            raise InvalidArgument("a message ends in the middle of a number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value & _MASK, at


def _read_value(data: bytes, at: int, wire: int) -> tuple[int | bytes, int]:
    if wire == _VARINT:
        return _read_number(data, at)
    if wire == _BYTES:
        size, at = _read_number(data, at)
    elif wire in _FIXED:
        size = _FIXED[wire]
    else:
        raise InvalidArgument(f"a message has a field of the unknown wire type {wire}")
    if size > len(data) - at:
        raise InvalidArgument("a message ends in the middle of a field")
    return data[at : at + size], at + size
