"""What is asked of rtnetlink: devices, addresses, routes and neighbours.

Spec: rtnetlink(7); linux/if_link.h, linux/if_addr.h, linux/rtnetlink.h
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from errno import EAFNOSUPPORT, EEXIST, ENODEV
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import TYPE_CHECKING, Literal, NamedTuple

from containerlib.networking.netlink import message
from containerlib.networking.netlink.message import (
    ACK,
    CREATE,
    EXCLUSIVE,
    REPLACE,
    Request,
    attribute,
    nested,
    text,
    u8,
    u16,
    u32,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from containerlib.networking.netlink.socket import Netlink

__all__ = [
    "Device",
    "add_address",
    "add_route",
    "bridge",
    "change",
    "devices",
    "remove",
    "routes",
    "veth",
]

NEWLINK, DELLINK, GETLINK, SETLINK = 16, 17, 18, 19
NEWADDR = 20
NEWROUTE, GETROUTE = 24, 26

_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBi")
_ROUTE = struct.Struct("=BBBBBBBBI")
_IFF_UP = 1

_IFLA_ADDRESS, _IFLA_NAME, _IFLA_MTU, _IFLA_LINK, _IFLA_MASTER, _IFLA_LINKINFO = 1, 3, 4, 5, 10, 18
_IFLA_NET_NS_PID, _IFLA_ALIAS, _IFLA_AF_SPEC, _IFLA_GROUP, _IFLA_NET_NS_FD = 19, 20, 26, 27, 28
_INET6_ADDRESS_MODE, _NO_ADDRESS = 8, 1
_INFO_KIND, _INFO_DATA, _INFO_SLAVE_KIND, _INFO_SLAVE_DATA = 1, 2, 4, 5
_PORT_HAIRPIN = 4
_VETH_PEER = 1
_MACVLAN_MODE, _IPVLAN_MODE = 1, 1
_BRIDGE_FORWARD_DELAY, _BRIDGE_STP, _BRIDGE_MULTICAST_SNOOPING = 1, 5, 23
_IFA_ADDRESS, _IFA_LOCAL, _IFA_BROADCAST, _IFA_FLAGS = 1, 2, 4, 8
_NO_DAD, _NO_PREFIX_ROUTE = 0x02, 0x200
_RTA_DESTINATION, _RTA_DEVICE, _RTA_GATEWAY, _RTA_PRIORITY, _RTA_TABLE = 1, 4, 5, 6, 15
_MAIN_TABLE, _LOCAL_TABLE, _STATIC, _UNIVERSE, _LINK_SCOPE, _UNICAST, _LOCAL = 254, 255, 4, 0, 253, 1, 2

Address = IPv4Address | IPv6Address
Interface = IPv4Interface | IPv6Interface
Subnet = IPv4Network | IPv6Network


class Device(NamedTuple):
    """A network device as the kernel lists it."""

    number: int
    name: str
    kind: str
    """"bridge", "veth", ...; "" for one that is not made by software."""
    master: int
    alias: str
    up: bool
    mtu: int


def bridge(name: str, *, mtu: int, mac: bytes | None = None) -> Request:
    """A bridge, up at once, which may be there already. Its MAC stays what it is when devices come and go."""
    data = nested(_INFO_DATA, u32(_BRIDGE_FORWARD_DELAY, 0), u32(_BRIDGE_STP, 0))
    parts = [text(_IFLA_NAME, name), u32(_IFLA_MTU, mtu)]
    if mac is not None:
        parts.append(attribute(_IFLA_ADDRESS, mac))
    parts.append(nested(_IFLA_LINKINFO, text(_INFO_KIND, "bridge"), data))
    return _new_link(_link(up=True) + b"".join(parts), f"bridge {name}", (EEXIST,))


def veth(
    name: str,
    peer: str,
    *,
    number: int,
    mtu: int,
    mac: bytes | None = None,
    namespace: int = 0,
    group: int = 0,
) -> Request:
    """A pair: `name` in the namespace of the process `namespace`, with that `number` there, and `peer` here, in that
    `group`.

    Where the process is 0 its number is to be filled in, at NAMESPACE_AT.
    """
    other = text(_IFLA_NAME, peer) + u32(_IFLA_MTU, mtu) + u32(_IFLA_GROUP, group)
    pair = attribute(_VETH_PEER, _link() + other)
    parts = [u32(_IFLA_NET_NS_PID, namespace), text(_IFLA_NAME, name), u32(_IFLA_MTU, mtu)]
    if mac is not None:
        parts.append(attribute(_IFLA_ADDRESS, mac))
    parts.append(nested(_IFLA_LINKINFO, text(_INFO_KIND, "veth"), nested(_INFO_DATA, pair)))
    return _new_link(_link(number) + b"".join(parts), f"network device {name}")


def direct(
    driver: Literal["macvlan", "ipvlan"],
    name: str,
    parent: int,
    *,
    mode: int,
    number: int = 0,
    mtu: int = 0,
    mac: bytes | None = None,
    namespace: int = 0,
) -> Request:
    """A device upon another one, here, in the namespace of the process `namespace`: see `veth`."""
    parts = [u32(_IFLA_NET_NS_PID, namespace)] if parent else []
    parts.append(text(_IFLA_NAME, name))
    if parent:
        parts += [u32(_IFLA_LINK, parent), u32(_IFLA_MTU, mtu)]
    if mac is not None:
        parts.append(attribute(_IFLA_ADDRESS, mac))
    data = nested(_INFO_DATA, u32(_MACVLAN_MODE, mode) if driver == "macvlan" else u16(_IPVLAN_MODE, mode))
    parts.append(nested(_IFLA_LINKINFO, text(_INFO_KIND, driver), data))
    return _new_link(_link(number) + b"".join(parts), f"{driver} device {name}")


NAMESPACE_AT = 16 + _LINK.size + 4
"""Where in a packed request for a device of another namespace that one's process is, in bytes from its beginning."""


