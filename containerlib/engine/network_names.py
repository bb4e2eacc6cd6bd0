"""What a container's networks tell of names: files that its resolver reads, and those of its own /etc.

names = names_inside(instance, given, hostname)          # what its files say, once
op = resolver_of(instance, endpoints)                    # at each start, and when it comes to another network
told(instance, before, after)                            # it has other addresses
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import TYPE_CHECKING

from containerlib.engine.kept_networks import KEPT, results_of
from containerlib.engine.network_drivers import network_at
from containerlib.engine.wiring import resolver
from containerlib.networking import Names, names
from containerlib.networking.files import read_host_file, rewrite_hosts, rewrite_resolver
from containerlib.networking.names import RESOLVER, Line, Server

if TYPE_CHECKING:
    from containerlib.engine.core import Core
    from containerlib.engine.instance import Instance
    from containerlib.engine.network_drivers import AnyNetwork
    from containerlib.runtime.plan.op import Op
    from containerlib.store import EndpointRecord, NetworkRecord

__all__ = ["forget_names", "line", "names_inside", "rename", "resolver_of", "tell_names", "told"]


def resolver_of(instance: Instance, endpoints: Sequence[EndpointRecord]) -> Op:
    """Who answers for names, who knows these networks from now on, and whom to ask for others."""
    networks = [network_at(instance.core, one.network_id) for one in endpoints]
    view = instance.core.names.show(instance.id, [one.id for one in networks], _servers(instance, networks))
    return resolver(instance.core.names.directory, view)


def _servers(instance: Instance, networks: Sequence[AnyNetwork]) -> Sequence[Server]:
    """Who is asked for other names: from the host, and so nobody, where no network of the container leads out."""
    asked = dict(instance.memo.words).get("dns", ())
    if any(not network.internal for network in networks):
        given = asked or [one for result in results_of(instance.core, instance.id) for one in result.servers]
        return [names.server(one) for one in given] or names.servers_of(read_host_file("resolv.conf"))
    inside = [one.subnet for network in networks for one in network.subnets]
    servers = [names.server(one) for one in asked]
    return [one for one in servers if any(one.address in subnet for subnet in inside)]


def names_inside(instance: Instance, given: Names, hostname: str) -> Names:
    """What the files of a container say: its resolver knows the rest."""
    if not instance.memo.connected:
        return given
    endpoints = instance.core.store.networks.endpoints_of(instance.id)
    own = tuple((hostname, address) for endpoint in endpoints for address in endpoint.addresses)
    # a name without a dot is that of a container before it is one of a domain
    dots = () if any(one.startswith("ndots:") for one in given.options) else ("ndots:0",)
    return Names((*own, *given.hosts), (RESOLVER,), given.search, (*given.options, *dots))


def line(network: NetworkRecord, endpoint: EndpointRecord, name: str) -> Line:
    container = endpoint.container_id
    known = (f"{name}.{network.name}", name, *endpoint.names, container[:12])
    # who is on a network of pasta is alone there
    reached = () if network.driver == "pasta" else endpoint.addresses
    addresses = tuple(map(ipaddress.ip_address, reached))
    return Line(endpoint.device, addresses, known, network.driver not in KEPT)


def rename(instance: Instance, name: str) -> None:
    """In the transaction in which it gets the name."""
    networks = instance.core.store.networks
    for endpoint in networks.endpoints_of(instance.id) if instance.memo.connected else ():
        known = line(networks.get(endpoint.network_id), endpoint, name)
        instance.core.names.add(endpoint.network_id, known)


def forget_names(instance: Instance) -> None:
    """In the transaction in which it is removed."""
    if not instance.memo.connected:
        return
    instance.core.filter_sockets.give_back(instance.id)
    for endpoint in instance.core.store.networks.endpoints_of(instance.id):
        instance.core.names.remove(endpoint.network_id, endpoint.device)
    instance.core.names.forget_container(instance.id)


def tell_names(core: Core) -> None:
    """The files of names as the database has them: whoever changes one may be killed before the other is changed."""
    with core.store.database.transaction():
        containers = {record.id: record.name for record in core.store.containers.list()}
        networks = core.store.networks.list()
        core.names.forget_others([one.id for one in networks], containers)
        for network in networks:
            endpoints = core.store.networks.endpoints(network.id)
            lines = [line(network, one, containers[one.container_id]) for one in endpoints]
            core.names.replace(network.id, lines)


def told(instance: Instance, before: Sequence[EndpointRecord], after: Sequence[EndpointRecord]) -> None:
    """Everybody hears of the addresses that plugins gave it, and it of the domains; where `after` is made anew.

    Raises: StageError(stage="network").
    """
    changed = [(old, new) for old, new in zip(before, after, strict=True) if new is not old]
    if not changed:
        return
    for _, new in changed:
        network = instance.core.store.networks.get(new.network_id)
        instance.core.names.add(new.network_id, line(network, new, instance.record.name))
    gone = {address for old, _ in changed for address in old.addresses}
    come = [address for _, new in changed for address in new.addresses]
    hostname = instance.spec.get("hostname") or instance.id[:12]
    rewrite_hosts(instance.directory, hostname, {*gone, *come}, come)
    words, results = dict(instance.memo.words), results_of(instance.core, instance.id)
    search = words.get("dns_search") or tuple(one for result in results for one in result.search)
    options = words.get("dns_options") or tuple(one for result in results for one in result.options)
    rewrite_resolver(
        instance.directory, names_inside(instance, Names(search=search, options=options), hostname)
    )
