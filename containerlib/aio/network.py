"""Networks, with verbs to await."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self

from attrs import frozen

from containerlib.aio.driving import insist
from containerlib.aio.verbs import handed, threaded
from containerlib.fluent.network import Network as BlockingNetwork
from containerlib.fluent.network import NetworkCollection as BlockingCollection
from containerlib.fluent.network import NetworkRecipe as BlockingRecipe

if TYPE_CHECKING:
    import os
    from types import TracebackType

    from containerlib.aio.engine import Engine
    from containerlib.engine.networks import NetworkOptions
    from containerlib.store import NetworkRecord

__all__ = ["Network", "NetworkCollection", "NetworkRecipe"]


def _network(self: NetworkRecipe | NetworkCollection, made: BlockingNetwork) -> Network:
    return Network(self.engine, made)


@frozen
class NetworkRecipe:
    """A network to be made: `await engine.network("backend").create()`."""

    engine: Engine
    blocking: BlockingRecipe

    create = handed(BlockingRecipe.create, _network, BlockingNetwork.remove)

    @property
    def name(self) -> str:
        """Its name."""
        return self.blocking.name

    @property
    def options(self) -> NetworkOptions:
        """What it is to be."""
        return self.blocking.options

    def subnet(
        self, subnet: str, /, *, gateway: str | None = None, ip_range: str | None = None
    ) -> NetworkRecipe:
        """Its addresses, once for each of IPv4 and IPv6."""
        return NetworkRecipe(self.engine, self.blocking.subnet(subnet, gateway=gateway, ip_range=ip_range))

    def pool(self, supernet: str, /, length: int = 24) -> NetworkRecipe:
        """Where a free subnet is looked for."""
        return NetworkRecipe(self.engine, self.blocking.pool(supernet, length))

    def ipv6(self, enabled: bool = True, /) -> NetworkRecipe:
        """IPv6 addresses too."""
        return NetworkRecipe(self.engine, self.blocking.ipv6(enabled))

    def internal(self, enabled: bool = True, /) -> NetworkRecipe:
        """Nothing outside of it can be reached from it, nor it from outside."""
        return NetworkRecipe(self.engine, self.blocking.internal(enabled))

    def mtu(self, size: int, /) -> NetworkRecipe:
        """The largest packet, in bytes."""
        return NetworkRecipe(self.engine, self.blocking.mtu(size))

    def driver(
        self,
        driver: Literal["bridge", "macvlan", "ipvlan", "cni", "pasta"],
        /,
        *,
        parent: str | None = None,
        mode: str | None = None,
        config: Mapping[str, Any] | str | os.PathLike[str] | None = None,
        path: Sequence[str | os.PathLike[str]] | None = None,
        timeout: float | None = None,
    ) -> NetworkRecipe:
        """What makes it, for some on a device of the host's, or plugins of the host's."""
        made = self.blocking.driver(
            driver, parent=parent, mode=mode, config=config, path=path, timeout=timeout
        )
        return NetworkRecipe(self.engine, made)

    def anti_spoofing(self, enabled: bool = True, /) -> NetworkRecipe:
        """Containers send with no MAC or address but their own."""
        return NetworkRecipe(self.engine, self.blocking.anti_spoofing(enabled))

    def label(self, mapping: Mapping[str, str] | None = None, /, **labels: str) -> NetworkRecipe:
        """Adds labels."""
        return NetworkRecipe(self.engine, self.blocking.label(mapping, **labels))


@frozen
class Network:
    """A network that is there. As a context manager it is removed at the end."""

    engine: Engine
    blocking: BlockingNetwork

    connect = threaded(BlockingNetwork.connect)
    disconnect = threaded(BlockingNetwork.disconnect)
    check = threaded(BlockingNetwork.check)
    status = threaded(BlockingNetwork.status)
    remove = threaded(BlockingNetwork.remove)

    @property
    def record(self) -> NetworkRecord:
        """All that is known of it."""
        return self.blocking.record

    @property
    def id(self) -> str:
        """Its id."""
        return self.blocking.id

    @property
    def name(self) -> str:
        """Its name."""
        return self.blocking.name

    @property
    def driver(self) -> str:
        """What made it."""
        return self.blocking.driver

    @property
    def subnets(self) -> tuple[str, ...]:
        """Its addresses."""
        return self.blocking.subnets

    @property
    def labels(self) -> dict[str, str]:
        """Its labels."""
        return self.blocking.labels

    @property
    def created_at(self) -> datetime:
        """When it was made, in UTC."""
        return self.blocking.created_at

    @property
    def anti_spoofing(self) -> bool:
        """Whether its containers are kept from using each other's addresses."""
        return self.blocking.anti_spoofing

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await insist(partial(self.blocking.__exit__, kind, error, traceback))


def _handles(self: NetworkCollection, found: list[BlockingNetwork]) -> list[Network]:
    return [Network(self.engine, each) for each in found]


@frozen
class NetworkCollection:
    """The networks of an engine: `engine.networks`."""

    engine: Engine

    @property
    def blocking(self) -> BlockingCollection:
        """The same for those who may block."""
        return self.engine.blocking.networks

    list = handed(BlockingCollection.list, _handles)
    get = handed(BlockingCollection.get, _network)
