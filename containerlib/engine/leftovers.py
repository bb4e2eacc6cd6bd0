"""What the packet filter still has of containers whose supervisors were killed: nobody else takes it back.

It is listed before it is asked whose it is, and taken back while nobody can start the container: whoever comes
meanwhile loses nothing.
"""

from __future__ import annotations

import contextlib
import ipaddress
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from containerlib.engine.instance import Instance
from containerlib.engine.kept_networks import KEPT
from containerlib.engine.lock import locked
from containerlib.errors import Conflict, NotFound
from containerlib.networking import firewall, spoofing
from containerlib.networking.bridge import addresses_of
from containerlib.runtime.supervisor import has_shim

if TYPE_CHECKING:
    from containerlib.engine.core import Core
    from containerlib.networking.netlink import Request
    from containerlib.networking.netlink.route import Address
    from containerlib.store import NetworkRecord

__all__ = ["take_back", "take_back_of"]

_NOBODY = ""


def take_back(core: Core, networks: Sequence[NetworkRecord]) -> None:
    """Takes back what is left of these networks' containers. Raises: StageError(stage="network")."""
    for whose, batches in _left(core, networks).items():
        with _ended(core, whose) as has_ended:
            if has_ended:
                _run(core, batches)


def take_back_of(instance: Instance) -> None:
    """Takes back what is left of a container that nobody else starts: its addresses are another's soon.

    Raises: StageError(stage="network").
    """
    networks = instance.core.store.networks
    records = [networks.get(one.network_id) for one in networks.endpoints_of(instance.id)]
    _run(instance.core, _left(instance.core, records).get(instance.id, ()))


def _left(core: Core, networks: Sequence[NetworkRecord]) -> Mapping[str, Sequence[Sequence[Request]]]:
    """By container what takes back what the packet filter has of it, of living ones too."""
    left: dict[str, list[Sequence[Request]]] = defaultdict(list)
    networks = [one for one in networks if one.driver not in KEPT]  # of others' it knows nothing
    if not networks:
        return left
    with core.filter.use() as kernel:
        published = list(firewall.published(kernel))
        known = spoofing.known(kernel)
    owner = _Owners(core, networks)
    for address, batch in published:
        if (whose := owner.of(address)) is not None:
            left[whose].append(batch)
    for one in known:
        if (whose := owner.of_device(one.device, one.addresses)) is not None:
            left[whose] += one.batches
    return left


def _run(core: Core, batches: Iterable[Sequence[Request]]) -> None:
    with core.filter.use() as kernel:
        for batch in batches:
            kernel.run(batch)


class _Owners:
    """Containers by their addresses and devices."""

    def __init__(self, core: Core, networks: Sequence[NetworkRecord]) -> None:
        self._subnets = [one.subnet for network in networks for one in addresses_of(network.settings)]
        endpoints = [one for network in networks for one in core.store.networks.endpoints(network.id)]
        self._devices = {one.device: one.container_id for one in endpoints}
        self._owners = {
            ipaddress.ip_address(address): one.container_id for one in endpoints for address in one.addresses
        }

    def of(self, address: Address) -> str | None:
        """_NOBODY where it was a removed container's; None where it is none of these networks'."""
        is_ours = any(address.version == one.version and address in one for one in self._subnets)
        return self._owners.get(address, _NOBODY if is_ours else None)

    def of_device(self, device: str, addresses: Iterable[Address]) -> str | None:
        """The same by the device, since an address may be another's by now."""
        is_ours = any(self.of(address) is not None for address in addresses)
        return self._devices.get(device, _NOBODY if is_ours else None)


@contextlib.contextmanager
def _ended(core: Core, container_id: str) -> Iterator[bool]:
    """Whether it has, which stays so in the block. Of one that somebody holds it is not known."""
    if container_id == _NOBODY:
        yield True
        return
    if has_shim(core.directory(container_id)):
        yield False
        return
    with contextlib.ExitStack() as stack:
        try:
            instance = Instance.of(core, core.store.containers.get(container_id))
            stack.enter_context(locked(instance, wait=False))
            has_ended = not has_shim(instance.directory)
        except (Conflict, NotFound):
            has_ended = False
        yield has_ended
