"""Programs of an ordinary user, who reaches this interpreter even where it is in a home that is closed to others."""

from __future__ import annotations

import os
import sys
from functools import cache
from pathlib import Path
from shlex import quote

import containerlib

__all__ = ["as_user"]


def as_user(user: int, *argv: str | os.PathLike[str]) -> list[str]:
    """The command that runs `argv` as that user, in the group of that number alone, without capabilities.

    What is closed on the way to the interpreter and the tests is open in a mount namespace of the program's own,
    as an overlay: the directories themselves stay as they are.
    """
    words = [
        "setpriv",
        f"--reuid={user}",
        f"--regid={user}",
        "--clear-groups",
        *(os.fspath(word) for word in argv),
    ]
    closed = _closed_directories()
    if not closed:
        return words
    steps = ["mount -t tmpfs -o mode=755 tmpfs /mnt"]
    for number, place in enumerate(closed):
        upper, work = f"/mnt/{number}/upper", f"/mnt/{number}/work"
        options = f"lowerdir={place},upperdir={upper},workdir={work}"
        steps += [
            f"mkdir -p {upper} {work}",
            f"mount -t overlay -o {quote(options)} overlay {quote(place)}",
            f"chmod o+x {quote(place)}",
        ]
    steps += ["umount --lazy /mnt", 'exec "$@"']
    return ["unshare", "--mount", "--propagation=slave", "sh", "-c", " && ".join(steps), "sh", *words]


@cache
def _closed_directories() -> list[str]:
    """The uppermost first."""
    wanted = [
        Path(os.path.realpath(sys.executable)),
        Path(sys.prefix, "bin"),
        Path(containerlib.__file__),
        Path(__file__),
    ]
    parents = {parent for path in wanted for parent in path.parents}
    return sorted(str(path) for path in parents if not path.stat().st_mode & 0o001)
