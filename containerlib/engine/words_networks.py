"""What the words about networks and ports take. Pure, as words.py is.

Every function raises InvalidArgument with the word's name as its `field`.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
from collections.abc import Mapping, Sequence
from socket import AF_INET, AF_INET6, IPPROTO_SCTP, SOCK_STREAM
from socket import socket as Socket  # noqa: N812 - a word of the recipe is called so
from typing import Any, Literal, cast

from containerlib.engine.names import check_name
from containerlib.engine.networks import CniOptions
from containerlib.engine.words import host_path, seconds, text, vector
from containerlib.errors import InvalidArgument
from containerlib.networking.direct import MODES, DirectDriver
from containerlib.networking.subnets import Addresses, Pool
from containerlib.spec.options import NetworkOption, PortOption

__all__ = ["addresses", "driver", "network", "plugins", "pool", "port", "ports", "published_port"]

_ALIAS = re.compile(r"[a-zA-Z0-9_]([a-zA-Z0-9_.-]{0,61}[a-zA-Z0-9_])?")
_MAC = re.compile(r"([0-9a-f]{2}:){5}[0-9a-f]{2}")
_DEVICE = re.compile(r"[^\s/:]{1,15}", re.ASCII)
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


def plugins(
    config: Mapping[str, Any] | str | os.PathLike[str] | None,
    path: Sequence[str | os.PathLike[str]] | None,
    timeout: float | None,
) -> CniOptions:
    """What plugins are told, and where they are."""
    if config is None:
        raise InvalidArgument(
            'cni takes a configuration: config="/etc/cni/net.d/10-lan.conflist", or a dict', field="config"
        )
    directories = () if path is None else tuple(host_path(one, field="path") for one in _several(path))
    for one in directories:
        if ":" in one:
            raise InvalidArgument(f"{one!r} holds a colon, which parts directories", field="path")
    limit = None if timeout is None else seconds(timeout)
    if not isinstance(config, Mapping):
        return CniOptions(host_path(config, field="config"), True, directories, limit)
    try:
        return CniOptions(json.dumps(config, allow_nan=False), False, directories, limit)
    except (TypeError, ValueError) as error:
        raise InvalidArgument(f"it is no JSON: {error}", field="config") from error


def _several(path: Sequence[str | os.PathLike[str]]) -> Sequence[str | os.PathLike[str]]:
    if isinstance(path, str) or not isinstance(path, Sequence) or not path:
        raise InvalidArgument(f"{path!r} is not a list of directories", field="path")
    return path


def driver(name: str, parent: str | None, mode: str | None) -> tuple[str, str, str]:
    """What makes a network, the host's device that it is on, and how."""
    if name == "cni":
        if parent is not None or mode is not None:
            raise InvalidArgument(
                "plugins have their configuration instead of a parent and a mode", field="driver"
            )
        return name, "", ""
    if name in ("bridge", "pasta"):
        if parent is not None or mode is not None:
            raise InvalidArgument(f"{name} has no parent and no mode", field="driver")
        return name, "", ""
    if name not in MODES:
        raise InvalidArgument(f"{name!r} is none of bridge, {', '.join(MODES)}, cni, pasta", field="driver")
    modes = MODES[cast(DirectDriver, name)]
    chosen = next(iter(modes)) if mode is None else mode
    if chosen not in modes:
        raise InvalidArgument(f"{mode!r} is none of {name}'s modes, {', '.join(modes)}", field="mode")
    if parent is None:
        raise InvalidArgument(f'{name} takes a device of the host\'s: parent="eth0"', field="parent")
    if not _DEVICE.fullmatch(text(parent, field="parent")) or parent in (".", ".."):
        raise InvalidArgument(f"{parent!r} is not a network device: at most 15 bytes", field="parent")
    return name, parent, chosen


def pool(supernet: str, length: int) -> Pool:
    """Where subnets come from."""
    network = _subnet(supernet, field="pool")
    if network.version != 4:
        raise InvalidArgument(
            f"{network} is IPv6, where each network has a subnet of its own anyway", field="pool"
        )
    if not isinstance(length, int) or not network.prefixlen <= length <= 30:
        raise InvalidArgument(
            f"{length!r} is not a prefix's length from {network.prefixlen} to 30", field="length"
        )
    return Pool(network, length)


