"""The network of a bridge: its device on the host, and what connects a container to it.

    index = ensure(network, filter_)             # the bridge, its addresses, and what the packet filter knows of it
    wiring = wire(network, index, endpoint)      # messages: for the host, for the container's namespace, for the end

    host's namespace                     container's namespace
      bridge  gateway's address
        |
      veth  ----------------------------- eth0  address, route by the gateway

`wire` asks the kernel for nothing: a helper sends the messages, with no command run and nobody waited for, and again
where it starts the container again.
"""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any

from containerlib.errors import StageError
from containerlib.networking import firewall, spoofing
from containerlib.networking.firewall import Forward
from containerlib.networking.netlink import KeptNetlink, Netlink, Request, route
from containerlib.networking.netlink import nftables as nft
from containerlib.networking.netlink.route import Address, Interface
from containerlib.networking.spoofing import Identity
from containerlib.networking.subnets import Addresses
from containerlib.spec.values import frozen

__all__ = [
    "BridgeNetwork",
    "Endpoint",
    "Wiring",
    "addresses_of",
    "described",
    "ensure",
    "inside",
    "is_known",
    "remove",
    "routes",
    "wire",
]

_FIRST_INDEX = 1000
"""Of the devices in a container's namespace; the kernel's own begin at 1."""
_LAST = 2048
"""Behind the loopback device's own route."""
_PROC = "/proc/sys/net"


@frozen
class BridgeNetwork:
    """A network by what it is on the host."""

    id: str
    subnets: tuple[Addresses, ...]
    mtu: int = 1500
    internal: bool = False
    anti_spoofing: bool = False
    """Its containers send nothing but with their own MAC and addresses."""

    @property
    def device(self) -> str:
        """The bridge."""
        return f"cl-{self.id[:12]}"

    def settings(self) -> Mapping[str, Any]:
        """As the database keeps it."""
        return {
            "mtu": self.mtu,
            "internal": self.internal,
            "anti_spoofing": self.anti_spoofing,
            "subnets": described(self.subnets),
        }

    @classmethod
    def of(cls, network_id: str, settings: Mapping[str, Any]) -> BridgeNetwork:
        subnets = addresses_of(settings)
        anti_spoofing = settings.get("anti_spoofing", False)
        return cls(network_id, subnets, settings["mtu"], settings["internal"], anti_spoofing)


def described(subnets: Sequence[Addresses]) -> Sequence[Mapping[str, Any]]:
    """As the database keeps them."""
    return [
        {"subnet": str(one.subnet), "gateway": str(one.gateway), "range": one.range_ and str(one.range_)}
        for one in subnets
    ]


def addresses_of(settings: Mapping[str, Any]) -> tuple[Addresses, ...]:
    return tuple(
        Addresses(
            ipaddress.ip_network(one["subnet"]),
            ipaddress.ip_address(one["gateway"]),
            one["range"] and ipaddress.ip_network(one["range"]),
        )
        for one in settings["subnets"]
    )


@frozen
class Endpoint:
    """A container's place in it."""

    device: str
    interface: str
    mac: bytes
    addresses: tuple[Interface, ...]
    number: int = 0
    """Of the container's interfaces."""
    gateway: tuple[int, ...] = ()
    """Families (4, 6) whose route to everywhere else leads through it."""
    forwards: tuple[Forward, ...] = ()

    @property
    def index(self) -> int:
        """Of the interface."""
        return _FIRST_INDEX + self.number


def inside(endpoint: Endpoint) -> Sequence[Request]:
    """Its addresses, and then the interface is up."""
    own = [route.add_address(address, endpoint.index) for address in endpoint.addresses]
    return [*own, route.change(endpoint.index, up=True)]


@frozen
class Wiring:
    """Messages in the order in which they are sent. The second of `pair` lacks its process: see route.NAMESPACE_AT."""

    pair: tuple[Request, ...]
    host: tuple[Request, ...]
    own: tuple[Request, ...]
    end: tuple[tuple[Request, ...], ...]
    """Each by itself, since a batch is undone where one of it is not there."""
    quiet: tuple[Request, ...] = ()
    """Before `own`; a kernel without IPv6 does not know of it."""


@functools.lru_cache(maxsize=64)
def wire(network: BridgeNetwork, index: int, endpoint: Endpoint) -> Wiring:
    """What connects a container; `index` is that of the bridge. Each change of one network asks for all of them."""
    group = spoofing.GROUP if network.anti_spoofing else 0
    pair = (
        route.remove(
            endpoint.device
        ),  # of an earlier run, which the kernel takes away a while after its namespace
        route.veth(
            endpoint.interface,
            endpoint.device,
            number=endpoint.index,
            mtu=network.mtu,
            mac=endpoint.mac,
            group=group,
        ),
        route.change(name=endpoint.device, master=index, up=True),
        *((route.hairpin(endpoint.device),) if endpoint.forwards else ()),
    )
    has_ipv6 = any(one.subnet.version == 6 for one in network.subnets)
    quiet = () if has_ipv6 else (route.no_link_local(endpoint.index),)
    own = (*inside(endpoint), *routes(network, endpoint))
    host = [*firewall.publish(endpoint.forwards)]
    end = [*firewall.unpublish(endpoint.forwards)]
    if network.anti_spoofing:
        identity = Identity(endpoint.device, endpoint.mac, tuple(one.ip for one in endpoint.addresses))
        host += spoofing.restrict(identity)
        end.append(spoofing.forget(identity))
    return Wiring(
        pair, tuple(nft.batch(*host)) if host else (), own, tuple(tuple(batch) for batch in end), quiet
    )