def change(
    number: int = 0, *, name: str | None = None, up: bool | None = None, master: int | None = None
) -> Request:
    """What is given of a device that is there, by its number or its name."""
    parts = []
    if name is not None:
        parts.append(text(_IFLA_NAME, name))
    if master is not None:
        parts.append(u32(_IFLA_MASTER, master))
    return Request(NEWLINK, _link(number, up=up) + b"".join(parts), f"network device {name or number}")


def hairpin(name: str) -> Request:
    """A port of a bridge that frames may leave by which came in by it: a container's own published port."""
    port = nested(_INFO_SLAVE_DATA, u8(_PORT_HAIRPIN, 1))
    body = _link() + text(_IFLA_NAME, name) + nested(_IFLA_LINKINFO, text(_INFO_SLAVE_KIND, "bridge"), port)
    return Request(NEWLINK, body, f"bridge port {name}")


def no_link_local(number: int) -> Request:
    """A device that is down gets no IPv6 address of its MAC when it is up. It would ask everybody on its bridge whether
    that is free, and three times for a router: 500 containers that are started hear 500 times of each other.

    Spec: linux/if_link.h, IFLA_INET6_ADDR_GEN_MODE
    """
    mode = nested(socket.AF_INET6, u8(_INET6_ADDRESS_MODE, _NO_ADDRESS))
    body = _link(number) + nested(_IFLA_AF_SPEC, mode)
    return Request(NEWLINK, body, f"network device {number}", tolerated=(EAFNOSUPPORT,))  # there is no IPv6


def up(name: str) -> Request:
    """The device of that name is up."""
    return Request(NEWLINK, _link(up=True) + text(_IFLA_NAME, name), f"network device {name}")


def remove(name: str) -> Request:
    """The device of that name, which need not be there."""
    body = _link() + text(_IFLA_NAME, name)
    return Request(DELLINK, body, f"network device {name}", tolerated=(ENODEV,))


def add_address(interface: Interface, index: int, *, prefix_route: bool = True) -> Request:
    """An address of the device; an IPv6 one may be used at once."""
    local = interface.ip.packed
    family = _family(interface.ip)
    flags = (_NO_DAD if family == socket.AF_INET6 else 0) | (0 if prefix_route else _NO_PREFIX_ROUTE)
    body = _ADDRESS.pack(family, interface.network.prefixlen, flags & 0xFF, 0, index)
    body += attribute(_IFA_LOCAL, local) + attribute(_IFA_ADDRESS, local) + u32(_IFA_FLAGS, flags)
    if isinstance(interface, IPv4Interface) and interface.network.prefixlen < 31:
        body += attribute(_IFA_BROADCAST, interface.network.broadcast_address.packed)
    return Request(NEWADDR, body, f"address {interface}", ACK | CREATE | REPLACE, tolerated=(EEXIST,))