def _subnet(value: str, *, field: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text(value, field=field))
    except ValueError as error:
        raise InvalidArgument(f"{error}: a subnet is written as 172.28.0.0/16", field=field) from error


def ports(
    number: int | range, protocol: str, host: int | range, address: str | None, socket: Socket | None = None
) -> tuple[PortOption, ...]:
    """Ports that are published: one, or each of a range, to one of the host's each."""
    if form := _published(number):
        raise InvalidArgument(f"{number!r} is docker's form: write {form}", field="publish")
    if not isinstance(number, range):
        return (port(number, protocol, host, address, socket),)
    if socket is not None:
        raise InvalidArgument("a socket is one port's", field="socket")
    numbers = _whole(number, field="publish")
    if isinstance(host, range) and len(_whole(host, field="host")) != len(numbers):
        raise InvalidArgument(
            f"{len(host)} ports of the host are not one for each of {len(numbers)}", field="host"
        )
    if not isinstance(host, range) and host:
        raise InvalidArgument(f"one port of the host, {host!r}, is not one for each of several", field="host")
    hosts = host if isinstance(host, range) else [0] * len(numbers)
    return tuple(port(one, protocol, there, address) for one, there in zip(numbers, hosts, strict=True))


def _published(text: object) -> str:
    """The words for docker's `[[address:]host:]port[/protocol]`; none for anything else."""
    if not isinstance(text, str):
        return ""
    there, _, protocol = text.partition("/")
    before, _, number = there.rpartition(":")
    address, _, host = before.rpartition(":")
    if not number.isdecimal() or not (not host or host.isdecimal()):
        return ""
    words = [number]
    words += [f"host={host}"] if host else []
    words += [f'address="{address}"'] if address else []
    words += [f'protocol="{protocol}"'] if protocol else []
    return f"publish({', '.join(words)})"


def _whole(numbers: range, *, field: str) -> range:
    if numbers.step != 1 or not numbers:
        raise InvalidArgument(f"{numbers!r} is not a range of ports, as range(8000, 8011)", field=field)
    return numbers


def port(
    number: int, protocol: str, host: int | range, address: str | None, socket: Socket | None = None
) -> PortOption:
    """A port that is published; `socket` has both `host` and `address`."""
    if protocol not in _PROTOCOLS:
        raise InvalidArgument(f"{protocol!r} is none of tcp, udp and sctp", field="protocol")
    if socket is not None:
        if host or address is not None:
            raise InvalidArgument("a socket has its host port and address itself", field="socket")
        address, host = _place_of(socket, protocol)
        words = cast(Literal["tcp", "udp", "sctp"], protocol)
        return PortOption(_port(number, 1, field="publish"), words, host, address, socket)
    first, last = _hosts(host)
    return PortOption(
        _port(number, 1, field="publish"),
        cast(Literal["tcp", "udp", "sctp"], protocol),
        first,
        None if address is None else str(_parsed(address, field="address")),
        host_last=last,
    )


def published_port(number: int, protocol: str) -> tuple[int, str]:
    """A port of a container that is asked for."""
    if protocol not in _PROTOCOLS:
        raise InvalidArgument(f"{protocol!r} is none of tcp, udp and sctp", field="protocol")
    return _port(number, 1, field="port"), protocol


def _hosts(host: int | range) -> tuple[int, int | None]:
    if not isinstance(host, range):
        return _port(host, 0, field="host"), None
    found = _whole(host, field="host")
    return _port(found[0], 1, field="host"), _port(found[-1], 1, field="host")


def _place_of(socket: Socket, protocol: str) -> tuple[str | None, int]:
    if not isinstance(socket, Socket) or socket.family not in (AF_INET, AF_INET6):
        raise InvalidArgument(f"{socket!r} is not a socket of IPv4 or IPv6", field="socket")
    is_stream = socket.type == SOCK_STREAM
    if is_stream != (protocol != "udp") or (socket.proto == IPPROTO_SCTP) != (protocol == "sctp"):
        raise InvalidArgument(f"{socket!r} is not a socket of {protocol}", field="socket")
    try:
        place = socket.getsockname()
    except OSError as error:
        raise InvalidArgument(f"{socket!r} is closed", field="socket") from error
    if not place[1]:
        raise InvalidArgument(f"{socket!r} is not bound to a port", field="socket")
    address = _parsed(place[0].partition("%")[0], field="socket")
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return None if address.is_unspecified else str(address), place[1]


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
