"""Verbs that wait, written once: as steps that ask for what they wait for, and leave the waiting to others.

    def wait(supervisor) -> Steps[ExitStatus]:
        while (status := supervisor.poll()) is None:
            yield Ready(reading=(supervisor.fileno(),))
        return status

    finish(wait(supervisor))                  # blocks, in the caller's thread

`containerlib.aio` answers the same steps from an event loop. An ask that fails, or that is interrupted, raises inside
the steps, which clean up as any function does: without asking for more.
"""

from __future__ import annotations

import select
import time
from abc import abstractmethod
from collections.abc import Callable, Collection, Generator, Iterator
from typing import Any, Generic, ParamSpec, TypeVar

__all__ = [
    "Ask",
    "Flow",
    "Pauses",
    "Ready",
    "Steps",
    "Work",
    "finish",
    "items",
    "look_until",
    "patience",
    "waited",
]

P = ParamSpec("P")
T = TypeVar("T")


class Ask:
    """What steps wait for."""

    __slots__ = ()

    @abstractmethod
    def answer(self) -> Any:
        """Waits for it here and now."""


class Ready(Ask):
    """For one of the descriptors to be ready: the answer is those that are; none after `timeout` seconds, or sooner."""

    __slots__ = ("reading", "timeout", "writing")

    def __init__(
        self, reading: Collection[int] = (), writing: Collection[int] = (), timeout: float | None = None
    ) -> None:
        self.reading = reading
        self.writing = writing
        self.timeout = timeout

    def answer(self) -> Collection[int]:
        poll = select.poll()
        for descriptor in self.reading:
            poll.register(descriptor, select.POLLIN)
        for descriptor in self.writing:
            poll.register(descriptor, select.POLLOUT)
        return [descriptor for descriptor, _ in poll.poll(patience(self.timeout))]


class Pauses:
    """Growing pauses between looks at what nobody tells: from 2 ms to a tenth of a second."""

    __slots__ = ("_next",)

    def __init__(self) -> None:
        self._next = 0.002

    def next(self) -> Ready:
        """The pause before the next look."""
        pause, self._next = self._next, min(self._next * 1.5, 0.1)
        return Ready(timeout=pause)


class Work(Ask, Generic[T]):
    """For a function that does not come back at once: the answer is its result."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[[], T]) -> None:
        self.function = function

    def answer(self) -> T:
        return self.function()


Steps = Generator[Ask, Any, T]
"""Ends with the verb's result."""
Flow = Generator[Ask | T, Any, None]
"""Things as they come, and what is waited for in between."""


def finish(steps: Steps[T]) -> T:
    """Answers the steps one after the other, and returns their result."""
    answer, error = None, None
    try:
        while True:
            ask = steps.send(answer) if error is None else steps.throw(error)
            answer, error = None, None
            try:
                answer = ask.answer()
            except BaseException as raised:
                error = raised
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        steps.close()


def items(flow: Flow[T]) -> Iterator[T]:
    """The things of the flow, waited for here."""
    answer: Any = None
    try:
        while True:
            came = flow.send(answer)
            answer = None
            if isinstance(came, Ask):
                answer = came.answer()
            else:
                yield came
    except StopIteration:
        return
    finally:
        flow.close()


def look_until(look: Callable[[], T | None], descriptor: int, timeout: float | None) -> Steps[T | None]:
    """What `look` finds, asked again whenever the descriptor is readable; None after `timeout` seconds."""
    deadline = None if timeout is None else time.monotonic() + timeout
    while (found := look()) is None:
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            return None
        yield Ready((descriptor,), timeout=left)
    return found


def waited(flow: Callable[P, Flow[T]]) -> Callable[P, Iterator[T]]:
    """The function that gives the things of `flow`, waited for here."""

    def wait(*args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        return items(flow(*args, **kwargs))

    return wait


def patience(timeout: float | None) -> int:
    """Milliseconds for a poll in a loop that waits `timeout` seconds (None: for ever): a second at most.

    A Ctrl-C that arrives between the interpreter's last look for signals and the system call does not interrupt the
    call, and would be seen only when it ends.
    """
    return 1000 if timeout is None else min(int(timeout * 1000) + 1, 1000)