def routes(network: BridgeNetwork, endpoint: Endpoint) -> tuple[Request, ...]:
    """To everywhere else, as far as they lead through it."""
    everywhere = {4: ipaddress.ip_network("0.0.0.0/0"), 6: ipaddress.ip_network("::/0")}
    return tuple(
        route.add_route(everywhere[one.subnet.version], endpoint.index, gateway=one.gateway)
        for one in network.subnets
        if one.subnet.version in endpoint.gateway
    )


def is_known(network: BridgeNetwork, kept: KeptNetlink) -> bool:
    """Whether the packet filter knows it. Raises: StageError(stage="network")."""
    with kept.use() as filter_:
        if not firewall.knows(filter_, network.device):
            return False
        return not network.anti_spoofing or spoofing.is_installed(filter_)


def ensure(
    network: BridgeNetwork,
    kept: KeptNetlink,
    *,
    known: bool = False,
    running: Sequence[Sequence[Request]] = (),
) -> int:
    """The index of its bridge, which is there after it, with all that belongs to it.

    `known`: what `is_known` has answered. `running`: what the packet filter is to know of its containers
    (`Wiring.host`), where it does not know the network. The network itself comes last: a bridge that it does not know
    may lack something, since whoever made it may have been killed meanwhile.

    Raises: StageError(stage="network").
    """
    if known:
        with contextlib.suppress(OSError):
            return socket.if_nametoindex(network.device)
    with Netlink(Netlink.ROUTE) as kernel:
        _make(kernel, network)
    if not known:
        with kept.use() as filter_:
            if network.anti_spoofing:
                filter_.run(spoofing.install(filter_))
            filter_.run(firewall.install(filter_))
            for batch in running:
                filter_.run(batch)
            filter_.run(firewall.network_elements(network.device, internal=network.internal))
    return socket.if_nametoindex(network.device)


def _make(kernel: Netlink, network: BridgeNetwork) -> None:
    kernel.run([route.bridge(network.device, mtu=network.mtu)])
    index = socket.if_nametoindex(network.device)
    kernel.run([route.add_address(_interface(one.gateway, one), index) for one in network.subnets])
    _set(f"ipv6/conf/{network.device}/accept_ra", b"0")  # a container is no router of the host's
    _set(f"ipv4/conf/{network.device}/route_localnet")
    if any(one.subnet.version == 6 for one in network.subnets):
        kernel.run([route.local6(index, priority=_LAST)])
    ways_in = [network.device, *(() if network.internal else _own_devices(kernel))]
    for version in {one.subnet.version for one in network.subnets}:
        _forward(version, ways_in)


def _own_devices(kernel: Netlink) -> Sequence[str]:
    """The host's, by which answers come, and what comes to published ports."""
    found = [one for one in route.devices(kernel) if one.up and one.name != "lo" and not one.master]
    return [one.name for one in found]


def _forward(version: int, ways_in: Sequence[str]) -> None:
    """Forwarding is a matter of the device that a packet comes in by. Of IPv6 it has been one only since Linux 6.17, by
    another word: `forwarding` of a device would have it take no routes from routers any more.
    """
    if version == 4 or os.path.exists(f"{_PROC}/ipv6/conf/all/force_forwarding"):  # noqa: PTH110 - a str
        word = "ipv4/conf/{}/forwarding" if version == 4 else "ipv6/conf/{}/force_forwarding"
        for device in ways_in:
            _set(word.format(device))
    elif len(ways_in) > 1:
        for device in ways_in[1:]:
            if _get(f"ipv6/conf/{device}/accept_ra") == b"1":
                _set(f"ipv6/conf/{device}/accept_ra", b"2")  # also as one that forwards
        _set("ipv6/conf/all/forwarding")


def _get(path: str) -> bytes:
    try:
        with open(f"{_PROC}/{path}", "rb", buffering=0) as file:
            return file.read(64).rstrip()
    except OSError:  # its device is gone
        return b""


def _set(path: str, value: bytes = b"1") -> None:
    try:
        with open(f"{_PROC}/{path}", "wb", buffering=0) as file:
            file.write(value)
    except FileNotFoundError:  # an older kernel has it for all devices alone
        return
    except OSError as error:
        raise StageError("network", error.errno or 0, f"{_PROC}/{path}") from error


def remove(network: BridgeNetwork, kept: KeptNetlink) -> None:
    """The bridge, and what the packet filter knows of it; neither need be there. Raises: StageError."""
    with kept.use() as filter_:
        if firewall.knows(filter_, network.device):
            filter_.run(firewall.forget(network.device, internal=network.internal))
    with Netlink(Netlink.ROUTE) as kernel:
        kernel.run([route.remove(network.device)])


def _interface(address: Address, addresses: Addresses) -> Interface:
    return ipaddress.ip_interface((address, addresses.subnet.prefixlen))
