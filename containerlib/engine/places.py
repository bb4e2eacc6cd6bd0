"""The places of containers on networks: addresses, published ports, and what connects them at each start.

place(instance, options)                                 # a container's addresses: once, with its record
with links_of(instance) as links: ...                    # at each start: what connects it
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from attrs import evolve, frozen

from containerlib.engine.admission import promised, refuse
from containerlib.engine.instance import Instance
from containerlib.engine.kept_networks import KEPT, attach, take_back_orphans
from containerlib.engine.leftovers import take_back
from containerlib.engine.network_drivers import is_known, network_at, network_of, wire
from containerlib.engine.network_names import line, resolver_of, tell_names, told
from containerlib.engine.networks import DEFAULT, find
from containerlib.engine.wiring import links
from containerlib.errors import Conflict, InvalidArgument, NotFound
from containerlib.networking import bridge, subnets, user_mode
from containerlib.networking.bridge import BridgeNetwork, Endpoint, Wiring
from containerlib.networking.cni import CniNetwork
from containerlib.networking.direct import DirectNetwork
from containerlib.networking.firewall import Forward
from containerlib.networking.reservation import Reservation, adopt, reserve_one
from containerlib.networking.subnets import Addresses
from containerlib.networking.user_mode import UserNetwork
from containerlib.runtime.plan.links import NO_LINKS, Links
from containerlib.runtime.supervisor import has_shim
from containerlib.spec.options import ContainerOptions, NetworkOption, PortOption
from containerlib.spec.values import evolve as evolve_value
from containerlib.store import EndpointRecord, NetworkRecord

if TYPE_CHECKING:
    from socket import socket as Socket  # noqa: N812 - a word of the recipe is called so

    from containerlib.engine.core import Core
    from containerlib.networking.netlink import Request
    from containerlib.networking.netlink.route import Address

__all__ = [
    "PublishedPort",
    "addresses_of",
    "links_of",
    "mend",
    "networks_of",
    "number_of",
    "occupy",
    "place",
    "places_of",
    "published",
    "reclaim",
    "wired",
    "wirings_of",
]

Place = tuple[BridgeNetwork | DirectNetwork, Endpoint]


@frozen
class PublishedPort:
    """A port of a container that the host has too. `address` None: every address of the host."""

    container: int
    host: int
    address: str | None
    protocol: Literal["tcp", "udp", "sctp"]


def place(instance: Instance, options: ContainerOptions) -> None:
    """Gives the container its addresses, which it has until it is removed.

    Raises: NotFound; Conflict for an address that another has, and where none is left; InvalidArgument.
    """
    wanted = list(options.networks)
    if options.ports and not wanted:
        wanted.append(NetworkOption(DEFAULT))
    for number, one in enumerate(wanted):
        record = find(instance.core, one.network)
        ports = options.ports if number == 0 else ()
        occupy(instance, record, one, number, ports)


def occupy(
    instance: Instance,
    record: NetworkRecord,
    wanted: NetworkOption,
    number: int,
    ports: tuple[PortOption, ...] = (),
) -> EndpointRecord:
    """A place on the network for the container, as its interface of that number.

    Raises: AlreadyExists where it has one; Conflict for an address that another has, and where none is left;
    InvalidArgument.
    """
    store, network = instance.core.store, network_of(record)
    refuse(instance, record, network, wanted, ports)
    mac = wanted.mac or ":".join(f"{byte:02x}" for byte in b"\x02" + os.urandom(5))
    with store.database.transaction():
        store.networks.get(record.id)  # it may have been removed meanwhile
        taken = store.networks.taken(record.id)
        if wanted.mac and any(one.mac == wanted.mac for one in store.networks.endpoints(record.id)):
            raise Conflict(f"{wanted.mac} is another container's on {record.name!r}", state="in use")
        addresses = tuple(str(_choose(instance.id, one, wanted, taken)) for one in network.subnets)
        endpoint = EndpointRecord(
            record.id,
            instance.id,
            f"cl{instance.id[:10]}{number:x}",
            f"eth{number}",
            mac,
            addresses,
            wanted.aliases,
            [_port(port) for port in ports],
        )
        store.networks.connect(endpoint)
        if record.driver in KEPT:
            store.attachments.put(promised(endpoint, wanted, record.driver))
        instance.core.names.add(record.id, line(record, endpoint, instance.record.name))
    return endpoint


def _choose(container_id: str, addresses: Addresses, wanted: NetworkOption, taken: frozenset[str]) -> Address:
    asked = wanted.address if addresses.subnet.version == 4 else wanted.address6
    if asked is not None:
        address = ipaddress.ip_address(asked)
        if address == addresses.gateway or not subnets.is_host(address, addresses.subnet):
            raise InvalidArgument(
                f"{asked} is no address for a container of {addresses.subnet}", field="address"
            )
        if asked in taken:
            raise Conflict(f"{asked} is another container's", state="in use")
        return address
    for address in subnets.candidates(addresses, seed=container_id):
        if str(address) not in taken:
            return address
    raise Conflict(f"every address of {addresses.subnet} is a container's: remove some of them", state="full")


@contextlib.contextmanager
def links_of(instance: Instance, ports: Sequence[PortOption] = ()) -> Iterator[tuple[Links, Sequence[int]]]:
    """What connects the container, and descriptors that its shim keeps until its end, open for the time of the `with`.

    `ports`: with the sockets that are known to the recipe alone.

    Raises: Conflict for a host port that somebody has; StageError(stage="network").
    """
    endpoints = instance.core.store.networks.endpoints_of(instance.id) if instance.memo.connected else ()
    if not endpoints:
        if instance.memo.connected:
            attach(instance, ())  # the namespace, which it joins all the same
        yield NO_LINKS, ()
        return
    held: list[Reservation] = []
    try:
        bound = []
        for endpoint in endpoints:
            if _is_published_elsewhere(instance, endpoint):
                bound.append(_with_free_ports(instance, endpoint))
                continue
            sockets = [port.socket for port in ports] or [None] * len(endpoint.ports)
            reserved = [
                _reserve(instance.core, endpoint, *each)
                for each in zip(endpoint.ports, sockets, strict=False)
            ]
            held += reserved
            bound.append(_with_ports(instance, endpoint, reserved))
        made = attach(instance, bound)
        told(instance, bound, made)
        descriptors = [descriptor for one in held for descriptor in one.descriptors]
        change = links(wirings_of(instance, made), resolver_of(instance, made))
        yield evolve_value(change, filter=instance.core.filter_sockets.take(instance.id)), descriptors
    finally:
        for one in held:
            one.close()


def _is_published_elsewhere(instance: Instance, endpoint: EndpointRecord) -> bool:
    """Whether somebody else listens at its ports: who would not get them while they are held here."""
    return isinstance(network_at(instance.core, endpoint.network_id), UserNetwork)


def _with_free_ports(instance: Instance, endpoint: EndpointRecord) -> EndpointRecord:
    """With the ports that somebody listens at for it already, or that were free a moment ago."""
    rows = instance.core.store.attachments.of(instance.id)
    if any(user_mode.runs(row.result or {}) for row in rows):
        return endpoint
    with contextlib.ExitStack() as held:
        reserved = []
        for port in endpoint.ports:
            reserved.append(_reserve(instance.core, endpoint, port, None))
            held.callback(reserved[-1].close)
    return _with_ports(instance, endpoint, reserved)


def _with_ports(
    instance: Instance, endpoint: EndpointRecord, reserved: Sequence[Reservation]
) -> EndpointRecord:
    """With the ports of the host that it got."""
    ports = [{**port, "bound": one.port} for port, one in zip(endpoint.ports, reserved, strict=True)]
    if ports != list(endpoint.ports):
        instance.core.store.networks.set_ports(endpoint, ports)
    return evolve(endpoint, ports=ports)


def wirings_of(instance: Instance, endpoints: Sequence[EndpointRecord]) -> Sequence[Wiring]:
    """What connects each, with its bridge made where it is not there. `endpoints`: all of the container's.

    Raises: StageError(stage="network").
    """
    return wired(instance.core, places_of(instance, endpoints))


def wired(core: Core, places: Sequence[Place]) -> Sequence[Wiring]:
    """As `wirings_of`."""
    known = [is_known(core, network) for network, _ in places]
    if not all(known):
        mend(core)
    return [wire(core, *each, known=one) for each, one in zip(places, known, strict=True)]


def places_of(instance: Instance, endpoints: Sequence[EndpointRecord]) -> Sequence[Place]:
    """`endpoints`: all of the container's. The first that leads out has the route to everywhere else."""
    found = []
    led: set[int] = set()
    for endpoint in endpoints:
        network = network_at(instance.core, endpoint.network_id)
        if isinstance(network, CniNetwork | UserNetwork):  # somebody else has connected it
            continue
        families = {one.subnet.version for one in network.subnets}
        gateway = () if network.internal else tuple(sorted(families - led))
        led.update(gateway)
        found.append((network, _endpoint(network, endpoint, gateway)))
    return found


