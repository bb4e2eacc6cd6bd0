"""Verbs of the blocking face as awaitable ones.

class Container:
    blocking: containerlib.Container                    # the same container, for those who may block

    wait = awaits(fluent.Container.wait)                # its steps, answered by the event loop
    pause = threaded(fluent.Container.pause)            # no wait in it worth the name: a worker thread's
    commit = handed(fluent.Container.commit, _image)    # likewise, and what comes of it is this face's
    logs = iterates(fluent.Container.logs)              # `async for`
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine, Iterator
from functools import partial, wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from containerlib._sys.steps import Steps
from containerlib.aio.driving import Flowing, drive, in_thread
from containerlib.boundary import guard_items, outward
from containerlib.fluent.waiting import answer_with, flow_of, steps_of

__all__ = ["awaits", "handed", "iterates", "threaded"]

_P = ParamSpec("_P")
_S = TypeVar("_S")
_T = TypeVar("_T")
_R = TypeVar("_R")

_Awaitable = Callable[Concatenate[Any, _P], Coroutine[Any, Any, _T]]


def awaits(verb: Callable[Concatenate[_S, _P], _T]) -> _Awaitable[_P, _T]:
    """A verb that waits for a container: in the event loop, and no thread is taken by it."""
    steps: Callable[Concatenate[Any, _P], Steps[_T]] = steps_of(verb)

    @wraps(verb)
    async def awaited(self: Any, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        return await _guarded(self, drive(steps(self.blocking, *args, **kwargs)))

    return awaited


def threaded(verb: Callable[Concatenate[_S, _P], _T]) -> _Awaitable[_P, _T]:
    """A verb that is at work from beginning to end: in a worker thread, which is waited for."""

    @wraps(verb)
    async def awaited(self: Any, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        return await _guarded(self, in_thread(partial(verb, self.blocking, *args, **kwargs)))

    return awaited


def handed(
    verb: Callable[Concatenate[_S, _P], _T],
    make: Callable[[Any, _T], _R],
    undo: Callable[[_T], object] | None = None,
) -> _Awaitable[_P, _R]:
    """As `threaded`, with what `make` makes of its result: `make(self, result)`.

    `undo` takes the result back, where nobody gets it.
    """

    @wraps(verb)
    async def awaited(self: Any, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        made = in_thread(partial(verb, self.blocking, *args, **kwargs), undo)
        return make(self, await _guarded(self, made))

    return awaited


async def _guarded(self: object, verb: Coroutine[Any, Any, _T]) -> _T:
    """What the coroutine returns; its failures leave as those of the blocking face."""
    handled = sys.exception()
    try:
        return await verb
    except Exception as error:
        if (leaving := outward(error, (self,), handled)) is None:
            raise
        raise leaving  # noqa: B904 - it has its cause


def iterates(
    verb: Callable[Concatenate[_S, _P], Iterator[_T]],
) -> Callable[Concatenate[Any, _P], Flowing[_T]]:
    """A verb whose results come one by one: waited for in the event loop."""
    flowing = flow_of(verb)

    @wraps(verb)
    def iterated(self: Any, /, *args: _P.args, **kwargs: _P.kwargs) -> Flowing[_T]:
        return Flowing(guard_items(flowing(self.blocking, *args, **kwargs), self))

    answer_with(iterated, verb, str(verb.__annotations__["return"]).replace("Iterator[", "Flowing[", 1))
    return iterated
