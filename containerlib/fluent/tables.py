"""What handles look like in a notebook: a table, with everything in it escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from containerlib.images import ImageRecord

__all__ = ["images_table"]

_COLUMNS = ("names", "id", "platform", "size", "came here")


def images_table(records: Iterable[ImageRecord]) -> str:
    """The columns of `docker images`, as HTML."""
    return _table(_COLUMNS, (_row(record) for record in records))


def _row(record: ImageRecord) -> tuple[str, ...]:
    return (
        ", ".join(record.references) or "none",
        record.id.partition(":")[2][:12],
        str(record.config.platform),
        f"{record.size_bytes / 2**20:,.1f} MiB",
        f"{record.created_at.astimezone():%Y-%m-%d %H:%M}",
    )


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    from html import escape  # noqa: PLC0415 - two milliseconds, for notebooks alone

    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
