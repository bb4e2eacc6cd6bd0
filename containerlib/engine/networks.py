"""Networks of an engine: records in the database, from which the host has what belongs to them when a container comes.

record = create(core, "backend", NetworkOptions())       # the database; the bridge comes with the first container
remove(core, "backend")
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from containerlib.engine.kept_networks import forget_lock, take_back_orphans
from containerlib.engine.leftovers import take_back
from containerlib.engine.network_drivers import default_driver, maker, network_of
from containerlib.errors import AlreadyExists, Conflict
from containerlib.networking import bridge, subnets
from containerlib.networking.bridge import BridgeNetwork
from containerlib.networking.netlink import Netlink, route
from containerlib.networking.subnets import Addresses, Pool
from containerlib.store import EventRow, NetworkRecord

if TYPE_CHECKING:
    from containerlib.engine.core import Core
    from containerlib.networking.netlink.route import Subnet

__all__ = ["DEFAULT", "CniOptions", "NetworkOptions", "create", "find", "remove"]

DEFAULT = "bridge"
"""The network of a container that publishes a port and is told of no other; made when it is first needed."""


@frozen
class CniOptions:
    """`config`: a configuration of plugins as JSON, or with `is_file` the path of one; `path`: where plugins are."""

    config: str = ""
    is_file: bool = False
    path: tuple[str, ...] = ()
    timeout: float | None = None


@frozen
class NetworkOptions:
    """What a network is to be. Without a subnet it gets a free one."""

    subnets: tuple[Addresses, ...] = ()
    pools: tuple[Pool, ...] = ()
    """Where a free one is looked for; none: in private addresses of Docker's choice."""
    ipv6: bool = False
    internal: bool = False
    mtu: int = 1500
    driver: str = ""
    """None named: the one of this process, by its rights."""
    parent: str = ""
    mode: str = ""
    """Of a driver that takes a device of the host's."""
    cni: CniOptions = CniOptions()
    anti_spoofing: bool | None = None
    """None: where the kernel can."""
    labels: tuple[tuple[str, str], ...] = ()


def create(core: Core, name: str, options: NetworkOptions = NetworkOptions()) -> NetworkRecord:
    """A network, on which nobody is yet.

    Raises: AlreadyExists; Conflict for a subnet that overlaps another network's, and where none is left; Unsupported;
    StageError.
    """
    options = evolve(options, driver=options.driver or default_driver())
    make = maker(core, name, options)
    identity = os.urandom(32).hex()
    routed: list[Subnet] = []
    if options.driver != "cni":
        with Netlink(Netlink.ROUTE) as kernel:
            routed = [*route.routes(kernel), *route.routes(kernel, 10)]
    with core.store.database.transaction():
        others = {one: record.name for record in core.store.networks.list() for one in _subnets(record)}
        addresses = _addresses(identity, options, others, routed)
        settings = make(identity, addresses).settings()
        record = NetworkRecord(identity, name, options.driver, settings, options.labels, datetime.now(UTC))
        core.store.networks.add(record)
        core.store.events.add(EventRow("network", "create", identity, name, labels=dict(options.labels)))
    return record


def _addresses(
    identity: str, options: NetworkOptions, others: Mapping[Subnet, str], routed: Sequence[Subnet]
) -> tuple[Addresses, ...]:
    if options.driver == "cni":  # its plugins know
        return ()
    for one in options.subnets:
        for other, name in others.items():
            if one.subnet.version == other.version and one.subnet.overlaps(other):
                raise Conflict(f"{one.subnet} overlaps {other} of the network {name!r}", state="in use")
    chosen = list(options.subnets)
    if not any(one.subnet.version == 4 for one in chosen):
        chosen.insert(
            0, Addresses.of(subnets.free_subnet(options.pools or subnets.POOLS, [*others, *routed]))
        )
    if options.ipv6 and not any(one.subnet.version == 6 for one in chosen):
        chosen.append(Addresses.of(subnets.private_subnet6(identity)))
    return tuple(chosen)


def remove(core: Core, name: str) -> None:
    """The network, its bridge and its rules.

    Raises: NotFound; Conflict where a container is on it; StageError(stage="network").
    """
    record = core.store.networks.get(name)
    take_back_orphans(core)
    # nobody is connected meanwhile, and who is killed before the end leaves a network that is removed again
    with core.store.database.transaction():
        users = core.store.networks.endpoints(record.id)
        if users:
            names = ", ".join(sorted(core.store.containers.get(user.container_id).name for user in users))
            raise Conflict(f"{names} on the network {record.name!r}: remove that first", state="in use")
        if core.store.attachments.on(record.id):
            raise Conflict(
                f"plugins of the network {record.name!r} have not taken back what removed containers had: "
                "engine.prune() tries again, and says why",
                state="in use",
            )
        core.store.networks.remove(record.id)
        core.store.events.add(
            EventRow("network", "remove", record.id, record.name, labels=dict(record.labels))
        )
        take_back(core, [record])
        if record.driver == "bridge":
            bridge.remove(BridgeNetwork.of(record.id, record.settings), core.filter)
    core.names.forget(record.id)
    forget_lock(core, record.id)


def find(core: Core, name: str) -> NetworkRecord:
    """By name or id; the default one is made where it is not there. Raises: NotFound."""
    if name == DEFAULT:
        with contextlib.suppress(AlreadyExists):
            if not any(record.name == DEFAULT for record in core.store.networks.list()):
                return create(core, DEFAULT)
    return core.store.networks.get(name)


def _subnets(record: NetworkRecord) -> Sequence[Subnet]:
    return [one.subnet for one in network_of(record).subnets]