def add_route(
    destination: Subnet, index: int, *, gateway: Address | None = None, priority: int = 0
) -> Request:
    """To `destination` by the device, and by `gateway` where it is given."""
    scope = _UNIVERSE if gateway is not None else _LINK_SCOPE
    family = _family(destination.network_address)
    body = _ROUTE.pack(family, destination.prefixlen, 0, 0, _MAIN_TABLE, _STATIC, scope, _UNICAST, 0)
    if destination.prefixlen:
        body += attribute(_RTA_DESTINATION, destination.network_address.packed)
    body += u32(_RTA_DEVICE, index)
    if gateway is not None:
        body += attribute(_RTA_GATEWAY, gateway.packed)
    if priority:
        body += u32(_RTA_PRIORITY, priority)
    return Request(NEWROUTE, body, f"route to {destination}", ACK | CREATE | REPLACE)


def local6(index: int, *, priority: int) -> Request:
    """What comes in by the device for ::1 is this machine's, where the packet filter has made it so; from the wire the
    kernel takes no such packet."""
    body = _ROUTE.pack(socket.AF_INET6, 128, 0, 0, _LOCAL_TABLE, _STATIC, _UNIVERSE, _LOCAL, 0)
    body += attribute(_RTA_DESTINATION, IPv6Address(1).packed) + u32(_RTA_DEVICE, index)
    body += u32(_RTA_PRIORITY, priority)
    return Request(NEWROUTE, body, "route to ::1", ACK | CREATE, tolerated=(EEXIST,))


def devices(kernel: Netlink) -> Sequence[Device]:
    """Every device of the namespace. Raises: StageError(stage="network")."""
    found = []
    for answer in kernel.list(Request(GETLINK, _link(), "network devices")):
        _, _, index, flags, _ = _LINK.unpack_from(answer.body)
        parts = message.attributes(answer.body[_LINK.size :])
        info = message.attributes(parts.get(_IFLA_LINKINFO, b""))
        found.append(
            Device(
                index,
                _string(parts.get(_IFLA_NAME, b"")),
                _string(info.get(_INFO_KIND, b"")),
                _number(parts.get(_IFLA_MASTER, b"")),
                _string(parts.get(_IFLA_ALIAS, b"")),
                bool(flags & _IFF_UP),
                _number(parts.get(_IFLA_MTU, b"")),
            )
        )
    return found


def routes(kernel: Netlink, family: int = socket.AF_INET) -> Sequence[Subnet]:
    """Destinations of the routes of the main table, without the default one. Raises: StageError(stage="network")."""
    request = Request(GETROUTE, _ROUTE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0), "routes")
    found: list[Subnet] = []
    for answer in kernel.list(request):
        kind, length, _, _, table, *_ = _ROUTE.unpack_from(answer.body)
        parts = message.attributes(answer.body[_ROUTE.size :])
        if _RTA_TABLE in parts:
            table = _number(parts[_RTA_TABLE])
        if kind == family and length and table == _MAIN_TABLE and _RTA_DESTINATION in parts:
            found.append(ipaddress.ip_network((parts[_RTA_DESTINATION], length)))
    return found


def _new_link(body: bytes, subject: str, tolerated: tuple[int, ...] = ()) -> Request:
    return Request(NEWLINK, body, subject, ACK | CREATE | EXCLUSIVE, tolerated)


def _link(index: int = 0, *, up: bool | None = None) -> bytes:
    return _LINK.pack(0, 0, index, _IFF_UP if up else 0, 0 if up is None else _IFF_UP)


def _family(address: Address) -> int:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


def _string(data: bytes) -> str:
    return data.rstrip(b"\0").decode(errors="replace")


def _number(data: bytes) -> int:
    return int.from_bytes(data[:4], "little") if len(data) >= 4 else 0
