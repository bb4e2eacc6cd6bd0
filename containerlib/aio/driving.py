"""The steps of verbs that wait, answered from an event loop: asyncio's or trio's, through anyio.

    caller's task              event loop                     worker thread
      | await drive(steps)       |                              |
      |-- next step ------------>| Ready: the descriptors       |
      |                          | Work: ---------------------->| the function
      |<------- answer ----------|<-----------------------------|
      |                          |                              |
      | cancelled: --------------------------------------------->| the steps clean up
      |<--------------------------------------------------------|
      | raises

A thread is at work only while a function is: what waits for a container waits in the loop. anyio's cancellation waits
for the thread; asyncio's own (a task's `cancel`, `wait_for`, `timeout`) does not, and is held back until the function
has come to its end: the steps are told of what was done before they clean up.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

from anyio import (
    CancelScope,
    Event,
    create_task_group,
    from_thread,
    get_cancelled_exc_class,
    move_on_after,
    sleep_forever,
    to_thread,
    wait_readable,
    wait_writable,
)
from anyio.lowlevel import checkpoint

from containerlib._sys.steps import Ask, Flow, Ready, Steps, Work
from containerlib.engine.undo import clean_up

if TYPE_CHECKING:
    from containerlib.images import Progress

__all__ = ["Flowing", "drive", "in_thread", "insist", "interruptible"]

T = TypeVar("T")

_TURN = 0.01
"""Seconds."""


async def drive(steps: Steps[T]) -> T:
    """Answers the steps one after the other, and returns their result.

    Where it is cancelled, the steps clean up in a worker thread before the cancellation goes on.
    """
    step: Callable[[], Ask] = partial(next, steps)
    while True:
        try:
            ask = step()
        except StopIteration as end:
            result: T = end.value
            return result
        call = _Call(ask.function) if isinstance(ask, Work) else None
        try:
            step = partial(steps.send, await (_answer(ask) if call is None else call.run()))
        except BaseException as error:
            after = await insist(partial(_thrown, steps, call, error))
            if after is None:
                raise
            step = after


class Flowing(AsyncIterator[T]):
    """The things of a flow, as they come: for `async for`. What it holds open goes with it, or by `aclose()`.

    Where they come without a pause (a program that writes faster than they are read), others have their turn all the
    same, and a cancellation is seen.
    """

    def __init__(self, flow: Flow[T]) -> None:
        self._flow = flow
        self._turn_ends = 0.0

    async def __anext__(self) -> T:
        if (now := time.monotonic()) > self._turn_ends:
            await checkpoint()
            self._turn_ends = now + _TURN
        answer: object = None
        while True:
            try:
                came = self._flow.send(answer)
            except StopIteration:
                raise StopAsyncIteration from None
            if not isinstance(came, Ask):
                return came
            answer = await _answer(came)

    async def aclose(self) -> None:
        """Ends it."""
        self._flow.close()


async def in_thread(function: Callable[[], T], undo: Callable[[T], object] | None = None) -> T:
    """What the function returns; it is waited for, also where this is cancelled meanwhile.

    `undo` takes back, in a thread too, what was done for a caller who is cancelled and does not get it.
    """
    call = _Call(function)
    try:
        return await call.run()
    except BaseException as error:
        if undo is not None and call.is_done:
            await insist(partial(clean_up, error, partial(undo, call.result)))
        raise


async def insist(function: Callable[[], T]) -> T:
    """What the function returns, which is called and comes to its end however often this is cancelled: that counts
    when it has.
    """
    cancelled: BaseException | None = None
    with CancelScope(shield=True):
        while True:
            call = _Call(function)
            try:
                result = await call.run()
                break
            except get_cancelled_exc_class() as error:  # asyncio's own
                cancelled = error
                if call.is_over:
                    break
    if cancelled is not None:
        raise cancelled
    return result


class _Call(Generic[T]):
    """A function in a worker thread, and what came of it."""

    result: T

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self._lock = threading.Lock()
        self._has_begun = self._is_dropped = False
        self._ended: Event | None = None
        self.is_over = False
        self.is_done = False
        """Whether there is a `result`."""

    async def run(self) -> T:
        """What the function returns. Cancelled, this raises when the function is over, or will never begin."""
        try:
            return await to_thread.run_sync(self.work)
        except get_cancelled_exc_class():
            await self.settle()
            raise

    def work(self) -> T:
        """In the thread."""
        with self._lock:
            if self._is_dropped:
                raise _Dropped
            self._has_begun = True
        try:
            self.result = self._function()
            self.is_done = True
            return self.result
        finally:
            with self._lock:
                self.is_over = True
                ended = self._ended
            if ended is not None:
                with contextlib.suppress(RuntimeError):  # the loop is closed
                    from_thread.run_sync(ended.set)

    async def settle(self) -> None:
        """Waits for the end of the function, unless it has not begun: then it never will."""
        with self._lock:
            self._is_dropped = not self._has_begun
            if self._is_dropped or self.is_over:
                return
            ended = self._ended = Event()
        with CancelScope(shield=True):
            while not ended.is_set():
                with contextlib.suppress(get_cancelled_exc_class()):  # asyncio's, again
                    await ended.wait()


class _Dropped(BaseException):
    """A call that nobody waits for any more did not begin."""


class _Interrupt(BaseException):
    """Ends a transfer from within."""


async def interruptible(transfer: Callable[..., T], progress: Callable[[Progress], None] | None) -> T:
    """`transfer(progress=...)` in a worker thread: where this is cancelled, its next report of progress ends it."""
    is_cancelled = threading.Event()

    def report(made: Progress) -> None:
        if is_cancelled.is_set():
            raise _Interrupt
        if progress is not None:
            progress(made)

    async def watch() -> None:
        try:
            await sleep_forever()
        finally:
            is_cancelled.set()

    call = _Call(partial(transfer, progress=report))
    async with create_task_group() as group:
        group.start_soon(watch)
        try:
            result = await to_thread.run_sync(call.work)
        except _Interrupt:
            await checkpoint()
            raise
        except get_cancelled_exc_class():
            is_cancelled.set()
            await call.settle()
            raise
        group.cancel_scope.cancel()
    return result


def _thrown(steps: Steps[T], call: _Call[T] | None, error: BaseException) -> Callable[[], Ask] | None:
    """Throws `error` into the steps. What comes out of them is what the next step does; None where it is `error`.

    They have first what the `call` that they had asked for has come to all the same.
    """
    if call is not None and call.is_done:
        try:
            steps.send(call.result)
        except BaseException:  # they are over, one way or another
            return None
    try:
        ask = steps.throw(error)
    except BaseException as raised:
        return None if raised is error else partial(_raise, raised)
    return lambda: ask


def _raise(error: BaseException) -> Ask:
    raise error


async def _answer(ask: Ask) -> object:
    if isinstance(ask, Ready):
        return await _ready(ask)
    if isinstance(ask, Work):
        return await in_thread(ask.function)
    raise TypeError(f"{ask!r} is nothing that can be waited for")


async def _ready(ask: Ready) -> Collection[int]:
    waits = [(wait_readable, descriptor) for descriptor in ask.reading]
    waits += [(wait_writable, descriptor) for descriptor in ask.writing]
    ready: list[int] = []
    with move_on_after(ask.timeout):
        if len(waits) == 1:
            ((wait, descriptor),) = waits
            await wait(descriptor)
            return [descriptor]
        async with create_task_group() as group:

            async def watch(wait: Callable[[int], Awaitable[None]], descriptor: int) -> None:
                await wait(descriptor)
                ready.append(descriptor)
                group.cancel_scope.cancel()

            for wait, descriptor in waits:
                group.start_soon(watch, wait, descriptor)
            await sleep_forever()
    return ready