def number_of(endpoint: EndpointRecord) -> int:
    """Of the container's interfaces."""
    return int(endpoint.interface.removeprefix("eth"))


def networks_of(instance: Instance) -> tuple[str, ...]:
    """Names of the networks that it is on, in the order of its interfaces."""
    if not instance.memo.connected:
        return ()
    networks = instance.core.store.networks
    return tuple(networks.get(one.network_id).name for one in networks.endpoints_of(instance.id))


def addresses_of(instance: Instance) -> Mapping[str, tuple[str, ...]]:
    """What it has on each of its networks, by their names."""
    if not instance.memo.connected:
        return {}
    networks = instance.core.store.networks
    return {networks.get(one.network_id).name: one.addresses for one in networks.endpoints_of(instance.id)}


def published(instance: Instance) -> tuple[PublishedPort, ...]:
    """The ports of the container that the host has too, since it was started."""
    if not instance.memo.connected:
        return ()
    return tuple(
        PublishedPort(port["port"], port["bound"], port["host_address"], port["protocol"])
        for endpoint in instance.core.store.networks.endpoints_of(instance.id)
        for port in endpoint.ports
        if "bound" in port
    )


def reclaim(core: Core) -> None:
    """Takes back what containers had of the host's network whose supervisors were killed; mends the others'."""
    networks = core.store.networks.list()
    if networks or core.names.any():
        tell_names(core)
    take_back(core, networks)
    mend(core)
    take_back_orphans(core)


