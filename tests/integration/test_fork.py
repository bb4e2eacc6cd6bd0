"""Verbs in threads of a process that is forked meanwhile, and in its children."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

import containerlib as cl

pytestmark = [
    pytest.mark.privileged("CAP_SYS_ADMIN: makes containers"),
    pytest.mark.filterwarnings("ignore:This process:DeprecationWarning"),  # which is what is tested
]
SECONDS = 30.0


@contextmanager
def idle_children() -> Iterator[Callable[[], None]]:
    """Makes children that do nothing until the end of the block."""
    children: list[int] = []

    def fork() -> None:
        if not (child := os.fork()):
            try:
                signal.pause()
            finally:
                os._exit(0)
        children.append(child)

    try:
        yield fork
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def work(box: cl.ContainerRecipe, number: int, over: threading.Event) -> int:
    count = 0
    while not over.is_set():
        if number % 3 == 0:
            data = b"x" * 200_000
            assert box.run("cat", input=data, timeout=SECONDS).stdout == data
        elif number % 3 == 1:
            with box.start("sleep", "600") as container:
                assert container.exec("echo", "exec", timeout=SECONDS).text == "exec\n"
        else:
            with box.spawn("cat") as process:
                process.stdin.write(b"line\n")
                assert process.stdout.readline() == b"line\n"
        count += 1
    return count


def test_verbs_in_threads_do_not_wait_for_children_that_are_forked_meanwhile(box: cl.ContainerRecipe) -> None:
    over = threading.Event()
    with idle_children() as fork, ThreadPoolExecutor(6) as pool:
        futures = [pool.submit(work, box, number, over) for number in range(6)]
        for _ in range(30):
            time.sleep(0.05)
            fork()
        over.set()
        assert all(future.result(SECONDS) for future in futures)


def test_children_that_are_forked_while_threads_are_at_work_can_do_the_same(box: cl.ContainerRecipe) -> None:
    over = threading.Event()
    with ThreadPoolExecutor(6) as pool:
        futures = [pool.submit(work, box, number, over) for number in range(6)]
        try:
            for _ in range(10):
                if not (child := os.fork()):
                    try:
                        signal.signal(signal.SIGALRM, signal.SIG_DFL)
                        signal.alarm(int(SECONDS))
                        assert box.run("echo", "child").text == "child\n"
                        with box.start("sleep", "600") as container:
                            container.exec("true")
                        os._exit(0)
                    finally:
                        os._exit(1)
                assert os.waitpid(child, 0)[1] == 0
        finally:
            over.set()
        assert all(future.result(SECONDS) for future in futures)
