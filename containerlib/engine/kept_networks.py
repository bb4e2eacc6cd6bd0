"""Network namespaces that outlive their containers' runs, for networks that plugins make.

    spec = in_kept_network(instance, spec)           # the container joins <root>/netns/<id>, at each of its starts
    attach(instance, endpoints) -> endpoints         # ADD where it is not made; CHECK where it is
    detach(core, id)                                 # DEL, in the opposite order, when it is removed

Here is asked whether there is anything to do, which for most there is not; attachments.py does it, and is imported for
it alone: it runs programs, for which subprocess takes 2 ms.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from containerlib.errors import Error
from containerlib.networking.cni import Result

if TYPE_CHECKING:
    from containerlib.engine.core import Core
    from containerlib.engine.instance import Instance
    from containerlib.spec.runtime import Spec
    from containerlib.store import EndpointRecord

__all__ = [
    "KEPT",
    "LOCK",
    "attach",
    "detach",
    "forget_lock",
    "in_kept_network",
    "is_kept",
    "namespace_of",
    "results_of",
    "take_back_orphans",
    "unlink",
]

KEPT = ("cni", "pasta")
"""Drivers of the networks that take one."""
LOCK = ".lock"
"""Beside a container's namespace, and a network's."""


def namespace_of(core: Core, container_id: str) -> str:
    """Where the container's namespace is mounted, if it has one."""
    return f"{core.namespaces}/{container_id}"


def in_kept_network(instance: Instance, spec: Spec) -> Spec:
    """`spec` with the namespace to join, where plugins make the container's networks."""
    if not instance.memo.connected or not instance.core.store.attachments.of(instance.id):
        return spec
    path = namespace_of(instance.core, instance.id)
    spaces = spec["linux"]["namespaces"]
    kept = [{**each, "path": path} if each["type"] == "network" else each for each in spaces]
    return {**spec, "linux": {**spec["linux"], "namespaces": kept}}  # type: ignore[typeddict-item]


def is_kept(instance: Instance) -> bool:
    """Whether it has a namespace that plugins can connect."""
    spaces = instance.spec.get("linux", {}).get("namespaces", ())
    return any(each.get("path") == namespace_of(instance.core, instance.id) for each in spaces)


def attach(instance: Instance, endpoints: Sequence[EndpointRecord]) -> Sequence[EndpointRecord]:
    """`endpoints` with the addresses that plugins gave those of theirs: now, or before and they are as they were.

    Raises: Unavailable where a plugin is not ready; PluginError; Timeout; NotFound for a plugin; StageError.
    """
    if not instance.core.store.attachments.of(instance.id) and not is_kept(instance):
        return endpoints
    from containerlib.engine import attachments  # noqa: PLC0415

    return attachments.attach(instance, endpoints)


def detach(core: Core, container_id: str, network_id: str | None = None) -> None:
    """Has plugins take back what the container had, and lets go of its namespace; or of one network alone.

    Raises: PluginError; Timeout; NotFound for a plugin that is not there: after all else is done. What they did not
    take back stays known.
    """
    rows, path = core.store.attachments.of(container_id), namespace_of(core, container_id)
    if not rows and not os.path.lexists(path):
        return
    from containerlib.engine import attachments  # noqa: PLC0415

    attachments.detach(core, container_id, network_id)


def take_back_orphans(core: Core) -> Sequence[str]:
    """Has taken back what removed containers had; sentences on what could not be."""
    rows = core.store.attachments.list()
    kept = _kept(core)
    if not rows and not kept:
        return ()
    known = {record.id for record in core.store.containers.list()}
    known |= {network.id for network in core.store.networks.list()}
    failures = []
    for container_id in sorted(({row.container_id for row in rows} | kept) - known):
        try:
            detach(core, container_id)
            forget_lock(core, container_id)
        except Error as error:
            failures.append(f"networks of the container {container_id[:12]}: {error}")
    return failures


def _kept(core: Core) -> set[str]:
    """Containers that have a namespace or had one, and networks with a lock."""
    try:
        return {name.removesuffix(LOCK) for name in os.listdir(core.namespaces)}  # noqa: PTH208 - a str
    except FileNotFoundError:
        return set()


def results_of(core: Core, container_id: str) -> Sequence[Result]:
    """What plugins said of the container's networks."""
    return [
        Result.of(row.result, row.interface) for row in core.store.attachments.of(container_id) if row.result
    ]


def forget_lock(core: Core, identity: str) -> None:
    """Of a network or container that is no more."""
    unlink(namespace_of(core, identity) + LOCK)


def unlink(path: str) -> None:
    """It need not be there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108 - a str
