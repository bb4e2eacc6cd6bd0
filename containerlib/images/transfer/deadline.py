"""An end in time for what is fetched from a registry, also from one that stalls.

with ended_at(deadline, registry.stop, "alpine:3.20") as check:
    ...                              # each request fails once it is over
    check()                          # raises Timeout then: between pieces of work that ask for nothing
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from containerlib.errors import Error, Timeout

__all__ = ["ended_at"]


@contextmanager
def ended_at(deadline: float | None, stop: Callable[[], None], subject: str) -> Iterator[Callable[[], None]]:
    """`deadline` is on time.monotonic()'s clock; None: there is no end. Raises: Timeout."""
    is_over = threading.Event()

    def end() -> None:
        is_over.set()
        stop()

    def check(cause: Error | None = None) -> None:
        if is_over.is_set():
            raise Timeout(f"{subject} was not pulled in the time allowed") from cause

    if deadline is None:
        yield check
        return
    timer = threading.Timer(max(deadline - time.monotonic(), 0.0), end)
    timer.daemon = True
    timer.start()
    try:
        yield check
    except Timeout:
        raise
    except Error as error:
        check(error)
        raise
    finally:
        timer.cancel()
