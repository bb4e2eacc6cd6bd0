"""Ids that the host has set aside for somebody's user namespaces.

Spec: subuid(5), subgid(5)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

__all__ = ["SUBGID", "SUBUID", "Range", "granted", "read"]

SUBUID, SUBGID = "/etc/subuid", "/etc/subgid"
Range = tuple[int, int]
"""(first id, how many)"""


def granted(path: str, owners: Sequence[str], read_file: Callable[[str], str] | None = None) -> list[Range]:
    """What the file at `path` grants to any of `owners`, names or numbers; none where it cannot be read."""
    found = []
    for line in (read_file or read)(path).splitlines():
        owner, *numbers = line.strip().split(":")
        if owner in owners and len(numbers) == 2 and all(number.isdecimal() for number in numbers):
            found.append((int(numbers[0]), int(numbers[1])))
    return found


def read(path: str) -> str:
    """What is in the file; nothing where there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
