"""Which addresses a network has, and which of them a container gets.

    subnet = free_subnet(POOLS, taken)                  # taken: other networks', and what the host has routes to
    for address in candidates(subnet, seed=id): ...     # all that may be given, each once

An address that was given back is not the next to be given: neighbours may still know it by another device.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network

from containerlib.errors import Conflict, InvalidArgument
from containerlib.networking.netlink.route import Address, Subnet
from containerlib.spec.values import frozen

__all__ = ["POOLS", "Addresses", "Pool", "candidates", "free_subnet", "is_host", "private_subnet6"]


@frozen
class Pool:
    """Subnets of `length` bits of prefix are cut from it."""

    network: IPv4Network | IPv6Network
    length: int


POOLS = (
    Pool(IPv4Network("172.16.0.0/12"), 20),
    Pool(IPv4Network("192.168.0.0/16"), 24),
)


@frozen
class Addresses:
    """A subnet of a network; `gateway` is its bridge. `range_`: where containers' addresses come from."""

    subnet: Subnet
    gateway: Address
    range_: Subnet | None = None

    @classmethod
    def of(cls, subnet: Subnet, gateway: Address | None = None, range_: Subnet | None = None) -> Addresses:
        """Raises: InvalidArgument where one does not lie in the other, or is for another purpose."""
        if subnet.is_loopback or subnet.is_multicast or subnet.is_unspecified or subnet.is_link_local:
            raise InvalidArgument(
                f"{subnet} is not for networks: loopback, link-local or multicast", field="subnet"
            )
        first = gateway if gateway is not None else subnet.network_address + 1
        if not is_host(first, subnet) or (subnet.version == 4 and subnet.num_addresses < 4):
            raise InvalidArgument(f"the gateway {first} is not an address of {subnet}", field="gateway")
        if range_ is not None and (range_.version != subnet.version or not _is_in(range_, subnet)):
            raise InvalidArgument(f"{range_} is not a part of {subnet}", field="ip_range")
        return cls(subnet, first, range_)


def free_subnet(pools: Sequence[Pool], taken: Iterable[Subnet]) -> Subnet:
    """The first subnet of the pools that overlaps none that is taken.

    Raises: Conflict where there is none left.
    """
    others = list(taken)
    for pool in pools:
        same = [other for other in others if other.version == pool.network.version]
        for subnet in pool.network.subnets(new_prefix=pool.length):
            if not any(subnet.overlaps(other) for other in same):
                return subnet
    names = ", ".join(str(pool.network) for pool in pools)
    raise Conflict(
        f"every subnet of {names} is another network's, or routed on this host: name one, or remove networks",
        state="full",
    )


def private_subnet6(seed: str) -> IPv6Network:
    """A /64 of the addresses that are nobody's on the internet, by chance nobody else's here. Spec: RFC 4193"""
    digest = hashlib.sha256(seed.encode()).digest()
    return IPv6Network((b"\xfd" + digest[:7] + bytes(8), 64))


def candidates(addresses: Addresses, *, seed: str) -> Iterator[Address]:
    """Every address that a container may have, each once, from one on that `seed` chooses."""
    pool = addresses.range_ or addresses.subnet
    first, count = int(pool.network_address), min(pool.num_addresses, 1 << 32)
    begin = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "big") % count
    make = ipaddress.IPv4Address if pool.version == 4 else ipaddress.IPv6Address
    for step in range(count):
        address = make(first + (begin + step) % count)
        if address != addresses.gateway and is_host(address, addresses.subnet):
            yield address


def is_host(address: Address, subnet: Subnet) -> bool:
    """Whether it can be one machine's."""
    if address not in subnet or address == subnet.network_address:
        return False
    return subnet.version == 6 or address != subnet.broadcast_address


def _is_in(inner: Subnet, outer: Subnet) -> bool:
    return inner.network_address in outer and inner.broadcast_address in outer
