"""Sizes as people write them, and the guard of every value that people write."""

from __future__ import annotations

import re

from containerlib.errors import InvalidArgument

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgtp]?)(i?)b?\s*", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}

_TOO_LARGE = 2**63
"""The kernel's numbers of bytes are signed, of 64 bits."""

Size = int | str


def check_kind(value: object, *kinds: type, want: str, field: str) -> None:
    """Lets pass what is of one of `kinds`. A bool counts as a number only where `kinds` has bool.

    Raises: InvalidArgument, which says what is wanted: `want` completes "... is not".
    """
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise InvalidArgument(f"{value!r} is not {want}", field=field)


def parse_size(value: Size, *, field: str = "size") -> int:
    """Bytes of an int or of `"256MiB"`, `"1.5GB"`, `"64k"`.

    As in Docker every multiple is of 1024, `MB` as much as `MiB`: limits are pages, and nobody means 953 MiB.

    Raises: InvalidArgument for a negative, empty or unknown size, and for 2**63 bytes or more.
    """
    check_kind(value, int, str, want='a size: write bytes as an int, or "256MiB"', field=field)
    size_bytes = value if isinstance(value, int) else _parse(value, field)
    if size_bytes < 0:
        raise InvalidArgument(f"a size is not negative, not {value}", field=field)
    if size_bytes >= _TOO_LARGE:
        raise InvalidArgument(f"{value!r} is more bytes than the kernel can count (2**63)", field=field)
    return int(size_bytes)


def _parse(text: str, field: str) -> float:
    match = _SIZE.fullmatch(text)
    if match is None:
        raise InvalidArgument(f'{text!r} is not a size: write bytes or "256MiB"', field=field)
    number, unit, _ = match.groups()
    return float(number) * 1024.0 ** _POWERS[unit.lower()]
