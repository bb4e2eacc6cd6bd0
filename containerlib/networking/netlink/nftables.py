"""What is asked of nf_tables: tables, chains, sets, their elements, and rules as lists of expressions.

    rule = [*meta_name(IIF), lookup("bridges"), *ct_status(DNAT), accept()]
    kernel.run(batch(table("containerlib"), chain(...), add_rule("containerlib", "forward", rule)))

A batch is done wholly or not at all. A rule's expressions pass values on in registers: 16 of 4 bytes, from 8 on; a key
of several fields lies in registers one after the other.

Spec: linux/netfilter/nf_tables.h; nft(8)
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from errno import EEXIST, ENOENT
from typing import NamedTuple

from containerlib.networking.netlink.message import (
    ACK,
    CREATE,
    EXCLUSIVE,
    Request,
    attribute,
    attributes,
    be32,
    each_attribute,
    nested,
    text,
    u8,
)

__all__ = ["Expression", "batch"]

INET, BRIDGE = 1, 7
_SUBSYSTEM = 10
_BATCH_BEGIN, _BATCH_END = 16, 17
_NEWTABLE, _GETTABLE, _DELTABLE, _NEWCHAIN, _NEWRULE, _NEWSET, _NEWELEMENT, _GETELEMENT, _DELELEMENT = (
    0,
    1,
    2,
    3,
    6,
    9,
    12,
    13,
    14,
)
_APPEND = 0x800
_NAME = 16
"""Bytes of an interface's name in a key (IFNAMSIZ)."""
_IFNAME = 41
_HOST_ORDER = struct.pack("=BBI", 0, 4, 1)
"""Of a set whose keys are names: nft(8) lists them backwards without it."""

Expression = bytes

# hooks of inet and bridge, and priorities with the names that nft(8) has for them
PREROUTING, INPUT, FORWARD, OUTPUT, POSTROUTING = range(5)
RAW, DSTNAT, FILTER, SRCNAT = -300, -100, 0, 100
BRIDGE_FILTER = -200
ACCEPT, DROP = 1, 0
_VERDICT = 0
REGISTER = 8


class Set(NamedTuple):
    """A set of keys, or with `data_bytes` a map. The types are nft(8)'s numbers, for people who list it."""

    name: str
    key_bytes: int
    key_type: int
    data_bytes: int = 0
    data_type: int = 0


class Element(NamedTuple):
    key: bytes
    data: bytes = b""


def batch(*requests: Request) -> Sequence[Request]:
    """All of them, or none."""
    header = struct.pack(">BBH", 0, 0, _SUBSYSTEM)
    return (
        Request(_BATCH_BEGIN, header, "nftables", flags=0),
        *requests,
        Request(_BATCH_END, header, "nftables", flags=0),
    )


def new_table(family: int, name: str) -> Request:
    """Where it is there already its batch does nothing: two that make it at once do not make its rules twice."""
    return _request(
        _NEWTABLE, family, text(1, name), f"nftables table {name}", CREATE | EXCLUSIVE, tolerated=(EEXIST,)
    )


def get_table(family: int, name: str) -> Request:
    return _request(_GETTABLE, family, text(1, name), f"nftables table {name}")


def get_element(family: int, of: str, name: str, element: Element) -> Request:
    return _elements(_GETELEMENT, family, of, name, [Element(element.key)])


def remove_table(family: int, name: str) -> Request:
    return _request(_DELTABLE, family, text(1, name), f"nftables table {name}")


def base_chain(family: int, of: str, name: str, *, hook: int, priority: int, kind: str = "filter") -> Request:
    """A chain that packets come to by themselves."""
    body = text(1, of) + text(3, name)
    body += nested(4, be32(1, hook), attribute(2, struct.pack(">i", priority)))
    body += be32(5, ACCEPT) + text(7, kind)
    return _request(_NEWCHAIN, family, body, f"nftables chain {name}", CREATE)


def new_set(family: int, of: str, the_set: Set, number: int) -> Request:
    """`number` is unlike that of any other in the batch."""
    flags = 0x8 if the_set.data_bytes else 0
    body = text(1, of) + text(2, the_set.name) + be32(3, flags)
    body += be32(4, the_set.key_type) + be32(5, the_set.key_bytes)
    if the_set.data_bytes:
        body += be32(6, the_set.data_type) + be32(7, the_set.data_bytes)
    if the_set.key_type == _IFNAME:
        body += attribute(13, _HOST_ORDER)
    return _request(_NEWSET, family, body + be32(10, number), f"nftables set {the_set.name}", CREATE)


def add_elements(family: int, of: str, name: str, elements: Iterable[Element]) -> Request:
    """Those that are there already stay, where they are the same."""
    return _elements(_NEWELEMENT, family, of, name, elements, flags=CREATE)


def remove_element(family: int, of: str, name: str, element: Element) -> Request:
    """One at a time: a batch is undone where an element is not there."""
    return _elements(_DELELEMENT, family, of, name, [Element(element.key)], tolerated=(ENOENT,))


def list_elements(family: int, of: str, name: str) -> Request:
    """For Netlink.list; `read_elements` has what comes."""
    return _request(_GETELEMENT, family, text(1, of) + text(2, name), f"nftables set {name}")


