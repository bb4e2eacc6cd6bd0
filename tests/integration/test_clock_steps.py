"""The machine's clock is set while time-outs run: they are of the monotonic clock, here and in the supervisor.

The clock is set by an hour. Forward, a time-out of the wrong clock would end at once what has time; back, it would not
end for an hour.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import containerlib as cl

pytestmark = [
    pytest.mark.vm,
    pytest.mark.privileged("CAP_SYS_ADMIN, CAP_SYS_TIME: sets the clock"),
    pytest.mark.skipif(
        not Path("/run/vmrun").exists(), reason="sets the machine's clock: in the virtual machine only"
    ),
]

HOUR = 3600.0
ENDS = """
trap 'sleep 1; exit 3' TERM
(sleep 2; touch /tmp/done; echo late; nc -ll -p 81 -e true) &
echo up
while :; do sleep 0.1; done
"""
STAYS = "trap '' TERM; echo up; while :; do sleep 0.1; done"


@pytest.fixture
def step() -> Iterator[Callable[[float], None]]:
    """Sets the clock by so many seconds; it is right again afterwards."""
    offset = time.time() - time.monotonic()

    def step(seconds: float) -> None:
        time.clock_settime(time.CLOCK_REALTIME, time.time() + seconds)

    yield step
    time.clock_settime(time.CLOCK_REALTIME, offset + time.monotonic())


class Scene(NamedTuple):
    """What a verb is called on, and its time-out."""

    box: cl.ContainerRecipe
    container: cl.Container
    limit: float


Verb = Callable[[Scene], Any]
VERBS: dict[str, tuple[Verb, Verb]] = {
    "run": (
        lambda s: s.box.run("sleep", "2", timeout=s.limit),
        lambda s: s.box.run("sleep", "1000", timeout=s.limit),
    ),
    "exec": (
        lambda s: s.container.exec("sleep", "2", timeout=s.limit),
        lambda s: s.container.exec("sleep", "1000", timeout=s.limit),
    ),
    "wait": (
        lambda s: s.box.start("sleep", "2").wait(s.limit),
        lambda s: s.container.wait(s.limit),
    ),
    "wait_for a command": (
        lambda s: s.container.wait_for(exec=("test", "-e", "/tmp/done"), timeout=s.limit),
        lambda s: s.container.wait_for(exec=("false",), timeout=s.limit),
    ),
    "wait_for a line": (
        lambda s: s.container.wait_for(log="late", timeout=s.limit),
        lambda s: s.container.wait_for(log="never", timeout=s.limit),
    ),
    "wait_for a port": (
        lambda s: s.container.wait_for(port=81, timeout=s.limit),
        lambda s: s.container.wait_for(port=80, timeout=s.limit),
    ),
}
"""Of each one that comes to its end after two seconds, and one that does not."""
each = pytest.mark.parametrize("verb", VERBS)


def during(step: Callable[[float], None], seconds: float, call: Callable[[], Any]) -> Any:
    """What `call` returns or raises, the clock set while it runs."""
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(call)
        time.sleep(0.5)
        step(seconds)
        return result.result()


@each
def test_clock_set_forward_ends_nothing(
    box: cl.ContainerRecipe, step: Callable[[float], None], verb: str
) -> None:
    with box.start("sh", "-c", ENDS) as container:
        container.wait_for(log="up", timeout=60.0)
        during(step, HOUR, lambda: VERBS[verb][0](Scene(box, container, HOUR / 2)))


@each
def test_clock_set_back_keeps_the_time_out(
    box: cl.ContainerRecipe, step: Callable[[float], None], verb: str
) -> None:
    with box.start("sh", "-c", ENDS) as container:
        container.wait_for(log="up", timeout=60.0)
        with pytest.raises(cl.Timeout):
            during(step, -HOUR, lambda: VERBS[verb][1](Scene(box, container, 1.5)))


def test_clock_set_forward_leaves_the_grace_of_a_stop(
    box: cl.ContainerRecipe, step: Callable[[float], None]
) -> None:
    with box.start("sh", "-c", ENDS) as container:
        container.wait_for(log="up", timeout=60.0)
        assert during(step, HOUR, lambda: container.stop(timeout=HOUR / 2)).exit_code == 3


def test_clock_set_back_ends_the_grace_of_a_stop(
    box: cl.ContainerRecipe, step: Callable[[float], None]
) -> None:
    with box.start("sh", "-c", STAYS) as container:
        container.wait_for(log="up", timeout=60.0)
        assert during(step, -HOUR, lambda: container.stop(timeout=1.5)).signal == 9


def test_clock_set_back_starts_again_and_checks_as_before(
    box: cl.ContainerRecipe, step: Callable[[float], None]
) -> None:
    failing = box.restart("always").start("sh", "-c", "echo up; exit 1")
    check = cl.command("test", "-e", "/tmp/well")
    with failing, box.healthy_when(check, every=0.2, retries=1000).start("sleep", "1000") as checked:
        failing.wait_for(log="up", timeout=60.0)
        step(-HOUR)
        before = len(list(failing.logs()))
        checked.exec("touch", "/tmp/well")
        checked.wait_healthy(timeout=120.0)
        while len(list(failing.logs())) <= before + 1:
            time.sleep(0.1)
