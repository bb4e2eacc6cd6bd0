"""Places on networks that plugins make: what they are told, and how nobody gets in the way of it.

What plugins are told to do is in the database before they are: who is killed leaves a record, and whoever comes next
has it taken back. A plugin that is at work when its caller is killed holds the container's lock until it ends, so that
nobody takes back what is still being made.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from attrs import evolve

from containerlib._sys.forks import opened
from containerlib._sys.native import keep_network, let_go_of_network
from containerlib.engine.kept_networks import LOCK, namespace_of, unlink
from containerlib.engine.makers import Maker, maker_of
from containerlib.engine.undo import clean_up
from containerlib.errors import Error, NotFound, PluginError, StageError, Timeout
from containerlib.networking.cni import Chain, CniNetwork, Result
from containerlib.networking.cni import chain as cni
from containerlib.networking.cni.chain import Attachment
from containerlib.store import AttachmentRecord

if TYPE_CHECKING:
    from containerlib.engine.core import Core
    from containerlib.engine.instance import Instance
    from containerlib.store import EndpointRecord, NetworkRecord

__all__ = ["attach", "check", "collect", "detach", "status"]

_BEGUN: Mapping[str, Any] = {}
"""In place of a result: plugins may have done something."""
_INTERVAL = 0.01


def attach(instance: Instance, endpoints: Sequence[EndpointRecord]) -> Sequence[EndpointRecord]:
    """`endpoints` with the addresses that plugins gave those of theirs: now, or before and they are as they were.

    Raises: Unavailable where a plugin is not ready; PluginError; Timeout; NotFound for a plugin; StageError.
    """
    core = instance.core
    _make_directory(core)
    with _alone(core, instance.id) as lock:
        is_new = _ensure(namespace_of(core, instance.id))
        rows = {row.network_id: row for row in core.store.attachments.of(instance.id)}
        return [
            _attached(core, endpoint, rows[endpoint.network_id], lock, is_new=is_new)
            if endpoint.network_id in rows
            else endpoint
            for endpoint in endpoints
        ]


def _attached(
    core: Core, endpoint: EndpointRecord, row: AttachmentRecord, lock: int, *, is_new: bool
) -> EndpointRecord:
    maker = maker_of(_network(core, row))
    given = {**row.given, "portMappings": _mappings(endpoint)}
    if row.result and row.given == given and not is_new and _is_well(core, maker, row, lock):
        return endpoint
    _take_back(core, row, lock)
    maker.status()
    row = evolve(row, given=given, result=_BEGUN)
    with _network_lock(core, row.network_id, fcntl.LOCK_SH):
        core.store.attachments.put(row)
        try:
            result = maker.add(_attachment(core, row), (lock,))
            row = evolve(row, result=result)
            addresses = Result.of(result, row.interface).addresses
            core.store.attachments.put(row)
            core.store.networks.set_addresses(endpoint, addresses)
        except BaseException as error:
            clean_up(error, partial(_undo, core, row, lock))
            raise
    return evolve(endpoint, addresses=addresses)


def _mappings(endpoint: EndpointRecord) -> list[Mapping[str, Any]]:
    """Spec: CNI CONVENTIONS.md, "portMappings"."""
    return [
        {
            "hostPort": port["bound"],
            "containerPort": port["port"],
            "protocol": port["protocol"],
            **({"hostIP": port["host_address"]} if port["host_address"] else {}),
        }
        for port in endpoint.ports
        if "bound" in port
    ]


def _is_well(core: Core, maker: Maker, row: AttachmentRecord, lock: int) -> bool:
    """Whether its plugins find what they made."""
    try:
        maker.check(_attachment(core, row), (lock,))
    except (PluginError, Timeout):
        return False
    return True


def _undo(core: Core, row: AttachmentRecord, lock: int) -> None:
    """In the lock of its network."""
    maker_of(_network(core, row)).delete(_attachment(core, row), (lock,))
    core.store.attachments.put(evolve(row, result=None))


def _take_back(core: Core, row: AttachmentRecord, lock: int) -> None:
    """Where plugins have made anything. Raises: as `check`."""
    if row.result is not None:
        with _network_lock(core, row.network_id, fcntl.LOCK_SH):
            _undo(core, row, lock)


def detach(core: Core, container_id: str, network_id: str | None = None) -> None:
    """Has plugins take back what the container had, and lets go of its namespace; or of one network alone.

    Raises: PluginError; Timeout; NotFound for a plugin that is not there: after all else is done. What they did not
    take back stays known.
    """
    path = namespace_of(core, container_id)
    _make_directory(core)
    failed: Error | None = None
    with _alone(core, container_id) as lock:
        for row in reversed(core.store.attachments.of(container_id)):
            if network_id not in (None, row.network_id):
                continue
            try:
                _take_back(core, row, lock)
            except Error as error:
                failed = failed or error
            else:
                core.store.attachments.remove(row)
        if network_id is None:
            _release(path)
    if network_id is None:
        unlink(path + LOCK)
    if failed is not None:
        raise failed


def check(instance: Instance, network: NetworkRecord) -> None:
    """Asks the plugins whether the container's place is as they made it.

    Raises: PluginError where it is not; NotFound where it is not on it; Unsupported for networks of other drivers;
    Timeout.
    """
    maker = maker_of(network)
    _make_directory(instance.core)
    with _alone(instance.core, instance.id) as lock:
        for row in instance.core.store.attachments.of(instance.id):
            if row.network_id == network.id and row.result:
                maker.check(_attachment(instance.core, row), (lock,))
                return
    raise NotFound(f"{instance.subject} is not on the network {network.name!r}, or was not started yet")


def status(network: NetworkRecord) -> None:
    """Asks the plugins whether they can take a container. Raises: Unavailable; as `check`."""
    maker_of(network).status()


def collect(core: Core) -> Sequence[str]:
    """Tells plugins which containers there are, and has them forget all others; sentences on what went wrong."""
    failures = []
    for network in core.store.networks.list():
        if network.driver != "cni":
            continue
        chain = CniNetwork.of(network.id, network.settings).chain
        if not chain.has_status or chain.disable_gc:
            continue
        _make_directory(core)
        try:
            with _all_locks(core, chain):
                cni.collect(chain, [(row.container_id, row.interface) for row in _attachments(core, chain)])
        except Error as error:
            failures.append(f"network {network.name!r}: {error}")
    return failures


# ---- what is told ----


def _network(core: Core, row: AttachmentRecord) -> NetworkRecord:
    return core.store.networks.get(row.network_id)


def _attachment(core: Core, row: AttachmentRecord) -> Attachment:
    path = namespace_of(core, row.container_id)
    return Attachment(
        row.container_id, row.interface, path if _is_mounted(path) else "", row.given, row.result or None
    )


def _attachments(core: Core, chain: Chain) -> Sequence[AttachmentRecord]:
    """Of all networks of the chain's name: plugins know no other."""
    rows = core.store.attachments.list()
    return [row for row in rows if _network(core, row).settings.get("chain") == chain.name]