def mend(core: Core) -> None:
    """What the packet filter knew of the networks of running containers, where it does not know them any more: somebody
    has emptied it (`nft flush ruleset`).

    Raises: StageError(stage="network").
    """
    lost = []
    for record in core.store.networks.list():
        network = network_of(record)
        endpoints = core.store.networks.endpoints(record.id)
        running = [one.container_id for one in endpoints if has_shim(core.directory(one.container_id))]
        if running and isinstance(network, BridgeNetwork) and not is_known(core, network):
            lost.append((network, running))
    for network, running in lost:  # each of them misses a table, until one of them has it
        batches = [batch for each in running for batch in _known_on(core, each, network)]
        bridge.ensure(network, core.filter, running=batches)


def _known_on(core: Core, container_id: str, network: BridgeNetwork) -> Iterator[Sequence[Request]]:
    """What the packet filter knows of the container as one of that network."""
    with contextlib.suppress(NotFound):  # it is removed meanwhile
        instance = Instance.of(core, core.store.containers.get(container_id))
        for one, place in places_of(instance, core.store.networks.endpoints_of(container_id)):
            if one.id == network.id:
                yield bridge.wire(network, 0, place).host


def _reserve(
    core: Core, endpoint: EndpointRecord, port: Mapping[str, Any], socket: Socket | None
) -> Reservation:
    host = port["host_address"] and ipaddress.ip_address(port["host_address"])
    families = sorted({ipaddress.ip_address(address).version for address in endpoint.addresses}) or [4]
    if socket is not None:
        return adopt(socket, port["protocol"], host, families)
    hosts = range(port["host_port"], (port.get("host_last") or port["host_port"]) + 1)
    try:
        return reserve_one(port["protocol"], host, hosts, families)
    except Conflict as error:
        name = _publisher(core, port["protocol"], hosts[0]) if len(hosts) == 1 else None
        if name is None:
            raise
        what = f"{port['protocol']} port {hosts[0]} is published by the container {name!r}"
        raise Conflict(f"{what}: publish to another with host=, or stop that", state="in use") from error


def _publisher(core: Core, protocol: str, host_port: int) -> str | None:
    """The name of a container that runs and has published it."""
    for record in core.store.networks.list():
        for endpoint in core.store.networks.endpoints(record.id):
            has = any(
                each.get("bound") == host_port and each["protocol"] == protocol for each in endpoint.ports
            )
            if has and has_shim(core.directory(endpoint.container_id)):
                return core.store.containers.get(endpoint.container_id).name
    return None


def _endpoint(
    network: BridgeNetwork | DirectNetwork, record: EndpointRecord, gateway: tuple[int, ...]
) -> Endpoint:
    lengths = {one.subnet.version: one.subnet.prefixlen for one in network.subnets}
    addresses = [ipaddress.ip_address(address) for address in record.addresses]
    forwards = [
        Forward(port["protocol"], host, port["bound"], address, port["port"])
        for port in record.ports
        if "bound" in port
        for host in [port["host_address"] and ipaddress.ip_address(port["host_address"])]
        for address in addresses
        if not host or host.version == address.version
    ]
    return Endpoint(
        record.device,
        record.interface,
        bytes.fromhex(record.mac.replace(":", "")),
        tuple(ipaddress.ip_interface((address, lengths[address.version])) for address in addresses),
        number_of(record),
        gateway,
        tuple(forwards),
    )


def _port(port: PortOption) -> Mapping[str, Any]:
    return {
        "port": port.port,
        "protocol": port.protocol,
        "host_port": port.host_port,
        "host_address": port.host_address,
        **({} if port.host_last is None else {"host_last": port.host_last}),
    }
