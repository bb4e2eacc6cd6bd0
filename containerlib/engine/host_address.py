"""Where a program on the host reaches a container's port.

host_address(instance, 6379, "tcp")              # HostAddress("127.0.0.1", 49153)
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, NamedTuple

from containerlib.engine.places import published
from containerlib.engine.words_networks import published_port
from containerlib.errors import NotFound

if TYPE_CHECKING:
    from containerlib.engine.instance import Instance
    from containerlib.engine.places import PublishedPort

__all__ = ["HostAddress", "host_address"]


class HostAddress(NamedTuple):
    """An address and a port of the host, as `socket.create_connection` takes them; `str` is `"127.0.0.1:49153"`."""

    address: str
    port: int

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


def host_address(instance: Instance, port: int, protocol: str) -> HostAddress:
    """The first that the container's port is published to; the loopback address for a port of every address.

    Raises: InvalidArgument; NotFound where it is not published, or the container was never started.
    """
    number, wanted = published_port(port, protocol)
    known = published(instance)
    for one in known:
        if (one.container, one.protocol) == (number, wanted):
            return HostAddress(_reachable(one.address), one.host)
    raise NotFound(f"{instance.subject} has not published its {wanted} port {port}: {_advice(port, known)}")


def _reachable(address: str | None) -> str:
    if address is None:
        return "127.0.0.1"
    parsed = ipaddress.ip_address(address)
    if not parsed.is_unspecified:
        return address
    return "127.0.0.1" if parsed.version == 4 else "::1"


def _advice(port: int, known: tuple[PublishedPort, ...]) -> str:
    if known:
        return f"it has {', '.join(f'{one.container}/{one.protocol}' for one in known)}"
    return f"write .publish({port}) in its recipe; ports are chosen when it is started"
