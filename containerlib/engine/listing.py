"""Containers that are known, by name or all of them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from containerlib import shim
from containerlib.engine.instance import Instance
from containerlib.engine.lifetime import is_removed
from containerlib.errors import Unsupported
from containerlib.spec.status import LogRecord

if TYPE_CHECKING:
    from containerlib._sys.steps import Flow
    from containerlib.engine.core import Core
    from containerlib.engine.words_log import Stream

__all__ = ["find", "list_all", "logs", "require_log"]


def find(core: Core, name_or_id: str) -> Instance:
    """The container of that name or id, or the only one whose id starts so.

    Raises: NotFound; InvalidArgument where several ids start so.
    """
    instance = Instance.of(core, core.store.containers.get(name_or_id))
    if is_removed(instance):
        raise instance.gone()
    return instance


def list_all(core: Core) -> list[Instance]:
    """Every container in whatever state, the oldest first."""
    found = (Instance.of(core, record) for record in core.store.containers.list())
    return [instance for instance in found if not is_removed(instance)]


def logs(
    instance: Instance,
    *,
    follow: bool,
    since: datetime | None,
    until: datetime | None,
    tail: int | None,
    stream: Stream | None,
) -> Flow[LogRecord]:
    """The lines that the container wrote; with `follow`, also those to come until it ends.

    Raises: NotFound where the container has been removed; Unsupported where its log is not kept.
    """
    _ = instance.state
    require_log(instance)
    return shim.flow_of_log(
        instance.directory, follow=follow, since=since, until=until, tail=tail, stream=stream
    )


def require_log(instance: Instance) -> None:
    """Raises Unsupported where the recipe says that no log is kept."""
    if instance.memo.log.max_files == 0:
        raise Unsupported(
            f"{instance.subject} keeps no log: its recipe says .log(None); leave that word out to have one"
        )
