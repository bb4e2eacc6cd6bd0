"""Whom a container shares its surroundings with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

from containerlib.engine import words_networks
from containerlib.engine.words import text
from containerlib.errors import InvalidArgument
from containerlib.fluent.container_handle import ContainerHandle
from containerlib.fluent.recipes.base import Words
from containerlib.spec.options import JOIN

if TYPE_CHECKING:
    from socket import socket as Socket  # noqa: N812 - a word of the recipe is called so

__all__ = ["NamespaceWords"]


class NetworkHandle(Protocol):
    """What has the name of a network."""

    @property
    def name(self) -> str: ...


class NamespaceWords(Words):
    """Namespaces that are the container's own, the host's, or another container's.

    Another container is given by its handle. It must run when this one starts, each time.
    """

    __slots__ = ()

    def network(self, kind: Literal["none", "host"] | ContainerHandle[Any], /) -> Self:
        """`"none"`: a loopback device alone. `"host"`: the host's network. A container: its network, and its names."""
        try:
            return self._with(network=_word(kind, "none", "host", field="network"))
        except InvalidArgument as error:
            if not isinstance(kind, str):
                raise
            advice = f"a network is joined by its name: write .join({kind!r})"
            raise InvalidArgument(
                f'{kind!r} is neither "none" nor "host"; {advice}', field="network"
            ) from error

    def join(
        self,
        network: str | NetworkHandle,
        /,
        *,
        alias: str | Sequence[str] = (),
        address: str | None = None,
        address6: str | None = None,
        mac: str | None = None,
    ) -> Self:
        """On a network, by its handle, its name or its id; several one after the other, the first to everywhere else.

        `alias`: names by which others on it find the container, beside its own. The addresses are the network's choice,
        unless they are given.
        """
        name = network if isinstance(network, str) else network.name
        option = words_networks.network(name, alias, address, address6, mac)
        return self._with(networks=(*self.options.networks, option))

    def publish(
        self,
        port: int | range,
        /,
        *,
        host: int | range = 0,
        address: str | None = None,
        protocol: Literal["tcp", "udp", "sctp"] = "tcp",
        socket: Socket | None = None,
    ) -> Self:
        """What comes to the port `host` of this machine goes to `port` of the container.

        0: one that is free, which `container.ports` names; a range: one of these that is free. With a range of ports
        each has one of its own, from a range of as many in their order. `address`: one of this machine's, e.g.
        "127.0.0.1" for nobody but itself; without it all of them. A container that joins no network is on the default
        one, "bridge".

        `socket`: bound by the caller to the host's port, which is nobody else's at any time. While the container runs
        new connections are the container's; what the socket has accepted or queued stays the caller's, who may close it
        once the container is created.
        """
        options = words_networks.ports(port, protocol, host, address, socket)
        return self._with(ports=(*self.options.ports, *options))

    def pid(self, kind: Literal["private", "host"] | ContainerHandle[Any], /) -> Self:
        """Whose processes it sees: its own, all of the host, or those of another container."""
        return self._with(pid=_word(kind, "private", "host", field="pid"))

    def ipc(self, kind: Literal["private", "shareable", "host", "none"] | ContainerHandle[Any], /) -> Self:
        """Whose shared memory and message queues it has: its own, those of the host, or those of another container.

        /dev/shm goes with them. Others may have those of one that is `"shareable"`, or has another's itself; with
        `"none"` they are its own, and there is no /dev/shm.
        """
        return self._with(ipc=_word(kind, "private", "shareable", "host", "none", field="ipc"))

    def uts(self, kind: Literal["private", "host"] | ContainerHandle[Any], /) -> Self:
        """Whose host name it has and may change: its own, the host's, or another container's."""
        return self._with(uts=_word(kind, "private", "host", field="uts"))

    def cgroupns(self, kind: Literal["private", "host"], /) -> Self:
        """Whether its cgroup is the root of what it sees, or the whole of the host's is seen."""
        if kind not in ("private", "host"):
            raise InvalidArgument(f'{kind!r} is neither "private" nor "host"', field="cgroupns")
        return self._with(cgroupns=kind)


def _word(value: ContainerHandle[Any] | str, *known: str, field: str) -> str:
    if isinstance(value, ContainerHandle):
        return f"{JOIN}{value.id}"
    if text(value, field=field) not in known:
        choice = ", ".join(f'"{each}"' for each in known)
        raise InvalidArgument(f"{value!r} is none of {choice}, nor a container's handle", field=field)
    return value
