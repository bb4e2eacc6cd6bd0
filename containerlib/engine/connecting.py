"""Connecting a container to networks that exists already, and disconnecting it: at once where it runs.

    the database -> files of names -> `links` for its next start -> what its supervisor changes now

Who is killed between them leaves the rest to `mend`, which each engine does when it is opened.
"""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

from attrs import evolve

from containerlib import runtime
from containerlib.engine.instance import Instance
from containerlib.engine.kept_networks import KEPT, attach, detach, is_kept
from containerlib.engine.lock import locked
from containerlib.engine.network_drivers import routes, unwire
from containerlib.engine.network_names import names_inside, resolver_of, told
from containerlib.engine.networks import find
from containerlib.engine.places import (
    number_of,
    occupy,
    places_of,
    wired,
    wirings_of,
)
from containerlib.engine.wiring import connection, disconnection, links
from containerlib.errors import Conflict, Error, NotFound, Unsupported
from containerlib.networking import Names
from containerlib.networking.files import rewrite_resolver
from containerlib.runtime import NATIVE
from containerlib.runtime.linking import relink
from containerlib.runtime.plan.links import Links
from containerlib.spec.lifecycle import State
from containerlib.spec.values import evolve as evolve_value
from containerlib.store import EventRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from containerlib.engine.core import Core
    from containerlib.networking.netlink import Request
    from containerlib.spec.options import NetworkOption
    from containerlib.store import EndpointRecord, NetworkRecord

__all__ = ["connect", "disconnect", "mend"]


def connect(instance: Instance, wanted: NetworkOption) -> None:
    """Puts the container on one more network.

    Raises: AlreadyExists where it is on it; NotFound; Conflict for an address that another has, where none is left, and
    where the container has no network namespace of its own; Unsupported for another driver's; StageError.
    """
    _require_own_network(instance)
    record = find(instance.core, wanted.network)
    with locked(instance):
        before = _endpoints(instance)
        number = max((number_of(one) for one in before), default=-1) + 1
        if record.driver in KEPT and not is_kept(instance):
            raise Unsupported(
                f"{instance.subject} was made without such a network, which takes a namespace of another kind: "
                f'make it with join("{record.name}")'
            )
        added = occupy(instance, record, wanted, number)
        try:
            _note_connected(instance)
            _join(instance, before, added)
        except BaseException:
            with contextlib.suppress(Error):
                _leave(instance, before, added)
            _vacate(instance, added)
            raise
        instance.core.store.events.add(_event("connect", instance, record))


def disconnect(instance: Instance, network: str) -> None:
    """Takes the container off the network, with the ports that it has published there.

    Raises: NotFound where it is not on it; StageError.
    """
    record = find(instance.core, network)
    with locked(instance):
        endpoints = _endpoints(instance)
        gone = next((one for one in endpoints if one.network_id == record.id), None)
        if gone is None:
            raise NotFound(f"{instance.subject} is not on the network {record.name!r}")
        _leave(instance, [one for one in endpoints if one is not gone], gone)
        _vacate(instance, gone)
        instance.core.store.events.add(_event("disconnect", instance, record))


def mend(core: Core) -> None:
    """Connects what runs as the database says, where who was to do so was killed on the way."""
    for record in core.store.networks.list():
        if record.driver != "bridge":  # the host sees nothing of their devices
            continue
        for endpoint in core.store.networks.endpoints(record.id):
            if _is_missing(core, endpoint):
                with contextlib.suppress(Error, OSError):
                    _connect_again(
                        Instance.of(core, core.store.containers.get(endpoint.container_id)), endpoint
                    )


def _is_missing(core: Core, endpoint: EndpointRecord) -> bool:
    """Whether its container runs, and has no such device."""
    with contextlib.suppress(OSError):
        return not socket.if_nametoindex(endpoint.device)
    return runtime.state(core.directory(endpoint.container_id)) is State.RUNNING


def _connect_again(instance: Instance, endpoint: EndpointRecord) -> None:
    with locked(instance):
        before = [one for one in _endpoints(instance) if one != endpoint]
        if len(before) < len(_endpoints(instance)) and _is_missing(instance.core, endpoint):
            _note_connected(instance)
            _join(instance, before, endpoint)


def _require_own_network(instance: Instance) -> None:
    kinds = [space["type"] for space in instance.spec.get("linux", {}).get("namespaces", ())]
    if "network" not in kinds or "network" in dict(instance.memo.joined):
        raise Conflict(
            f"{instance.subject} has the network of the host or of another container: connect that one",
            state="in use",
        )
    if instance.driver.name != NATIVE:
        raise Unsupported(f"networks of containers that {instance.driver.name} runs")


def _endpoints(instance: Instance) -> Sequence[EndpointRecord]:
    return instance.core.store.networks.endpoints_of(instance.id)


def _note_connected(instance: Instance) -> None:
    """From its first network on it has a resolver of its own."""
    if instance.memo.connected:
        return
    memo = evolve(instance.memo, connected=True)
    instance.core.store.containers.set_options(instance.id, memo.to_json())
    instance.memo = memo
    words = dict(memo.words)
    given = Names(search=words.get("dns_search", ()), options=words.get("dns_options", ()))
    rewrite_resolver(instance.directory, names_inside(instance, given, ""))


def _join(instance: Instance, before: Sequence[EndpointRecord], added: EndpointRecord) -> None:
    endpoints = sorted([*before, added], key=number_of)
    made = attach(instance, endpoints)
    told(instance, endpoints, made)
    resolver = resolver_of(instance, endpoints)
    wirings = wirings_of(instance, endpoints)
    if len(wirings) < len(endpoints):  # plugins have connected it
        relink(instance.directory, links((), resolver), links((), resolver))
        return
    change = connection(wirings[endpoints.index(added)], resolver)
    relink(instance.directory, links(wirings, resolver), change)


def _leave(instance: Instance, left: Sequence[EndpointRecord], gone: EndpointRecord) -> None:
    """Its devices, and its routes, where those led through it."""
    before = sorted([*left, gone], key=number_of)
    detach(instance.core, instance.id, gone.network_id)
    places = {place.device: (network, place) for network, place in places_of(instance, before)}
    if not places:  # plugins had connected it
        told(instance, [gone], [evolve(gone, addresses=())])
        relink(instance.directory, links((), resolver_of(instance, left)), Links())
        return
    wiring, inside = unwire(*places[gone.device])
    staying = places_of(instance, left)
    change: list[Request] = []
    for network, place in staying:
        families = set(place.gateway) - set(places[place.device][1].gateway)
        change += routes(network, evolve_value(place, gateway=tuple(families)))
    relink(
        instance.directory,
        links(wired(instance.core, staying), resolver_of(instance, left)),
        disconnection(gone.device, wiring, [*inside, *change]),
    )


def _vacate(instance: Instance, endpoint: EndpointRecord) -> None:
    store = instance.core.store
    with store.database.transaction():
        store.networks.disconnect(endpoint.network_id, instance.id)
        instance.core.names.remove(endpoint.network_id, endpoint.device)


def _event(action: str, instance: Instance, record: NetworkRecord) -> EventRow:
    attributes = {"container": instance.id, "type": record.driver}
    return EventRow("network", action, record.id, record.name, attributes, labels=dict(record.labels))
