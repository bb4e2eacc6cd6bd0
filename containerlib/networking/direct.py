"""Networks of a device of the host's: a container has a device upon it, and is on the same wire as the host.

    index = find_parent(network)                 # of the host's device
    wiring = wire(network, index, endpoint)      # as that of a bridge

    host's namespace                     container's namespace
      eth0 (parent) ------------------------ eth0  its own address on the wire, route by the wire's router

Nothing is made on the host but the container's device, which is born in the container's namespace and ends with it. The
kernel lets no packet through between a parent and the devices upon it: the host itself is not reached.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from errno import ENODEV, EOPNOTSUPP
from typing import Any, Literal, cast

from containerlib.errors import StageError
from containerlib.networking.bridge import Endpoint, Wiring, addresses_of, described, inside
from containerlib.networking.netlink import Netlink, Request, route
from containerlib.networking.subnets import Addresses
from containerlib.spec.values import frozen

__all__ = ["MODES", "DirectDriver", "DirectNetwork", "find_parent", "is_supported", "routes", "wire"]

DirectDriver = Literal["macvlan", "ipvlan"]
MODES: Mapping[DirectDriver, Mapping[str, int]] = {
    "macvlan": {"bridge": 4, "vepa": 2, "private": 1, "passthru": 8},
    "ipvlan": {"l2": 0, "l3": 1, "l3s": 2},
}
"""As docker and ip-link(8) call them, the default first."""


@frozen
class DirectNetwork:
    """A network by the device that it is on."""

    id: str
    subnets: tuple[Addresses, ...]
    driver: DirectDriver
    parent: str
    mode: str
    mtu: int = 1500
    internal: bool = False

    def settings(self) -> Mapping[str, Any]:
        """As the database keeps it."""
        own = {"mtu": self.mtu, "internal": self.internal, "parent": self.parent, "mode": self.mode}
        return {**own, "subnets": described(self.subnets)}

    @classmethod
    def of(cls, network_id: str, driver: str, settings: Mapping[str, Any]) -> DirectNetwork:
        return cls(
            network_id,
            addresses_of(settings),
            cast(DirectDriver, driver),
            settings["parent"],
            settings["mode"],
            settings["mtu"],
            settings["internal"],
        )


def is_supported(kernel: Netlink, driver: DirectDriver) -> bool:
    """Whether the kernel has such devices, as far as this process may ask. Raises: StageError(stage="network").

    It is asked for one on no parent, which it refuses otherwise.
    """
    try:
        kernel.run([route.direct(driver, "containerlib", 0, mode=0)])
    except StageError as error:
        return error.errno != EOPNOTSUPP
    return True


def find_parent(network: DirectNetwork) -> int:
    """Its index. Raises: StageError(stage="network")."""
    try:
        return socket.if_nametoindex(network.parent)
    except OSError as error:
        advice = "it is the parent of the network, and is to be there when a container starts"
        raise StageError("network", ENODEV, f"network device {network.parent}", advice=advice) from error


def wire(network: DirectNetwork, parent: int, endpoint: Endpoint) -> Wiring:
    """What connects a container; `parent` is the index of the parent."""
    own = (*inside(endpoint), *routes(network, endpoint))
    device = route.direct(
        network.driver,
        endpoint.interface,
        parent,
        mode=MODES[network.driver][network.mode],
        number=endpoint.index,
        mtu=network.mtu,
        mac=endpoint.mac if network.driver == "macvlan" else None,
    )
    return Wiring((route.remove(endpoint.device), device), (), own, ())


def routes(network: DirectNetwork, endpoint: Endpoint) -> tuple[Request, ...]:
    """To everywhere else, as far as they lead through it."""
    everywhere = {4: ipaddress.ip_network("0.0.0.0/0"), 6: ipaddress.ip_network("::/0")}
    is_routed = network.mode in ("l3", "l3s")  # by the host: there are no neighbours
    return tuple(
        route.add_route(
            everywhere[one.subnet.version], endpoint.index, gateway=None if is_routed else one.gateway
        )
        for one in network.subnets
        if one.subnet.version in endpoint.gateway
    )
