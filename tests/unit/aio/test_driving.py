"""Steps that an event loop answers, on asyncio and on trio."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from functools import partial

import anyio
import pytest

from containerlib._sys.steps import Ready, Steps, Work
from containerlib.aio.driving import drive, interruptible

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    backend: str = request.param
    return backend


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def until_readable(descriptor: int, seen: list[BaseException | None]) -> Steps[bytes]:
    try:
        while descriptor not in (yield Ready([descriptor], timeout=30.0)):
            continue
        return os.read(descriptor, 9)
    except BaseException as error:
        seen.append(error)
        raise


async def test_drive_returns_what_the_steps_return(pipe: tuple[int, int]) -> None:
    reading, writing = pipe

    def steps() -> Steps[tuple[int, bytes]]:
        number = yield Work(lambda: 2)
        ready = yield Ready([reading], [writing])
        assert list(ready) == [writing]
        os.write(writing, b"text")
        return number, (yield from until_readable(reading, []))

    assert await drive(steps()) == (2, b"text")


async def test_work_is_done_off_the_loop_and_the_rest_on_it() -> None:
    def steps() -> Steps[tuple[int, int]]:
        worker = yield Work(threading.get_ident)
        return worker, threading.get_ident()

    worker, own = await drive(steps())
    assert own == threading.get_ident()
    assert worker != own


async def test_time_that_is_over_answers_with_none(pipe: tuple[int, int]) -> None:
    def steps() -> Steps[list[list[int]]]:
        one = yield Ready([pipe[0]], timeout=0.01)
        two = yield Ready(pipe[:1], [], timeout=0.0)
        return [list(one), list(two)]

    assert await drive(steps()) == [[], []]


async def test_thousand_waits_need_no_thread_each() -> None:
    pipes = [os.pipe() for _ in range(200)]
    threads = threading.active_count()
    results: list[bytes] = []

    async def wait(reading: int) -> None:
        results.append(await drive(until_readable(reading, [])))

    try:
        async with anyio.create_task_group() as group:
            for reading, _ in pipes:
                group.start_soon(wait, reading)
            await anyio.wait_all_tasks_blocked()
            assert threading.active_count() == threads
            for _, writing in pipes:
                os.write(writing, b"x")
    finally:
        for end in (end for ends in pipes for end in ends):
            os.close(end)
    assert results == [b"x"] * 200


async def test_cancelled_steps_clean_up_before_the_caller_goes_on(pipe: tuple[int, int]) -> None:
    seen: list[BaseException | None] = []
    with anyio.move_on_after(0.05) as scope:
        await drive(until_readable(pipe[0], seen))
    assert scope.cancelled_caught
    assert len(seen) == 1


async def test_cancelled_work_is_waited_for_and_undone() -> None:
    began, events = threading.Event(), list[str]()

    def make() -> str:
        began.set()
        threading.Event().wait(0.1)
        events.append("made")
        return "thing"

    def steps() -> Steps[None]:
        thing = yield Work(make)
        try:
            yield Ready(timeout=30.0)
        except BaseException:
            events.append(f"removed {thing}")
            raise

    async with anyio.create_task_group() as group:
        group.start_soon(drive, steps())
        await anyio.to_thread.run_sync(began.wait)
        group.cancel_scope.cancel()
    assert events == ["made", "removed thing"]


@pytest.mark.parametrize("kind", [ValueError, KeyError])
async def test_error_of_work_raises_in_the_steps_and_out_of_them(kind: type[Exception]) -> None:
    def fail() -> None:
        raise kind("x")

    def steps() -> Steps[None]:
        yield Work(fail)

    with pytest.raises(kind):
        await drive(steps())


async def test_error_that_the_steps_handle_lets_them_go_on() -> None:
    def steps() -> Steps[str]:
        try:
            yield Work(partial(int, "x"))
        except ValueError:
            again = yield Work(partial(int, "7"))
            return f"after {again}"
        return "no error"

    assert await drive(steps()) == "after 7"


async def test_error_that_the_steps_handle_may_end_them() -> None:
    def steps() -> Steps[str]:
        try:
            yield Work(partial(int, "x"))
        except ValueError:
            return "handled"
        return "no error"

    assert await drive(steps()) == "handled"


async def test_error_in_the_place_of_another_is_raised() -> None:
    def steps() -> Steps[None]:
        try:
            yield Work(partial(int, "x"))
        except ValueError as error:
            raise LookupError("other") from error

    with pytest.raises(LookupError, match="other"):
        await drive(steps())


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_transfer_of_a_task_that_is_cancelled_ends_before_the_task_does() -> None:
    begun, ended = threading.Event(), threading.Event()

    def transfer(progress: Callable[[object], None]) -> None:
        try:
            while True:
                progress(None)
                begun.set()
        finally:
            ended.set()

    task = asyncio.ensure_future(interruptible(transfer, None))
    while not begun.is_set():
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_steps_of_a_task_that_is_cancelled_hear_of_what_was_done_first() -> None:
    begun, over = threading.Event(), threading.Event()
    heard: list[object] = []

    def work() -> str:
        begun.set()
        over.wait(10.0)
        return "done"

    def steps() -> Steps[None]:
        try:
            heard.append((yield Work(work)))
            yield Ready(timeout=10.0)
        except BaseException as error:
            heard.append(type(error))
            raise

    task = asyncio.ensure_future(drive(steps()))
    while not begun.is_set():
        await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.sleep(0.01)
    assert not task.done()
    over.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert heard == ["done", asyncio.CancelledError]
