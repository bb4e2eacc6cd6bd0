"""What is told of a transfer by many threads."""

from __future__ import annotations

import threading
import time

from containerlib.images.records import Progress, one_at_a_time
from rig.threads import at_once


def test_progress_of_many_threads_is_told_one_at_a_time() -> None:
    inside, told = threading.Lock(), []

    def tell(step: Progress) -> None:
        assert inside.acquire(blocking=False), "two are told at once"
        time.sleep(0.002)
        told.append(step.current)
        inside.release()

    report = one_at_a_time(tell)
    at_once(lambda number: report(Progress("download", "sha256:x", number, 8)), threads=8)
    assert sorted(told) == list(range(8))


def test_progress_that_nobody_wants_goes_nowhere() -> None:
    one_at_a_time(None)(Progress("done", "sha256:x", 0, 0))
