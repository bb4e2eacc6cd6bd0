"""What values look like in a notebook: tables, in which what strangers wrote is text and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from containerlib.errors import printable

__all__ = ["details", "output", "table"]

_MOST_CHARACTERS = 20_000


class _Html(str):
    """Text that is markup already."""

    __slots__ = ()


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """One row for each of several things."""
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join(f"<tr>{''.join(f'<td>{_cell(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def details(facts: Mapping[str, str]) -> str:
    """One row for each fact of one thing; those without a text are left out."""
    rows = (f"<tr><th>{escape(name)}</th><td>{_cell(text)}</td></tr>" for name, text in facts.items() if text)
    return f"<table><tbody>{''.join(rows)}</tbody></table>"


def output(data: bytes) -> str:
    """A cell with what a program wrote, as it looks in a terminal that obeys nothing; of much of it the end."""
    text = data[-4 * _MOST_CHARACTERS :].decode(errors="replace")[-_MOST_CHARACTERS:]
    if not text:
        return ""
    lines = "\n".join(printable(line) for line in text.split("\n"))
    missing = f"({len(data)} bytes, the last of them:)\n" if len(data) > len(text.encode()) else ""
    return _Html(f"<pre>{escape(missing + lines)}</pre>")


def _cell(text: str) -> str:
    return text if isinstance(text, _Html) else escape(printable(text))
