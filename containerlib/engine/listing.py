"""Containers that are known, by name or all of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from containerlib import shim
from containerlib.engine.instance import Instance
from containerlib.spec.status import LogRecord

if TYPE_CHECKING:
    from containerlib.engine.core import Core

__all__ = ["find", "list_all", "logs"]


def find(core: Core, name_or_id: str) -> Instance:
    """The container of that name or id, or the only one whose id starts so.

    Raises: NotFound; InvalidArgument where several ids start so.
    """
    return Instance.of(core, core.store.containers.get(name_or_id))


def list_all(core: Core) -> list[Instance]:
    """Every container in whatever state, the oldest first."""
    return [Instance.of(core, record) for record in core.store.containers.list()]


def logs(instance: Instance, *, follow: bool, since: datetime | None) -> Iterator[LogRecord]:
    """The lines that the container wrote; with `follow`, also those to come until it ends.

    Raises: NotFound where the container has been removed.
    """
    _ = instance.state
    return shim.read_log(instance.directory, follow=follow, since=since)
