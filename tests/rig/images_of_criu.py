"""CRIU's images with one field changed, as whoever forges one writes them.

core.write_bytes(changed_image(core.read_bytes(), (5, 10, 1), 0))     # thread_core.creds.uid
"""

from __future__ import annotations

import struct

from containerlib.runtime.checkpoint.protobuf import BYTES, NUMBER, Field, encode

__all__ = ["changed_image"]


def changed_image(data: bytes, path: tuple[int, ...], value: int | bytes | None) -> bytes:
    """The image of one message with `value` for the field at `path`; None: without it."""
    message = _changed(data[12:], path, value)
    return data[:8] + struct.pack("<I", len(message)) + message


def _changed(message: bytes, path: tuple[int, ...], value: int | bytes | None) -> bytes:
    kept, at, inner = bytearray(), 0, b""
    while at < len(message):
        begin = at
        key, at = _number(message, at)
        if key & 7 == 0:
            _, at = _number(message, at)
            body = at
        elif key & 7 == 2:
            size, body = _number(message, at)
            at = body + size
        else:
            body, at = at, at + (8 if key & 7 == 1 else 4)
        if key >> 3 != path[0]:
            kept += message[begin:at]
        elif len(path) > 1:
            inner = message[body:at]
    if len(path) > 1:
        return bytes(kept) + _field(path[0], _changed(inner, path[1:], value))
    return bytes(kept) if value is None else bytes(kept) + _field(path[0], value)


def _field(number: int, value: int | bytes) -> bytes:
    return encode({"it": Field(number, NUMBER if isinstance(value, int) else BYTES)}, {"it": value})


def _number(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at, value, shift = at + 1, value | (byte & 0x7F) << shift, shift + 7
        if byte < 0x80:
            return value, at
