"""The packet filter of containers' networks: one table of our own, whose rules never change.

What is particular to a network or a published port is an element of a set, so that a start costs one, and no packet
passes more rules because there are more containers. Nothing of the host's own rules is touched, and a filter of the
host's that drops goes on to drop.

    packet from outside                    to a container
      prerouting  ports: host's address and port -> container's         (dnat)
      forward     answers, published ports, and the network's own       -> go on
                  everything else to or between bridges                 -> dropped
    packet from a container                to outside
      forward     from an internal network                              -> dropped
      postrouting its source is the host's address                      (masquerade)
    packet of the host's own               to a published port
      output      as in prerouting; from 127.0.0.1 it also is masqueraded
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address

from containerlib.networking.netlink import Netlink, Request
from containerlib.networking.netlink import nftables as nft
from containerlib.networking.netlink.nftables import INET, REGISTER, Element, Expression, Set
from containerlib.spec.values import frozen

__all__ = [
    "TABLE",
    "Forward",
    "forget",
    "install",
    "knows",
    "network_elements",
    "publish",
    "published",
    "unpublish",
]

TABLE = "containerlib"

Address = IPv4Address | IPv6Address

_IFNAME, _INET_PROTO, _INET_SERVICE, _IPV4, _IPV6 = 41, 12, 13, 7, 8
_PAIR = 6
"""Bits by which nft(8) shifts the types of a concatenation."""
_PROTOCOLS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP, "sctp": 132}
_FIELD = 4
_LOOPBACK = b"\x7f\0\0\0"
_LOOPBACK6 = bytes(15) + b"\1"


def _types(*types: int) -> int:
    value = 0
    for kind in types:
        value = value << _PAIR | kind
    return value


_BRIDGES = Set("bridges", 16, _IFNAME)
_INTERNAL = Set("internal", 16, _IFNAME)
_OWN = Set("own", 32, _types(_IFNAME, _IFNAME))
_PORTS4 = Set("ports4", 12, _types(_INET_PROTO, _IPV4, _INET_SERVICE), 8, _types(_IPV4, _INET_SERVICE))
_PORTS6 = Set("ports6", 24, _types(_INET_PROTO, _IPV6, _INET_SERVICE), 20, _types(_IPV6, _INET_SERVICE))
_ANY4 = Set("any4", 8, _types(_INET_PROTO, _INET_SERVICE), 8, _types(_IPV4, _INET_SERVICE))
_ANY6 = Set("any6", 8, _types(_INET_PROTO, _INET_SERVICE), 20, _types(_IPV6, _INET_SERVICE))
_SELF4 = Set("self4", 8, _types(_IPV4, _IPV4))
_SELF6 = Set("self6", 32, _types(_IPV6, _IPV6))
_SETS = (_BRIDGES, _INTERNAL, _OWN, _PORTS4, _PORTS6, _ANY4, _ANY6, _SELF4, _SELF6)


@frozen
class Forward:
    """A published port: what comes to `host` and `host_port` of this machine goes to `address` and `port`.

    `host` None: every address of this machine, of the family of `address`.
    """

    protocol: str
    host: Address | None
    host_port: int
    address: Address
    port: int


def knows(kernel: Netlink, bridge: str) -> bool:
    """Whether the table is there, and knows the network of that bridge. Raises: StageError(stage="network")."""
    return kernel.has(nft.get_element(INET, TABLE, "bridges", Element(_name(bridge))))


def install(kernel: Netlink) -> Sequence[Request]:
    """The table, its sets and its rules, where they are not there: what somebody else has done meanwhile stays."""
    if kernel.has(nft.get_table(INET, TABLE)):
        return ()
    return nft.batch(
        nft.new_table(INET, TABLE),
        *(nft.new_set(INET, TABLE, one, number) for number, one in enumerate(_SETS, 1)),
        nft.base_chain(INET, TABLE, "prerouting", hook=nft.PREROUTING, priority=nft.DSTNAT, kind="nat"),
        nft.base_chain(INET, TABLE, "output", hook=nft.OUTPUT, priority=nft.DSTNAT, kind="nat"),
        nft.base_chain(INET, TABLE, "postrouting", hook=nft.POSTROUTING, priority=nft.SRCNAT, kind="nat"),
        nft.base_chain(INET, TABLE, "forward", hook=nft.FORWARD, priority=nft.FILTER),
        nft.base_chain(INET, TABLE, "input", hook=nft.INPUT, priority=nft.FILTER),
        nft.base_chain(INET, TABLE, "raw", hook=nft.PREROUTING, priority=nft.RAW),
        *(nft.add_rule(INET, TABLE, chain, rule) for chain, rules in _rules().items() for rule in rules),
    )


def _rules() -> dict[str, Sequence[Sequence[Expression]]]:
    iif, oif = nft.meta(nft.IIF_NAME), nft.meta(nft.OIF_NAME)
    both = (iif, nft.meta(nft.OIF_NAME, REGISTER + 4))
    from_bridge, to_bridge = (iif, nft.lookup("bridges")), (oif, nft.lookup("bridges"))
    answers = nft.has_bits(nft.ct(nft.CT_STATE), nft.STATE_ESTABLISHED | nft.STATE_RELATED)
    published = nft.has_bits(nft.ct(nft.CT_STATUS), nft.STATUS_DNAT)
    ports = (_to_port(4), _to_port(6), _to_any_port(4), _to_any_port(6))
    of_loopback = (*_is_ipv4(), nft.payload(1, 16, 1), nft.compare(_LOOPBACK[:1]))
    of_loopback6 = (*_is_ipv6(), nft.payload(1, 24, 16), nft.compare(_LOOPBACK6))
    from_loopback = (*_is_ipv4(), nft.payload(1, 12, 1), nft.compare(_LOOPBACK[:1]))
    from_loopback6 = (*_is_ipv6(), nft.payload(1, 8, 16), nft.compare(_LOOPBACK6))
    return {
        # the bridges route 127.0.0.0/8 and ::1, for the host's own packets alone
        "raw": [(*of_loopback, *from_bridge, nft.drop()), (*of_loopback6, *from_bridge, nft.drop())],
        "prerouting": ports,
        "output": ports,
        "forward": [
            (*answers, nft.accept()),
            (*both, nft.lookup("own"), nft.accept()),
            (iif, nft.lookup("internal"), nft.drop()),
            (oif, nft.lookup("internal"), nft.drop()),
            (*published, nft.accept()),
            (*to_bridge, nft.drop()),
        ],
        "input": [(iif, nft.lookup("internal"), nft.drop())],
        "postrouting": [
            (*both, nft.lookup("own"), *published, nft.masquerade()),
            # by its own published port, where bridges hand IP packets to this filter: there is no way in then
            (*_is_ipv4(), *_addresses(12, 4), nft.lookup("self4"), nft.masquerade()),
            (*_is_ipv6(), *_addresses(8, 16), nft.lookup("self6"), nft.masquerade()),
            (*to_bridge, *from_loopback, nft.masquerade()),
            (*to_bridge, *from_loopback6, nft.masquerade()),
            (*from_bridge, oif, nft.lookup("bridges", inverted=True), nft.masquerade()),
        ],
    }


def _is_ipv4() -> Sequence[Expression]:
    return (nft.meta(nft.PROTOCOL_FAMILY), nft.compare(b"\x02"))


def _is_ipv6() -> Sequence[Expression]:
    return (nft.meta(nft.PROTOCOL_FAMILY), nft.compare(b"\x0a"))


def _addresses(offset: int, length: int) -> Sequence[Expression]:
    """Source and destination."""
    behind = REGISTER + length // _FIELD
    return (nft.payload(1, offset, length), nft.payload(1, offset + length, length, behind))


def _to_port(version: int) -> Sequence[Expression]:
    """The protocol, the address and the port as a key, in registers one after the other."""
    is_family, family = (_is_ipv4(), socket.AF_INET) if version == 4 else (_is_ipv6(), socket.AF_INET6)
    offset, length = (16, 4) if version == 4 else (24, 16)
    behind = REGISTER + 1 + length // _FIELD
    return (
        *is_family,
        nft.meta(nft.L4PROTO),
        nft.payload(1, offset, length, REGISTER + 1),
        nft.payload(2, 2, 2, behind),
        nft.lookup(f"ports{version}", into=REGISTER),
        nft.dnat(family, REGISTER, REGISTER + length // _FIELD),
    )


def _to_any_port(version: int) -> Sequence[Expression]:
    is_family, family = (_is_ipv4(), socket.AF_INET) if version == 4 else (_is_ipv6(), socket.AF_INET6)
    length = 4 if version == 4 else 16
    return (
        *is_family,
        *nft.is_local(),
        nft.meta(nft.L4PROTO),
        nft.payload(2, 2, 2, REGISTER + 1),
        nft.lookup(f"any{version}", into=REGISTER),
        nft.dnat(family, REGISTER, REGISTER + length // _FIELD),
    )


def network_elements(bridge: str, *, internal: bool) -> Sequence[Request]:
    """What the table knows of a network, by its bridge."""
    name = _name(bridge)
    requests = [
        nft.add_elements(INET, TABLE, "bridges", [Element(name)]),
        nft.add_elements(INET, TABLE, "own", [Element(name + name)]),
    ]
    if internal:
        requests.append(nft.add_elements(INET, TABLE, "internal", [Element(name)]))
    return nft.batch(*requests)


def forget(bridge: str, *, internal: bool) -> Sequence[Request]:
    """The opposite of `network_elements`."""
    name = _name(bridge)
    requests = [
        nft.remove_element(INET, TABLE, "bridges", Element(name)),
        nft.remove_element(INET, TABLE, "own", Element(name + name)),
    ]
    if internal:
        requests.append(nft.remove_element(INET, TABLE, "internal", Element(name)))
    return nft.batch(*requests)


def _name(bridge: str) -> bytes:
    return bridge.encode().ljust(16, b"\0")


def publish(forwards: Iterable[Forward]) -> Sequence[Request]:
    """A part of a batch; the kernel refuses one that is there with another container's address (EEXIST)."""
    requests = []
    for one in forwards:
        twice = Element(one.address.packed * 2)
        requests.append(nft.add_elements(INET, TABLE, _set_of(one), [Element(_key(one), _data(one))]))
        requests.append(nft.add_elements(INET, TABLE, f"self{one.address.version}", [twice]))
    return requests


