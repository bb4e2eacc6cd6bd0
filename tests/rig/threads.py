"""Many callers at the same time."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

__all__ = ["at_once", "interrupted"]

_T = TypeVar("_T")


def at_once(call: Callable[[int], _T], *, threads: int = 16) -> list[_T]:
    """`call(0)`, `call(1)`, ... from so many threads, none of which begins before all are there; what each returned."""
    gate = Barrier(threads)

    def run(number: int) -> _T:
        gate.wait(timeout=60.0)
        return call(number)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(run, range(threads)))


def interrupted(call: Callable[[], object], after: float, timers: list[threading.Timer]) -> None:
    """`call()`, which Ctrl-C ends `after` seconds from its start; `timers` keeps the timer alive."""
    main = threading.main_thread().ident
    assert main is not None
    timer = threading.Timer(after, signal.pthread_kill, args=(main, signal.SIGINT))
    timers.append(timer)
    try:
        timer.start()
        call()
    finally:
        timer.cancel()
        timer.join()
