"""Who connects namespaces that outlive their containers' runs: plugins, or a process of the host's for each.

maker = maker_of(network)
result = maker.add(attachment)         # "ips" among it
maker.delete(attachment)               # with that result; also where there is nothing left
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from attrs import frozen

from containerlib.errors import PluginError, Unsupported
from containerlib.networking import user_mode
from containerlib.networking.cni import Chain, CniNetwork
from containerlib.networking.cni import chain as cni
from containerlib.networking.user_mode import UserNetwork

if TYPE_CHECKING:
    from containerlib.networking.cni.chain import Attachment
    from containerlib.store import NetworkRecord

__all__ = ["Maker", "maker_of"]


class Maker(Protocol):
    """Every method raises PluginError, Timeout, NotFound for a program that is not there, and StageError.

    `kept`: descriptors that are open as long as one of its programs is at work.
    """

    @property
    def patience(self) -> float:
        """Seconds that one of these may take."""

    def status(self) -> None:
        """Raises: Unavailable where it can take nobody."""

    def add(self, attachment: Attachment, kept: Sequence[int]) -> Mapping[str, Any]:
        """What it made."""

    def check(self, attachment: Attachment, kept: Sequence[int]) -> None:
        """Raises: PluginError where it is not as it was made."""

    def delete(self, attachment: Attachment, kept: Sequence[int]) -> None:
        """Takes it back."""


def maker_of(network: NetworkRecord) -> Maker:
    """Raises: Unsupported for networks of other drivers."""
    if network.driver == "cni":
        return _Plugins(CniNetwork.of(network.id, network.settings).chain)
    if network.driver == "pasta":
        return _Pasta(UserNetwork.of(network.id, network.settings))
    raise Unsupported(
        f"the network {network.name!r} is of the driver {network.driver}, and has no plugins to ask"
    )


@frozen
class _Plugins:
    chain: Chain

    @property
    def patience(self) -> float:
        return self.chain.timeout * len(self.chain.plugins)

    def status(self) -> None:
        cni.status(self.chain)

    def add(self, attachment: Attachment, kept: Sequence[int]) -> Mapping[str, Any]:
        return cni.add(self.chain, attachment, kept)

    def check(self, attachment: Attachment, kept: Sequence[int]) -> None:
        cni.check(self.chain, attachment, kept)

    def delete(self, attachment: Attachment, kept: Sequence[int]) -> None:
        cni.delete(self.chain, attachment, kept)


@frozen
class _Pasta:
    """It stays, and has nothing open that others wait for; it ends with its namespace, whoever knows of it."""

    network: UserNetwork

    @property
    def patience(self) -> float:
        return user_mode.PATIENCE

    def status(self) -> None:
        user_mode.find()

    def add(self, attachment: Attachment, kept: Sequence[int]) -> Mapping[str, Any]:  # noqa: ARG002
        given = attachment.given
        return user_mode.start(
            self.network,
            attachment.interface,
            attachment.namespace,
            given["mac"],
            given["address"],
            given["portMappings"],
        )

    def check(self, attachment: Attachment, kept: Sequence[int]) -> None:  # noqa: ARG002
        if not user_mode.runs(attachment.result or {}):
            raise PluginError(
                "the process that spoke for the container has ended", plugin="pasta", command="check"
            )

    def delete(self, attachment: Attachment, kept: Sequence[int]) -> None:  # noqa: ARG002
        user_mode.end(attachment.result or {})
