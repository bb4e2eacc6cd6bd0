"""Lists of CPUs and memory nodes, as the kernel writes them: 0-3,7. Spec: cpuset(7), "Formats"."""

from __future__ import annotations

import re

__all__ = ["bits_of"]

_RANGE = re.compile("([0-9]{1,9})(?:-([0-9]{1,9}))?")


def bits_of(text: str, bound: int) -> int:
    """A bit for each number, the lowest for 0. Raises: ValueError for what is no list of numbers below `bound`."""
    bits = 0
    for part in filter(None, map(str.strip, text.split(","))):
        found = _RANGE.fullmatch(part)
        if not found:
            raise ValueError(f'{text!r} is not a list such as "0-3,7"')
        first, last = int(found[1]), int(found[2] or found[1])
        if not first <= last < bound:
            raise ValueError(f"{part} is no range of numbers below {bound}")
        bits |= (1 << last + 1) - (1 << first)
    if not bits:
        raise ValueError(f"{text!r} names none")
    return bits
