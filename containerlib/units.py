"""Sizes and durations as people write them."""

from __future__ import annotations

import re

from containerlib.errors import InvalidArgument

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgtp]?)(i?)b?\s*", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}

Size = int | str


def parse_size(value: Size, *, field: str = "size") -> int:
    """Bytes of an int or of `"256MiB"`, `"1.5GB"`, `"64k"`.

    As in Docker every multiple is of 1024, `MB` as much as `MiB`: limits are pages, and nobody means 953 MiB.

    Raises: InvalidArgument for a negative, empty or unknown size.
    """
    if isinstance(value, int):
        if value < 0:
            raise InvalidArgument(f"a size is not negative, not {value}", field=field)
        return value
    match = _SIZE.fullmatch(value)
    if match is None:
        raise InvalidArgument(f'{value!r} is not a size: write bytes or "256MiB"', field=field)
    number, unit, _ = match.groups()
    return int(float(number) * 1024 ** _POWERS[unit.lower()])


def format_size(size_bytes: int) -> str:
    """`size_bytes` in the largest unit that leaves a whole part, e.g. `"1.5 GiB"`."""
    size = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if size < 1024 or unit == "TiB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    raise AssertionError("unreachable")
