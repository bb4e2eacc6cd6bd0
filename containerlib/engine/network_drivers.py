"""Which driver makes a network, and what each of them needs of this host.

network = maker(core, options)(id, addresses)            # what the kernel lacks is found here, and not at a start
record = NetworkRecord(..., network.settings(), ...)
wiring = wire(core, network_of(record), place)           # at each start of a container
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, cast

from containerlib._sys.privilege import in_user_namespace
from containerlib.engine import cni_driver
from containerlib.errors import InvalidArgument, Unsupported
from containerlib.networking import bridge, direct, spoofing, user_mode
from containerlib.networking.bridge import BridgeNetwork, Endpoint, Wiring
from containerlib.networking.cni import CniNetwork
from containerlib.networking.direct import DirectDriver, DirectNetwork
from containerlib.networking.netlink import Netlink, Request, route
from containerlib.networking.user_mode import UserNetwork

if TYPE_CHECKING:
    from containerlib.engine.core import Core
    from containerlib.engine.networks import NetworkOptions
    from containerlib.networking.subnets import Addresses
    from containerlib.store import NetworkRecord

__all__ = [
    "AnyNetwork",
    "default_driver",
    "is_known",
    "maker",
    "network_at",
    "network_of",
    "routes",
    "unwire",
    "wire",
]

_MOST = 128
"""Networks of an engine that need not be read again."""

AnyNetwork = BridgeNetwork | DirectNetwork | CniNetwork | UserNetwork


def default_driver() -> str:
    """Of a network that names none: the host's root makes bridges, others have pasta."""
    return "pasta" if in_user_namespace() else "bridge"


def maker(
    core: Core, name: str, options: NetworkOptions
) -> Callable[[str, tuple[Addresses, ...]], AnyNetwork]:
    """Of an id and addresses, the network.

    Raises: Unsupported for what the kernel lacks; InvalidArgument for a parent that is not there; StageError; of
    plugins NotFound, PluginError, Timeout.
    """
    if options.driver == "pasta":
        _refuse_for_pasta(options)
        return partial(UserNetwork, mtu=options.mtu)
    if in_user_namespace():
        raise Unsupported(
            f"{options.driver} changes the host's network, which is its root's: without root there is the driver pasta"
        )
    if options.driver == "cni":
        chain = cni_driver.chain_of(name, options)
        return lambda identity, _: CniNetwork(identity, chain)
    if options.driver == "bridge":
        can = _anti_spoofing(core, options.anti_spoofing)
        return partial(BridgeNetwork, mtu=options.mtu, internal=options.internal, anti_spoofing=can)
    driver = cast(DirectDriver, options.driver)
    if options.anti_spoofing:
        raise Unsupported(
            f"{driver} has no anti_spoofing: its containers' frames pass no bridge of this host"
        )
    with Netlink(Netlink.ROUTE) as kernel:
        if not direct.is_supported(kernel, driver):
            raise Unsupported(f"this kernel has no {driver}: build or load the module of that name")
        parent = next((one for one in route.devices(kernel) if one.name == options.parent), None)
    if parent is None:
        raise InvalidArgument(f"this host has no network device {options.parent!r}", field="parent")
    mtu = min(options.mtu, parent.mtu)
    return partial(
        DirectNetwork,
        driver=driver,
        parent=parent.name,
        mode=options.mode,
        mtu=mtu,
        internal=options.internal,
    )


def _refuse_for_pasta(options: NetworkOptions) -> None:
    """Raises: Unsupported; NotFound where there is no pasta."""
    asked = {"internal": options.internal, "ipv6": options.ipv6, "anti_spoofing": options.anti_spoofing}
    asked["an IPv6 subnet"] = any(one.subnet.version == 6 for one in options.subnets)
    for word, value in asked.items():
        if value:
            raise Unsupported(f"a network of pasta has no {word}: leave it out, or take the driver bridge")
    user_mode.find()


def _anti_spoofing(core: Core, wanted: bool | None) -> bool:
    if wanted is False:
        return False
    with core.filter.use() as kernel:
        supported = spoofing.is_supported(kernel)
    if wanted and not supported:
        raise Unsupported(
            "this kernel has no nftables for bridges: make the network with anti_spoofing(False)"
        )
    return supported


def network_of(record: NetworkRecord) -> AnyNetwork:
    if record.driver == "cni":
        return CniNetwork.of(record.id, record.settings)
    if record.driver == "pasta":
        return UserNetwork.of(record.id, record.settings)
    if record.driver != "bridge":
        return DirectNetwork.of(record.id, record.driver, record.settings)
    return BridgeNetwork.of(record.id, record.settings)


def network_at(core: Core, network_id: str) -> AnyNetwork:
    """The network of that id, where a container is on it: which never changes, and is there. Raises: NotFound."""
    known = core.networks.get(network_id)
    if known is None:
        known = network_of(core.store.networks.get(network_id))
        if len(core.networks) >= _MOST:
            core.networks.clear()
        core.networks[network_id] = known
    return known


def is_known(core: Core, network: BridgeNetwork | DirectNetwork) -> bool:
    """Whether the packet filter knows it; of one without a bridge it knows nothing. Raises: StageError."""
    return isinstance(network, DirectNetwork) or bridge.is_known(network, core.filter)


def wire(
    core: Core, network: BridgeNetwork | DirectNetwork, place: Endpoint, *, known: bool = False
) -> Wiring:
    """What connects a container; `known`: what `is_known` has answered. Raises: StageError(stage="network")."""
    if isinstance(network, DirectNetwork):
        return direct.wire(network, direct.find_parent(network), place)
    return bridge.wire(network, bridge.ensure(network, core.filter, known=known), place)


def unwire(network: BridgeNetwork | DirectNetwork, place: Endpoint) -> tuple[Wiring, Sequence[Request]]:
    """What connected a container, and what its own namespace is told to disconnect it."""
    if isinstance(network, DirectNetwork):
        return direct.wire(network, 0, place), (route.remove(place.interface),)
    # with its routes, and its end on the bridge has no carrier
    return bridge.wire(network, 0, place), (route.change(name=place.interface, up=False),)


def routes(network: BridgeNetwork | DirectNetwork, place: Endpoint) -> Sequence[Request]:
    """To everywhere else, as far as they lead through it."""
    return (
        direct.routes(network, place) if isinstance(network, DirectNetwork) else bridge.routes(network, place)
    )