def read_elements(body: bytes) -> Sequence[Element]:
    """Those in one of the answers."""
    listed = attributes(body[4:]).get(3, b"")
    found = []
    for _, one in each_attribute(listed):
        parts = attributes(one)
        key, data = (attributes(parts.get(kind, b"")).get(1, b"") for kind in (1, 2))
        found.append(Element(key, data))
    return found


def add_rule(family: int, of: str, chain: str, expressions: Sequence[Expression]) -> Request:
    """At the end of the chain."""
    body = text(1, of) + text(2, chain) + nested(4, *expressions)
    return _request(_NEWRULE, family, body, f"nftables rule of {chain}", CREATE | _APPEND)


def _elements(
    kind: int,
    family: int,
    of: str,
    name: str,
    elements: Iterable[Element],
    *,
    flags: int = 0,
    tolerated: tuple[int, ...] = (),
) -> Request:
    listed = [
        nested(
            1,
            nested(1, attribute(1, element.key)),
            *([nested(2, attribute(1, element.data))] if element.data else []),
        )
        for element in elements
    ]
    body = text(1, of) + text(2, name) + nested(3, *listed)
    return _request(kind, family, body, f"nftables set {name}", flags, tolerated=tolerated)


def _request(
    kind: int, family: int, body: bytes, subject: str, flags: int = 0, *, tolerated: tuple[int, ...] = ()
) -> Request:
    header = struct.pack(">BBH", family, 0, 0)
    return Request(_SUBSYSTEM << 8 | kind, header + body, subject, ACK | flags, tolerated)


# ---- expressions ----


def _expression(name: str, *parts: bytes) -> Expression:
    return nested(1, text(1, name), nested(2, *parts))


def meta(key: int, register: int = REGISTER) -> Expression:
    """Loads a fact about the packet; see the names below."""
    return _expression("meta", be32(2, key), be32(1, register))


PROTOCOL, PROTOCOL_FAMILY, IIF_NAME, OIF_NAME, L4PROTO, IIF_GROUP = 1, 15, 6, 7, 16, 21


def payload(base: int, offset: int, length: int, register: int = REGISTER) -> Expression:
    """Loads bytes of the packet: of its link (0), network (1) or transport header (2)."""
    return _expression("payload", be32(1, register), be32(2, base), be32(3, offset), be32(4, length))


def fragment_offset(register: int = REGISTER) -> Sequence[Expression]:
    """The rule goes on at the second and later fragments of an IPv6 packet."""
    header = _expression("exthdr", be32(1, register), u8(2, 44), be32(3, 2), be32(4, 2))
    return (header, masked(b"\xff\xf8", register), compare(bytes(2), equal=False, register=register))


def compare(data: bytes, *, equal: bool = True, register: int = REGISTER) -> Expression:
    """The rule goes on where the register has `data`, or with `equal` False, where it has not."""
    return _expression("cmp", be32(1, register), be32(2, 0 if equal else 1), nested(3, attribute(1, data)))


def masked(mask: bytes, register: int = REGISTER) -> Expression:
    """The register's value and `mask`."""
    zero = bytes(len(mask))
    return _expression(
        "bitwise",
        be32(1, register),
        be32(2, register),
        be32(3, len(mask)),
        nested(4, attribute(1, mask)),
        nested(5, attribute(1, zero)),
    )


def lookup(
    name: str, *, register: int = REGISTER, into: int | None = None, inverted: bool = False
) -> Expression:
    """The rule goes on where the set has the key (has it not: `inverted`); of a map the data goes into a register."""
    parts = [text(1, name), be32(2, register)]
    if into is not None:
        parts.append(be32(3, into))
    if inverted:
        parts.append(be32(5, 1))
    return _expression("lookup", *parts)


def ct(key: int, register: int = REGISTER) -> Expression:
    """Loads a fact about the connection."""
    return _expression("ct", be32(2, key), be32(1, register))


CT_STATE, CT_STATUS = 0, 2
STATE_INVALID, STATE_ESTABLISHED, STATE_RELATED = 1, 2, 4
STATUS_DNAT = 1 << 5


def has_bits(loading: Expression, bits: int) -> Sequence[Expression]:
    """The rule goes on where what `loading` loads has one of `bits`."""
    mask = struct.pack("=I", bits)
    return (loading, masked(mask), compare(bytes(4), equal=False))


def is_local(*, register: int = REGISTER) -> Sequence[Expression]:
    """The rule goes on where the destination is an address of this machine."""
    return (
        _expression("fib", be32(1, register), be32(2, 3), be32(3, 2)),
        compare(struct.pack("=I", 2), register=register),
    )


def dnat(family: int, address: int, port: int) -> Expression:
    """To the address and the port in these registers; `family`: AF_INET or AF_INET6."""
    return _expression(
        "nat",
        be32(1, 1),
        be32(2, family),
        be32(3, address),
        be32(4, address),
        be32(5, port),
        be32(6, port),
        be32(7, 0x1 | 0x2),
    )


def masquerade() -> Expression:
    return _expression("masq")


def constant(data: bytes, register: int = REGISTER) -> Expression:
    """Loads `data`."""
    return _expression("immediate", be32(1, register), nested(2, attribute(1, data)))


def verdict(code: int) -> Expression:
    return _expression("immediate", be32(1, _VERDICT), nested(2, nested(2, be32(1, code))))


def accept() -> Expression:
    return verdict(ACCEPT)


def drop() -> Expression:
    return verdict(DROP)
