"""What the words about networks and ports take. Pure, as words.py is.

Every function raises InvalidArgument with the word's name as its `field`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import Literal, cast

from containerlib.engine.names import check_name
from containerlib.engine.words import text, vector
from containerlib.errors import InvalidArgument
from containerlib.networking.subnets import Addresses
from containerlib.spec.options import NetworkOption, PortOption

__all__ = ["addresses", "network", "port"]

_ALIAS = re.compile(r"[a-zA-Z0-9_]([a-zA-Z0-9_.-]{0,61}[a-zA-Z0-9_])?")
_MAC = re.compile(r"([0-9a-f]{2}:){5}[0-9a-f]{2}")
_PROTOCOLS = ("tcp", "udp", "sctp")


def network(
    name: str, alias: str | Sequence[str], address: str | None, address6: str | None, mac: str | None
) -> NetworkOption:
    """A network that a container is on."""
    aliases = (alias,) if isinstance(alias, str) else vector(alias, field="alias")
    for one in aliases:
        if not _ALIAS.fullmatch(text(one, field="alias")):
            raise InvalidArgument(f"{one!r} is not a host name of at most 63 characters", field="alias")
    return NetworkOption(
        check_name(name),
        aliases,
        _address(address, 4, field="address"),
        _address(address6, 6, field="address6"),
        _mac(mac),
    )


def addresses(subnet: str, gateway: str | None, ip_range: str | None) -> Addresses:
    """The addresses of a network."""
    return Addresses.of(
        _subnet(subnet, field="subnet"),
        None if gateway is None else _parsed(gateway, field="gateway"),
        None if ip_range is None else _subnet(ip_range, field="ip_range"),
    )


def _subnet(value: str, *, field: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text(value, field=field))
    except ValueError as error:
        raise InvalidArgument(f"{error}: a subnet is written as 172.28.0.0/16", field=field) from error


def port(number: int, protocol: str, host: int, address: str | None) -> PortOption:
    """A port that is published."""
    if protocol not in _PROTOCOLS:
        raise InvalidArgument(f"{protocol!r} is none of tcp, udp and sctp", field="protocol")
    return PortOption(
        _port(number, 1, field="publish"),
        cast(Literal["tcp", "udp", "sctp"], protocol),
        _port(host, 0, field="host"),
        None if address is None else str(_parsed(address, field="address")),
    )


def _port(number: int, least: int, *, field: str) -> int:
    if not isinstance(number, int) or isinstance(number, bool) or not least <= number <= 65535:
        raise InvalidArgument(f"{number!r} is not a port from {least} to 65535", field=field)
    return number


def _address(value: str | None, version: int, *, field: str) -> str | None:
    if value is None:
        return None
    found = _parsed(value, field=field)
    if found.version != version:
        raise InvalidArgument(f"{value!r} is not an IPv{version} address", field=field)
    return str(found)


def _parsed(value: str, *, field: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address(text(value, field=field))
    except ValueError as error:
        raise InvalidArgument(f"{value!r} is not an IP address", field=field) from error


def _mac(value: str | None) -> str | None:
    if value is None:
        return None
    if not _MAC.fullmatch(text(value, field="mac").lower()) or int(value[:2], 16) & 1:
        raise InvalidArgument(
            f"{value!r} is not the MAC address of one device, as 02:42:ac:11:00:02", field="mac"
        )
    return value.lower()