def unpublish(forwards: Iterable[Forward]) -> Sequence[Sequence[Request]]:
    """Batches, each by itself, since one is undone where what it removes is not there any more."""
    keys = {(_set_of(one), _key(one)): None for one in forwards}
    keys |= {(f"self{one.address.version}", one.address.packed * 2): None for one in forwards}
    return [nft.batch(nft.remove_element(INET, TABLE, name, Element(key))) for name, key in keys]


def published(kernel: Netlink) -> Sequence[tuple[Address, Sequence[Request]]]:
    """Each element of a published port: its container's address, and the batch that takes it back.

    Raises: StageError(stage="network").
    """
    if not kernel.has(nft.get_table(INET, TABLE)):
        return ()
    found = []
    for the_set in (_PORTS4, _PORTS6, _ANY4, _ANY6, _SELF4, _SELF6):
        length = 4 if the_set.name.endswith("4") else 16
        for answer in kernel.list(nft.list_elements(INET, TABLE, the_set.name)):
            for element in nft.read_elements(answer.body):
                address = ipaddress.ip_address((element.data or element.key)[:length])
                found.append((address, nft.batch(nft.remove_element(INET, TABLE, the_set.name, element))))
    return found


def _set_of(forward: Forward) -> str:
    return f"{'any' if forward.host is None else 'ports'}{forward.address.version}"


def _key(forward: Forward) -> bytes:
    protocol = bytes([_PROTOCOLS[forward.protocol]]).ljust(_FIELD, b"\0")
    address = b"" if forward.host is None else forward.host.packed
    return protocol + address + _port(forward.host_port)


def _data(forward: Forward) -> bytes:
    return forward.address.packed + _port(forward.port)


def _port(number: int) -> bytes:
    return struct.pack(">H", number).ljust(_FIELD, b"\0")
