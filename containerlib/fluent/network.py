"""Networks that containers are on."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from attrs import evolve, field, frozen

from containerlib.boundary import public
from containerlib.engine import connecting, listing, networks, words, words_networks
from containerlib.engine.names import check_name
from containerlib.engine.networks import NetworkOptions
from containerlib.engine.undo import end_block
from containerlib.errors import InvalidArgument
from containerlib.fluent.container_handle import ContainerHandle

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from containerlib.engine.instance import Instance
    from containerlib.fluent.engine import Engine
    from containerlib.store import NetworkRecord

__all__ = ["Network", "NetworkCollection", "NetworkRecipe"]


@public
@frozen
class NetworkRecipe:
    """A network to be made: `engine.network("backend").create()`."""

    engine: Engine
    name: str = field(validator=lambda _, __, name: check_name(name))
    options: NetworkOptions = field(factory=NetworkOptions)

    def subnet(
        self, subnet: str, /, *, gateway: str | None = None, ip_range: str | None = None
    ) -> NetworkRecipe:
        """Its addresses, once for each of IPv4 and IPv6; without it a free one is chosen.

        `gateway`: the host's address on it, by default the first. `ip_range`: the part that containers get theirs from.
        """
        addresses = words_networks.addresses(subnet, gateway, ip_range)
        if any(one.subnet.version == addresses.subnet.version for one in self.options.subnets):
            raise InvalidArgument(
                f"{subnet}: there is an IPv{addresses.subnet.version} subnet already", field="subnet"
            )
        return self._with(subnets=(*self.options.subnets, addresses))

    def pool(self, supernet: str, /, length: int = 24) -> NetworkRecipe:
        """Where a free subnet is looked for, of that length of prefix; several in their order.

        None that another network has, or that the host has a route to.
        """
        return self._with(pools=(*self.options.pools, words_networks.pool(supernet, length)))

    def ipv6(self, enabled: bool = True, /) -> NetworkRecipe:
        """IPv6 addresses too; without a subnet of that kind, private ones (RFC 4193)."""
        return self._with(ipv6=words.flag(enabled, field="ipv6"))

    def internal(self, enabled: bool = True, /) -> NetworkRecipe:
        """Nothing outside of it can be reached from it, nor it from outside."""
        return self._with(internal=words.flag(enabled, field="internal"))

    def mtu(self, size: int, /) -> NetworkRecipe:
        """The largest packet, in bytes."""
        if not isinstance(size, int) or not 576 <= size <= 65535:
            raise InvalidArgument(f"{size!r} is not a number of bytes from 576 to 65535", field="mtu")
        return self._with(mtu=size)

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
        """What makes it. With `"macvlan"` and `"ipvlan"` its containers are on the wire of the host's device `parent`.

        `mode`: of macvlan `"bridge"` (the default), `"vepa"`, `"private"` or `"passthru"`; of ipvlan `"l2"` (the
        default), `"l3"` or `"l3s"`.

        With `"cni"` plugins make it, as `config` says: a configuration list, or the path of one, which is read by
        `create`. `path`: the directories where they are, by default /opt/cni/bin, /usr/lib/cni and /usr/libexec/cni.
        `timeout`: seconds that each may take, by default 60.

        With `"pasta"` a process of the host's speaks for each container, which is alone on it: nothing is made on the
        host.
        """
        name, device, how = words_networks.driver(driver, parent, mode)
        chosen = self._with(driver=name, parent=device, mode=how)
        if name == "cni":
            return chosen._with(cni=words_networks.plugins(config, path, timeout))
        for word, value in (("config", config), ("path", path), ("timeout", timeout)):
            if value is not None:
                raise InvalidArgument(f"{name} has no plugins", field=word)
        return chosen

    def anti_spoofing(self, enabled: bool = True, /) -> NetworkRecipe:
        """Containers send with no MAC or address but their own, answer for no other, and play neither router nor DHCP
        server. That is so unless it is switched off, where the kernel has nftables for bridges; where it is asked for,
        a kernel without them is an error.
        """
        return self._with(anti_spoofing=words.flag(enabled, field="anti_spoofing"))

    def label(self, mapping: Mapping[str, str] | None = None, /, **labels: str) -> NetworkRecipe:
        """Adds labels."""
        return self._with(labels=words.merge_pairs(self.options.labels, mapping, labels, field="label"))

    def create(self) -> Network:
        """Makes the network. The host sees it from its first container on.

        Raises: AlreadyExists; Conflict for a subnet that overlaps another network's, and where none is left;
        Unsupported where the kernel lacks what it takes, or plugins do not speak the configuration's version of CNI;
        InvalidArgument and NotFound for a configuration or a plugin, PluginError, Timeout.
        """
        return Network(self.engine, networks.create(self.engine.core, self.name, self.options))

    def _with(self, **changes: object) -> NetworkRecipe:
        return evolve(self, options=evolve(self.options, **changes))  # type: ignore[arg-type]

    def __repr__(self) -> str:
        return f"<NetworkRecipe {self.name}>"


@public
@frozen
class Network:
    """A network that is there. As a context manager it is removed at the end."""

    engine: Engine
    record: NetworkRecord = field(repr=False)

    @property
    def id(self) -> str:
        """Its id."""
        return self.record.id

    @property
    def name(self) -> str:
        """Its name."""
        return self.record.name

    @property
    def driver(self) -> str:
        """What made it: "bridge", "macvlan", "ipvlan", "cni" or "pasta"."""
        return self.record.driver

    @property
    def subnets(self) -> tuple[str, ...]:
        """Its addresses: `("172.16.0.0/20",)`."""
        return tuple(one["subnet"] for one in self.record.settings["subnets"])

    @property
    def labels(self) -> dict[str, str]:
        """Its labels."""
        return dict(self.record.labels)

    @property
    def created_at(self) -> datetime:
        """When it was made, in UTC."""
        return self.record.created_at

    @property
    def anti_spoofing(self) -> bool:
        """Whether its containers are kept from using each other's addresses."""
        return bool(self.record.settings.get("anti_spoofing"))

    def connect(
        self,
        container: ContainerHandle[Any] | str,
        /,
        *,
        alias: str | Sequence[str] = (),
        address: str | None = None,
        address6: str | None = None,
        mac: str | None = None,
    ) -> None:
        """Puts a container on it that exists already, at once where that runs; the words are those of `join`.

        Raises: AlreadyExists where it is on it; NotFound; Conflict for an address that another has, where none is left,
        and where the container has the network of the host or of another container; StageError.
        """
        option = words_networks.network(self.name, alias, address, address6, mac)
        connecting.connect(self._instance(container), option)

    def disconnect(self, container: ContainerHandle[Any] | str, /) -> None:
        """Takes a container off it, and with it the ports that it has published by it; at once where it runs.

        Raises: NotFound where it is not on it; StageError.
        """
        connecting.disconnect(self._instance(container), self.id)

    def check(self, container: ContainerHandle[Any] | str, /) -> None:
        """Asks the plugins of a network of the driver "cni" whether a container's place is as they made it (CHECK).

        Raises: PluginError where it is not; NotFound where it is not on it; Unsupported for other drivers; Timeout.
        """
        from containerlib.engine import attachments  # noqa: PLC0415 - it runs programs

        attachments.check(self._instance(container), self.record)

    def status(self) -> None:
        """Asks the plugins of a network of the driver "cni" whether they can take a container (STATUS, of CNI 1.1).

        Raises: Unavailable where one cannot; Unsupported for other drivers; NotFound for a plugin; Timeout.
        """
        from containerlib.engine import attachments  # noqa: PLC0415

        attachments.status(self.record)

    def _instance(self, container: ContainerHandle[Any] | str) -> Instance:
        if isinstance(container, ContainerHandle):
            return container._instance
        return listing.find(self.engine.core, words.text(container, field="container"))

    def remove(self) -> None:
        """Removes it from the host.

        Raises: NotFound; Conflict where a container is on it.
        """
        networks.remove(self.engine.core, self.id)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        end_block(error, self.remove)

    def __repr__(self) -> str:
        return f"<Network {' '.join((self.name, ', '.join(self.subnets))).rstrip()}>"


@public
@frozen
class NetworkCollection:
    """The networks of an engine: `engine.networks`."""

    engine: Engine

    def get(self, name: str) -> Network:
        """The network of that name or id.

        Raises: NotFound.
        """
        return Network(self.engine, self.engine.core.store.networks.get(check_name(name)))

    def list(
        self,
        *,
        labels: Mapping[str, str | None] | None = None,
        name: str | re.Pattern[str] | None = None,
        id: str | None = None,  # noqa: A002 - docker's word
        driver: str | None = None,
        dangling: bool | None = None,
    ) -> list[Network]:
        """The networks for which all that is given holds, by name.

        `labels`: they have all of these (None: any value). `name`: it contains the text, or the regular expression is
        found in it. `id`: it starts so. `dangling`: whether no container is on them. Needs no privilege.

        Raises: InvalidArgument.
        """
        from containerlib.engine import filters  # noqa: PLC0415 - few ask

        given = {"labels": labels, "name": name, "id": id, "driver": driver, "dangling": dangling}
        return [Network(self.engine, record) for record in filters.networks(self.engine.core, given)]

    def __repr__(self) -> str:
        return f"<NetworkCollection of {self.engine!r}>"
