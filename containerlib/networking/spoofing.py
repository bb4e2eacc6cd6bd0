"""What a container may say of itself on its bridge: nothing but its own MAC and its own addresses.

A table of the bridge family, whose rules never change: what is particular to a container are elements that name its
device. They hold for the devices of one group, which are born into it and leave it when they are gone: a namespace that
outlives its container, and so the elements, says nothing. Dropped is, before the bridge learns from it:

    any frame    from another MAC; of another protocol than ARP, IPv4 and IPv6
    ARP          a sender of another MAC or address, in requests and answers
    IPv4         another source; what DHCP servers send
    IPv6         another source; router advertisements and redirects; answers for another's address; what DHCPv6 servers
                 send; fragments that hide which of these they are (RFC 7113)
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Mapping, Sequence
from errno import EAFNOSUPPORT, ENOENT, EOPNOTSUPP, EPERM, EPROTONOSUPPORT

from containerlib.errors import StageError
from containerlib.networking.netlink import Netlink, Request
from containerlib.networking.netlink import nftables as nft
from containerlib.networking.netlink.nftables import BRIDGE, REGISTER, Element, Expression, Set
from containerlib.networking.netlink.route import Address
from containerlib.spec.values import frozen

__all__ = [
    "GROUP",
    "TABLE",
    "Identity",
    "Known",
    "forget",
    "install",
    "is_installed",
    "is_supported",
    "known",
    "restrict",
]

TABLE = "containerlib"
GROUP = 0x636C6172
"""Of the network devices that are held to it (`ip link show group`)."""
_PROBE = "containerlib-probe"
_LACKING = (EAFNOSUPPORT, ENOENT, EOPNOTSUPP, EPROTONOSUPPORT)

_IFNAME, _ETHER, _IPV4, _IPV6 = 41, 9, 7, 8
_PAIR = 6
"""Bits by which nft(8) shifts the types of a concatenation."""
_NAME = 16
_MAC = 8
"""Bytes of one in a key."""
_STATION = _IFNAME << _PAIR | _ETHER
_MACS = Set("macs", _NAME + _MAC, _STATION)
_SOURCES4 = Set("sources4", _NAME + _MAC + 4, _STATION << _PAIR | _IPV4)
_SOURCES6 = Set("sources6", _NAME + _MAC + 16, _STATION << _PAIR | _IPV6)
_SETS = (_MACS, _SOURCES4, _SOURCES6)

_LINK, _NETWORK, _TRANSPORT = range(3)
_BEHIND_NAME = REGISTER + _NAME // 4
_BEHIND_MAC = _BEHIND_NAME + _MAC // 4
_ETHERNET_ARP = struct.pack(">HHBB", 1, 0x0800, 6, 4)
_SOLICITATION, _ADVERTISEMENT, _ROUTER, _REDIRECT = 135, 136, 134, 137
_DHCP_SERVER, _DHCP6_SERVER = 67, 547


@frozen
class Identity:
    """Who a container is on its bridge, by its device on the host."""

    device: str
    mac: bytes
    addresses: tuple[Address, ...]

    def elements(self) -> Mapping[Set, Sequence[Element]]:
        """By the set that they are of. The address that the kernel makes of the MAC is one of the container's."""
        station = self.device.encode().ljust(_NAME, b"\0") + self.mac.ljust(_MAC, b"\0")
        sources = {*self.addresses, _link_local(self.mac)}
        return {
            _MACS: [Element(station)],
            _SOURCES4: [Element(station + one.packed) for one in sources if one.version == 4],
            _SOURCES6: [Element(station + one.packed) for one in sources if one.version == 6],
        }


@frozen
class Known:
    """What the table has of a device, and what takes it back, each by itself."""

    device: str
    addresses: list[Address]
    batches: list[Sequence[Request]]


def _link_local(mac: bytes) -> ipaddress.IPv6Address:
    """Spec: RFC 4291, appendix A"""
    return ipaddress.IPv6Address(
        b"\xfe\x80" + bytes(6) + bytes([mac[0] ^ 2]) + mac[1:3] + b"\xff\xfe" + mac[3:]
    )


def is_supported(kernel: Netlink) -> bool:
    """Whether the kernel filters on bridges, as far as this process may ask. Raises: StageError(stage="network")."""
    probe = nft.batch(
        nft.new_table(BRIDGE, _PROBE),
        nft.base_chain(BRIDGE, _PROBE, "prerouting", hook=nft.PREROUTING, priority=nft.BRIDGE_FILTER),
        nft.remove_table(BRIDGE, _PROBE),
    )
    try:
        if not is_installed(kernel):
            kernel.run(probe)
    except StageError as error:
        if error.errno not in (*_LACKING, EPERM):
            raise
        return error.errno == EPERM
    return True


def is_installed(kernel: Netlink) -> bool:
    """Whether the table is there. Raises: StageError(stage="network")."""
    return kernel.has(nft.get_table(BRIDGE, TABLE))


