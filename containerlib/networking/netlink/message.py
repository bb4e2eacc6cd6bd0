"""Netlink's datagrams: a header, what it is about, and attributes by number, in the machine's byte order.

Spec: netlink(7); linux/netlink.h
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

__all__ = [
    "ACK",
    "CREATE",
    "DUMP",
    "EXCLUSIVE",
    "Request",
    "attribute",
    "attributes",
    "be16",
    "be32",
    "be64",
    "each_attribute",
    "messages",
    "nested",
    "packed",
    "text",
    "u8",
    "u16",
    "u32",
]

REQUEST, ACK, DUMP = 0x1, 0x4, 0x300
REPLACE, EXCLUSIVE, CREATE, APPEND = 0x100, 0x200, 0x400, 0x800
ERROR, DONE = 2, 3
CAPPED, ACK_ATTRIBUTES, DUMP_INTERRUPTED = 0x100, 0x200, 0x10

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_NESTED = 0x8000
_TYPE = 0x3FFF
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")


class Request(NamedTuple):
    """One message to the kernel. `subject`: what it is about, for the words of its failure.

    `tolerated`: errnos that mean that it is done already.
    """

    kind: int
    body: bytes
    subject: str
    flags: int = ACK
    tolerated: tuple[int, ...] = ()

    def pack(self, sequence: int = 0) -> bytes:
        length = _HEADER.size + len(self.body)
        return _HEADER.pack(length, self.kind, REQUEST | self.flags, sequence, 0) + self.body


def packed(requests: Sequence[Request], first: int = 1) -> bytes:
    """One datagram of them, numbered from `first` on."""
    return b"".join(request.pack(first + index) for index, request in enumerate(requests))


def attribute(kind: int, data: bytes) -> bytes:
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(data), kind) + data + _PADDING[len(data) % 4]


def nested(kind: int, *inner: bytes) -> bytes:
    return attribute(kind | _NESTED, b"".join(inner))


def text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")


def u8(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=B", value))


def u16(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=H", value))


def u32(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=I", value))


def be16(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack(">H", value))


def be32(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack(">I", value))


def be64(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack(">Q", value))


def attributes(data: bytes) -> Mapping[int, bytes]:
    """By their number; of several with one number the last."""
    return dict(each_attribute(data))


def each_attribute(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size:
            return
        yield kind & _TYPE, data[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3


class Answer(NamedTuple):
    """A message from the kernel."""

    kind: int
    flags: int
    sequence: int
    body: bytes


def messages(datagram: bytes) -> Iterator[Answer]:
    at = 0
    while at + _HEADER.size <= len(datagram):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(datagram, at)
        if length < _HEADER.size:
            return
        yield Answer(kind, flags, sequence, datagram[at + _HEADER.size : at + length])
        at += (length + 3) & ~3
