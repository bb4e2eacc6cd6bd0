"""What CRIU has found out of the kernel: it takes that longer than to dump a small process.

It keeps it, as /run/criu.kdat, where /run is memory: on a disk another kernel would read it after the next boot. There
it is kept here, by the boot's own name, and shown to CRIU in that place, in a mount namespace of its own.

    file = kept(lambda: ask(criu, FEATURE_CHECK))
    process = shown(file, lambda: Popen([criu, ...]))
"""

from __future__ import annotations

import contextlib
import functools
import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from containerlib._sys.filesystem import type_of
from containerlib._sys.native import own_mounts
from containerlib._sys.writing import replace_file
from containerlib.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    _T = TypeVar("_T")

__all__ = ["PLACE", "kept", "shown"]

_RUN, _NAME = "/run", "criu.kdat"
PLACE = f"{_RUN}/{_NAME}"
_PREFIX = "criu-"


def kept(look: Callable[[], object], run: str = _RUN) -> str | None:
    """The file, which `look` has CRIU write where there is none. None where CRIU keeps it, or nobody can."""
    if _is_memory(run):
        return None
    directory, name = f"{run}/containerlib", _PREFIX + _boot()
    path = f"{directory}/{name}"
    if not os.path.exists(path):  # noqa: PTH110 - a str
        with contextlib.suppress(OSError, Error):
            _write(directory, name, _apart(None, run, partial(_found, look, f"{run}/{_NAME}")))
    return path if os.path.exists(path) else None  # noqa: PTH110


def shown(file: str | None, start: Callable[[], _T], place: str = PLACE) -> _T:
    """What `start` returns, whose process finds `file` in CRIU's place. Raises: what it raises."""
    return start() if file is None else _apart(file, place, start)


@functools.lru_cache(8)
def _is_memory(path: str) -> bool:
    return type_of(path) == "tmpfs"


@functools.lru_cache(1)
def _boot() -> str:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def _apart(source: str | None, target: str, do: Callable[[], _T]) -> _T:
    """In a thread, which alone has these mounts, and what it starts."""

    def run() -> _T:
        own_mounts(source, target)
        return do()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result()


def _found(look: Callable[[], object], place: str) -> bytes:
    look()
    with open(place, "rb", buffering=0) as file:
        return file.readall()


def _write(directory: str, name: str, data: bytes) -> None:
    """In place of those of earlier boots."""
    os.makedirs(directory, 0o700, exist_ok=True)  # noqa: PTH103 - a str
    replace_file(directory, name, data, lasting=False)
    for other in os.listdir(directory):  # noqa: PTH208
        if other.startswith(_PREFIX) and not other.startswith(name):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{directory}/{other}")  # noqa: PTH108
