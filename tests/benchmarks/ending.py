"""An end that leaves nothing: by the last figure, by SIGINT, SIGTERM or SIGHUP.

with ended_by_signals():              # the first of them is an exception in the block, and then the process's end
    with Bench(rounds) as bench:      # whose end takes away what it made
        ...

What is made has a name that begins with `prefix()`. So it is found again also where the signal came between its making
and the line that would have remembered it. Who is killed with signal 9 takes nothing away.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import FrameType

__all__ = ["SHARED_MEMORY", "Ended", "ended_by_signals", "prefix", "scratch", "sweep"]

SHARED_MEMORY = Path("/dev/shm")
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_CGROUPS = Path("/sys/fs/cgroup")
_PATIENCE_SECONDS = 5.0
"""For a peer's process that is still on its way out of its group."""


class Ended(BaseException):
    """One of the signals came."""


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Once the block has ended the process ends by the signal, as its caller expects; later ones change nothing."""
    came: list[int] = []

    def end(number: int, _: FrameType | None) -> None:
        came.append(number)
        if len(came) == 1:
            raise Ended

    before = {each: signal.signal(each, end) for each in _SIGNALS}
    try:
        yield
    except Ended:
        signal.signal(came[0], signal.SIG_DFL)
        os.kill(os.getpid(), came[0])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def prefix() -> str:
    """How the names of directories and groups begin."""
    return f"containerlib-bench-{os.getpid()}"


@contextlib.contextmanager
def scratch(parent: Path) -> Iterator[Path]:
    """A directory for the time of the block."""
    path = Path(tempfile.mkdtemp(prefix=f"{prefix()}-", dir=parent))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def sweep(places: Iterable[Path]) -> None:
    """Removes what is still there with such a name: directories in `places`, and groups of every hierarchy."""
    for place in places:
        for path in place.glob(f"{prefix()}*"):
            shutil.rmtree(path, ignore_errors=True)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not _remove_groups() and time.monotonic() < deadline:
        time.sleep(0.05)


def _remove_groups() -> bool:
    """Whether none is left."""
    done = True
    for hierarchy in [
        _CGROUPS,
        *(path for path in _CGROUPS.iterdir() if path.is_dir() and not path.is_symlink()),
    ]:
        for top in hierarchy.glob(f"{prefix()}*"):
            for path, _, _ in os.walk(top, topdown=False):
                with contextlib.suppress(OSError):
                    Path(path).rmdir()
            done &= not top.exists()
    return done