def install(kernel: Netlink) -> Sequence[Request]:
    """The table, its sets and its rules, where they are not there: what somebody else has done meanwhile stays."""
    if is_installed(kernel):
        return ()
    chain = "prerouting"
    return nft.batch(
        nft.new_table(BRIDGE, TABLE),
        *(nft.new_set(BRIDGE, TABLE, one, number) for number, one in enumerate(_SETS, 1)),
        nft.base_chain(BRIDGE, TABLE, chain, hook=nft.PREROUTING, priority=nft.BRIDGE_FILTER),
        *(nft.add_rule(BRIDGE, TABLE, chain, rule) for rule in _rules()),
    )


def _rules() -> Sequence[Sequence[Expression]]:
    """What most packets are comes first, and each of those is looked up once."""
    device = nft.meta(nft.IIF_NAME)
    station = (device, nft.payload(_LINK, 6, 6, _BEHIND_NAME))
    arp, ipv4, ipv6 = (_protocol(number) for number in (0x0806, 0x0800, 0x86DD))
    source4 = (*station, nft.payload(_NETWORK, 12, 4, _BEHIND_MAC))
    source6 = (*station, nft.payload(_NETWORK, 8, 16, _BEHIND_MAC))
    target = (*station, nft.payload(_TRANSPORT, 8, 16, _BEHIND_MAC), nft.lookup("sources6"))
    tcp = (nft.meta(nft.L4PROTO), nft.compare(bytes([socket.IPPROTO_TCP])))
    nobody = (nft.payload(_NETWORK, 8, 16), nft.compare(bytes(16)))
    is_first = (nft.meta(nft.L4PROTO), nft.payload(_TRANSPORT, 0, 2))
    return [
        (nft.meta(nft.IIF_GROUP), nft.compare(struct.pack("=I", GROUP), equal=False), nft.accept()),
        (*ipv4, *_from_port(_DHCP_SERVER), nft.drop()),
        (*ipv4, *source4, nft.lookup("sources4"), nft.accept()),
        (*ipv6, *tcp, *source6, nft.lookup("sources6"), nft.accept()),
        (*station, nft.lookup("macs", inverted=True), nft.drop()),
        (
            *arp,
            *(nft.payload(_NETWORK, 0, 6), nft.compare(_ETHERNET_ARP)),
            *(device, nft.payload(_NETWORK, 8, 6, _BEHIND_NAME), nft.payload(_NETWORK, 14, 4, _BEHIND_MAC)),
            *(nft.lookup("sources4"), nft.accept()),
        ),
        # whether an address is free is asked without one (RFC 4862)
        (*ipv6, *nobody, *_icmp6(_SOLICITATION), *target, nft.accept()),
        (*ipv6, *source6, nft.lookup("sources6", inverted=True), nft.drop()),
        *((*ipv6, *_icmp6(kind), nft.drop()) for kind in (_ROUTER, _REDIRECT)),
        (*ipv6, *_icmp6(_ADVERTISEMENT), *target, nft.accept()),
        (*ipv6, *_icmp6(_ADVERTISEMENT), nft.drop()),
        (*ipv6, *_from_port(_DHCP6_SERVER), nft.drop()),
        (*ipv6, *is_first, nft.accept()),
        (*ipv6, *nft.fragment_offset(), nft.accept()),
        (nft.drop(),),
    ]


def _protocol(ethertype: int) -> Sequence[Expression]:
    return (nft.meta(nft.PROTOCOL), nft.compare(struct.pack(">H", ethertype)))


def _from_port(number: int) -> Sequence[Expression]:
    port = (nft.payload(_TRANSPORT, 0, 2), nft.compare(struct.pack(">H", number)))
    return (nft.meta(nft.L4PROTO), nft.compare(bytes([socket.IPPROTO_UDP])), *port)


def _icmp6(kind: int) -> Sequence[Expression]:
    of_kind = (nft.payload(_TRANSPORT, 0, 1), nft.compare(bytes([kind])))
    return (nft.meta(nft.L4PROTO), nft.compare(bytes([socket.IPPROTO_ICMPV6])), *of_kind)


def restrict(identity: Identity) -> Sequence[Request]:
    """A part of a batch; until then its device says nothing."""
    return [nft.add_elements(BRIDGE, TABLE, one.name, has) for one, has in identity.elements().items() if has]


def forget(identity: Identity) -> Sequence[Request]:
    """The opposite, a batch."""
    return nft.batch(
        *(
            nft.remove_element(BRIDGE, TABLE, one.name, element)
            for one, has in identity.elements().items()
            for element in has
        )
    )


def known(kernel: Netlink) -> Sequence[Known]:
    """All that the table has, by device. Raises: StageError(stage="network")."""
    if not is_installed(kernel):
        return ()
    found: dict[str, Known] = {}
    for the_set in _SETS:
        for answer in kernel.list(nft.list_elements(BRIDGE, TABLE, the_set.name)):
            for element in nft.read_elements(answer.body):
                device = element.key[:_NAME].rstrip(b"\0").decode()
                one = found.setdefault(device, Known(device, [], []))
                if the_set is not _MACS:
                    one.addresses.append(ipaddress.ip_address(element.key[_NAME + _MAC :]))
                one.batches.append(nft.batch(nft.remove_element(BRIDGE, TABLE, the_set.name, element)))
    return list(found.values())
