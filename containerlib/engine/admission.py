"""What a container cannot have of a network, found before it has a place on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from containerlib.engine.kept_networks import KEPT
from containerlib.errors import InvalidArgument, Unsupported
from containerlib.networking.cni import Chain, CniNetwork
from containerlib.networking.direct import DirectNetwork
from containerlib.networking.user_mode import PROTOCOLS, UserNetwork
from containerlib.store import AttachmentRecord

if TYPE_CHECKING:
    from containerlib.engine.instance import Instance
    from containerlib.engine.network_drivers import AnyNetwork
    from containerlib.spec.options import NetworkOption, PortOption
    from containerlib.store import EndpointRecord, NetworkRecord

__all__ = ["promised", "refuse"]


def refuse(
    instance: Instance,
    record: NetworkRecord,
    network: AnyNetwork,
    wanted: NetworkOption,
    ports: tuple[PortOption, ...],
) -> None:
    """Raises: InvalidArgument; Unsupported."""
    if ports and isinstance(network, DirectNetwork):
        raise InvalidArgument(
            f"a container on the {record.driver} network {record.name!r} has an address that others reach: "
            "its ports are not published",
            field="publish",
        )
    if isinstance(network, CniNetwork):
        _refuse_words(record, network.chain, wanted, ports)
    if isinstance(network, UserNetwork):
        _refuse_ports(ports)
    if record.driver in KEPT and instance.memo.ids:
        raise Unsupported(
            f"the {record.driver} network {record.name!r} for a container with a user namespace: it would have no "
            "rights in the network namespace, which is made before it"
        )
    store = instance.core.store.networks
    drivers = {store.get(one.network_id).driver for one in store.endpoints_of(instance.id)}
    if any("pasta" in (one, record.driver) or (one in KEPT) != (record.driver in KEPT) for one in drivers):
        raise Unsupported(
            f"{instance.subject} on {record.name!r}: networks of plugins and others are not for one container, and "
            "one of pasta is its only one"
        )


def _refuse_ports(ports: tuple[PortOption, ...]) -> None:
    for port in ports:
        if port.protocol not in PROTOCOLS:
            raise InvalidArgument(
                f"pasta knows {' and '.join(PROTOCOLS)}, not {port.protocol}", field="protocol"
            )
        if port.socket is not None:
            raise InvalidArgument(
                "pasta makes its sockets itself: give it a port of the host's", field="socket"
            )


def _refuse_words(
    record: NetworkRecord, chain: Chain, wanted: NetworkOption, ports: tuple[PortOption, ...]
) -> None:
    """What is asked for is told to plugins that say they can."""
    asked = {
        "publish": ("portMappings", ports),
        "address": ("ips", wanted.address),
        "address6": ("ips", wanted.address6),
        "mac": ("mac", wanted.mac),
    }
    for word, (capability, value) in asked.items():
        if value and not chain.can(capability):
            raise InvalidArgument(
                f'no plugin of the network {record.name!r} has {{"capabilities": {{"{capability}": true}}}}',
                field=word,
            )


def promised(endpoint: EndpointRecord, wanted: NetworkOption, driver: str) -> AttachmentRecord:
    """What plugins, or pasta, will be told of the container.

    Spec: CNI CONVENTIONS.md, "Dynamic Plugin specific fields"
    """
    given: dict[str, Any] = {}
    if driver == "pasta":
        given = {"mac": endpoint.mac, "address": endpoint.addresses[0]}
        return AttachmentRecord(endpoint.network_id, endpoint.container_id, endpoint.interface, given)
    if addresses := [one for one in (wanted.address, wanted.address6) if one]:
        given["ips"] = addresses
    if wanted.mac:
        given["mac"] = wanted.mac
    return AttachmentRecord(endpoint.network_id, endpoint.container_id, endpoint.interface, given)
