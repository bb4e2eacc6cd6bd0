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

A thread is at work only while a function is: what waits for a container waits in the loop.
"""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from anyio import (
    CancelScope,
    create_task_group,
    move_on_after,
    sleep_forever,
    to_thread,
    wait_readable,
    wait_writable,
)
from anyio.lowlevel import checkpoint

from containerlib._sys.steps import Ask, Flow, Ready, Steps, Work

if TYPE_CHECKING:
    from containerlib.images import Progress

__all__ = ["Flowing", "drive", "in_thread", "interruptible"]

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
        try:
            step = partial(steps.send, await _answer(ask))
        except BaseException as error:
            with CancelScope(shield=True):
                after = await to_thread.run_sync(_thrown, steps, error)
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


async def in_thread(function: Callable[[], T]) -> T:
    """What the function returns; it is waited for, also where this is cancelled meanwhile."""
    return await to_thread.run_sync(function)


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

    async with create_task_group() as group:
        group.start_soon(watch)
        try:
            result = await to_thread.run_sync(partial(transfer, progress=report))
        except _Interrupt:
            await checkpoint()
            raise
        group.cancel_scope.cancel()
    return result


def _thrown(steps: Steps[T], error: BaseException) -> Callable[[], Ask] | None:
    """Throws `error` into the steps. What comes out of them is what the next step does; None where it is `error`."""
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
