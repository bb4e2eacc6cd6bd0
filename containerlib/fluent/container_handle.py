"""What every handle of a container has: who it is, and how it is at this moment."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

from containerlib.engine import health
from containerlib.errors import NotFound

if TYPE_CHECKING:
    from containerlib.engine.host_address import HostAddress
    from containerlib.engine.instance import Instance
    from containerlib.engine.places import PublishedPort
    from containerlib.spec.lifecycle import State
    from containerlib.spec.lifetime import Health

__all__ = ["ContainerHandle"]

_E = TypeVar("_E")


class ContainerHandle(Generic[_E]):
    """A container, whatever its state, and the engine that it was got from. Handles of one container are equal."""

    def __init__(self, engine: _E, instance: Instance) -> None:
        self.engine = engine
        self._instance = instance

    @property
    def id(self) -> str:
        """64 hexadecimal digits."""
        return self._instance.id

    @property
    def name(self) -> str:
        """The name for people, given or made up."""
        return self._instance.record.name

    @property
    def ports(self) -> tuple[PublishedPort, ...]:
        """Its ports that the host has too, from its start on: `PublishedPort(container=80, host=8080, ...)`."""
        from containerlib.engine.places import published  # noqa: PLC0415 - few ask

        return published(self._instance)

    def port(self, port: int, /, *, protocol: Literal["tcp", "udp", "sctp"] = "tcp") -> HostAddress:
        """The host's address and port that lead to a port of the container: `HostAddress("127.0.0.1", 49153)`.

        `socket.create_connection(container.port(6379))` connects to it. Of several that were published for the port
        it is the first; the address of one that is published on every address is the loopback's. Needs no privilege.

        Raises: NotFound where the port is not published, or the container was never started; InvalidArgument.
        """
        from containerlib.engine.host_address import host_address  # noqa: PLC0415 - few ask

        return host_address(self._instance, port, protocol)

    @property
    def image(self) -> str:
        """The reference that it was made from; `"host"` for the machine's own file system."""
        return self._instance.record.image_reference

    @property
    def labels(self) -> Mapping[str, str]:
        """The recipe's labels."""
        return dict(self._instance.memo.labels)

    @property
    def created_at(self) -> datetime:
        """When it was made, in UTC."""
        return self._instance.record.created_at

    @property
    def detached(self) -> bool:
        """Whether it outlives the process that started it."""
        return self._instance.memo.detached

    @property
    def state(self) -> State:
        """What the kernel says at this moment."""
        return self._instance.state

    @property
    def health(self) -> Health | None:
        """What the last checks of its health say; None where nothing is checked."""
        return health.health(self._instance)

    @property
    def restart_count(self) -> int:
        """How often its restart policy has started it again since it was last started by somebody."""
        return health.restarts(self._instance)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ContainerHandle) and (self.engine, self.id) == (other.engine, other.id)

    def __hash__(self) -> int:
        return hash((self.engine, self.id))

    def __repr__(self) -> str:
        try:
            state = self.state.value
        except NotFound:
            state = "removed"
        return f"<Container {self.name!r} {self.id[:12]} of {self.image} {state}>"
