"""A forked child keeps nothing of what its parent's threads are at work with."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from containerlib._sys import forks
from containerlib.engine.streams import Pipes


@contextmanager
def forked(work: Callable[[], None] = lambda: None) -> Iterator[None]:
    """A child that did `work` without failing, and lives until the end of the block."""
    reading, writing = os.pipe()
    if not (child := os.fork()):
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(10)
            work()
            signal.alarm(0)
            os.write(writing, b"done")
            signal.pause()
        finally:
            os._exit(1)
    os.close(writing)
    try:
        assert os.read(reading, 4) == b"done"
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reading)


def is_locked(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def test_lock_of_a_file_is_the_parents_alone(tmp_path: Path) -> None:
    with ExitStack() as child:
        with forks.opened(tmp_path, os.O_RDONLY) as descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            child.enter_context(forked())
            assert is_locked(tmp_path)
        assert not is_locked(tmp_path)


def test_pipes_end_where_the_parents_ends_are_closed() -> None:
    with Pipes(stdin=True) as pipes, forked():
        pipes.close_child()
        assert select.select([pipes.stdout, pipes.stderr], [], [], 5.0)[0] == [pipes.stdout, pipes.stderr]


def test_what_was_let_go_of_is_the_childs_too() -> None:
    class Open:
        def close(self) -> None:
            pytest.fail("closed in the child")

    thing = Open()
    forks.close_in_child(thing)
    forks.let_go(thing)
    with forked():
        pass


def test_lock_that_a_thread_has_is_free_in_the_child() -> None:
    lock, locked, over = forks.Lock(), threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            locked.set()
            over.wait()

    def take() -> None:
        with lock:
            pass

    thread = threading.Thread(target=hold)
    thread.start()
    locked.wait()
    try:
        with forked(take):
            pass
    finally:
        over.set()
        thread.join()


def test_fork_waits_for_what_is_being_made() -> None:
    begun, made = threading.Event(), []

    def make() -> None:
        with forks.no_fork:
            begun.set()
            threading.Event().wait(0.2)
            made.append("whole")

    def look() -> None:
        assert made == ["whole"]

    thread = threading.Thread(target=make)
    thread.start()
    begun.wait()
    with forked(look):
        thread.join()
