"""What handles look like in a notebook: a table, with everything in it escaped."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from containerlib.errors import NotFound
from containerlib.spec.html import details, table

if TYPE_CHECKING:
    from containerlib.engine.inspection import ContainerInfo
    from containerlib.fluent.container import Container
    from containerlib.images import ImageRecord

__all__ = ["container_table", "containers_table", "images_table"]

_CONTAINER = ("name", "id", "image", "state", "health", "command", "created")
_COLUMNS = ("names", "id", "platform", "size", "came here")


def images_table(records: Iterable[ImageRecord]) -> str:
    """The columns of `docker images`, as HTML."""
    return table(_COLUMNS, (_row(record) for record in records))


def _row(record: ImageRecord) -> tuple[str, ...]:
    return (
        ", ".join(record.references) or "none",
        record.id.partition(":")[2][:12],
        str(record.config.platform),
        f"{record.size_bytes / 2**20:,.1f} MiB",
        f"{record.created_at.astimezone():%Y-%m-%d %H:%M}",
    )


def containers_table(containers: Iterable[Container]) -> str:
    """The columns of `docker ps`, as HTML."""
    return table(_CONTAINER, (row for each in containers if (row := _container(each)) is not None))


def container_table(container: Container) -> str:
    """What matters of one container, as HTML."""
    row = _container(container)
    if row is None:
        return details({"name": container.name, "id": container.id[:12], "state": "removed"})
    return details(dict(zip(_CONTAINER, row, strict=True)))


def _container(container: Container) -> tuple[str, ...] | None:
    """None for one that has been removed by now."""
    try:
        info = container.inspect()
    except NotFound:
        return None
    return (
        info.name,
        info.id[:12],
        info.image,
        _state(info),
        info.health.status if info.health else "",
        " ".join(info.argv),
        f"{info.created_at.astimezone():%Y-%m-%d %H:%M}",
    )


def _state(info: ContainerInfo) -> str:
    """As `docker ps` has it, with the end and how often it was started again."""
    ended = "" if info.exit is None else f" ({info.exit.exit_code})"
    again = f", started again {info.restart_count} times" if info.restart_count else ""
    return f"{info.state.value}{ended}{again}"