# ---- namespaces and locks ----


def _make_directory(core: Core) -> None:
    try:
        os.makedirs(core.namespaces, 0o700, exist_ok=True)  # noqa: PTH103 - a str
    except OSError as error:
        raise StageError("network", error.errno or 0, core.namespaces) from error


def _is_mounted(path: str) -> bool:
    try:
        return os.stat(path).st_dev != os.stat(os.path.dirname(path)).st_dev  # noqa: PTH116, PTH120 - a str
    except FileNotFoundError:
        return False


def _ensure(path: str) -> bool:
    """Whether it was made just now: for the first time, or since the machine was started."""
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        if _is_mounted(path):
            return False
        keep_network(path)
    except OSError as error:
        raise StageError("network", error.errno or 0, path) from error
    return True


def _release(path: str) -> None:
    if _is_mounted(path):
        with contextlib.suppress(OSError):
            let_go_of_network(path)
    unlink(path)


@contextlib.contextmanager
def _alone(core: Core, container_id: str) -> Iterator[int]:
    """Nobody else has plugins change the container's places, nor is one of a dead caller still at it.

    For the longest time that a plugin may take: what it has started may have the descriptor for good.
    """
    makers = [maker_of(_network(core, row)) for row in core.store.attachments.of(container_id)]
    deadline = time.monotonic() + max((maker.patience for maker in makers), default=0.0)
    with opened(namespace_of(core, container_id) + LOCK, os.O_RDWR | os.O_CREAT) as lock:
        while not _has(lock, fcntl.LOCK_EX | fcntl.LOCK_NB) and time.monotonic() < deadline:
            time.sleep(_INTERVAL)
        yield lock


def _has(lock: int, how: int) -> bool:
    try:
        fcntl.flock(lock, how)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def _network_lock(core: Core, network_id: str, how: int) -> Iterator[None]:
    """Shared by those who have containers added and deleted; alone where plugins are told of all.

    Spec: CNI SPEC.md, "Lifecycle & Ordering"
    """
    with opened(namespace_of(core, network_id) + LOCK, os.O_RDWR | os.O_CREAT) as lock:
        fcntl.flock(lock, how)
        yield


@contextlib.contextmanager
def _all_locks(core: Core, chain: Chain) -> Iterator[None]:
    """Of all networks of the chain's name, in one order."""
    with contextlib.ExitStack() as stack:
        for network in sorted(core.store.networks.list(), key=lambda one: one.id):
            if network.settings.get("chain") == chain.name:
                stack.enter_context(_network_lock(core, network.id, fcntl.LOCK_EX))
        yield
