"""kill -9 of a process at any step of run and start: the root stays usable, and prune returns it to clean."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from subprocess import Popen

import pytest

import containerlib as cl

pytestmark = [pytest.mark.privileged("CAP_SYS_ADMIN: makes containers"), pytest.mark.slow]

WORK = """
print("go", flush=True)
kept = box.name("kept")
while True:
    box.run("true")
    try:
        kept.start("sleep", "600", detach=True)
    except cl.AlreadyExists:
        pass
    engine.containers.get("kept").exec("true")
    engine.containers.get("kept").remove(force=True)
    with box.start("sleep", "600") as container:
        container.pause()
"""


def test_kill_at_any_step_root_stays_usable(
    engine: cl.Engine, script: Callable[[str], Popen[str]], left_nothing: Callable[[], None]
) -> None:
    seeded = random.Random(1)
    for round_ in range(60):
        with script(WORK) as worker:
            assert worker.stdout is not None
            worker.stdout.readline()
            time.sleep(seeded.uniform(0, 0.15))
            os.kill(worker.pid, signal.SIGKILL)
        report = engine.prune()
        assert report.failures == (), round_
        for container in engine.containers.list():
            assert container.name == "kept", round_
            container.remove(force=True)
        left_nothing()
    assert engine.container(engine.host_image()).run("echo", "works").text == "works\n"
