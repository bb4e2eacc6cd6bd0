"""What connects a container to networks, in its directory: read by its supervisor at each start, and at its end.

write_links(directory, links)                # before a start
relink(directory, links, change)             # while it runs: the links to be, and the way there
"""

from __future__ import annotations

import contextlib
import errno
import os
import time

from containerlib._sys.writing import replace_file
from containerlib.errors import Conflict, StageError
from containerlib.runtime.plan.links import NO_LINKS, Links
from containerlib.runtime.supervisor import REPLY_TIMEOUT

__all__ = ["relink", "write_links"]

_PAUSE = 0.005


def write_links(directory: str, links: Links) -> None:
    """Raises: StageError(stage="state")."""
    if links != NO_LINKS:
        replace_file(directory, "links", links.plan().pack(), lasting=False)  # the next start writes it anew
        return
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{directory}/links")  # noqa: PTH108 - a str


def relink(directory: str, links: Links, change: Links) -> None:
    """Makes `links` of what it is connected to, at once where it runs, and for each start to come.

    `change`: the way there; what it has done where it fails is the caller's to undo, with the container's lock held.
    Raises: StageError(stage="network").
    """
    from containerlib.runtime.connections import connect  # noqa: PLC0415 - no start needs it

    plan = change.plan()
    write_links(directory, links)
    deadline = time.monotonic() + REPLY_TIMEOUT
    while (supervisor := connect(directory)) is not None:
        with supervisor, contextlib.suppress(Conflict):  # it has ended meanwhile
            try:
                supervisor.relink(plan)
            except StageError as error:
                if error.errno != errno.EAGAIN or time.monotonic() > deadline:
                    raise
                time.sleep(_PAUSE)  # it is starting the program once more
                continue
        return
