"""Verbs that wait: this face blocks for them, and the async one awaits the same steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from inspect import signature
from typing import Any, Concatenate, ParamSpec, TypeVar

from containerlib._sys.steps import Flow, Steps, finish, items
from containerlib.boundary import guard, guard_items

__all__ = ["answer_with", "flow_of", "flows", "steps_of", "waits"]

_P = ParamSpec("_P")
_S = TypeVar("_S")
_T = TypeVar("_T")


def waits(verb: Callable[Concatenate[_S, _P], Steps[_T]]) -> Callable[Concatenate[_S, _P], _T]:
    """The method that takes the steps of `verb` to their end, and returns their result."""

    @wraps(verb)
    def blocking(self: _S, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        return finish(verb(self, *args, **kwargs))

    answer_with(blocking, verb, str(verb.__annotations__["return"]).removeprefix("Steps[").removesuffix("]"))
    return guard(blocking)


def flows(verb: Callable[Concatenate[_S, _P], Flow[_T]]) -> Callable[Concatenate[_S, _P], Iterator[_T]]:
    """The method whose iterator waits here for what `verb` lets flow."""

    @wraps(verb)
    def blocking(self: _S, /, *args: _P.args, **kwargs: _P.kwargs) -> Iterator[_T]:
        return guard_items(items(verb(self, *args, **kwargs)), self)

    answer_with(blocking, verb, str(verb.__annotations__["return"]).replace("Flow[", "Iterator[", 1))
    return guard(blocking)


def answer_with(face: Callable[..., object], verb: Callable[..., object], result: str) -> None:
    """Has help(), completion and the pages say that `face` takes what `verb` takes, and answers with `result`."""
    made = signature(verb).replace(return_annotation=result)
    face.__signature__ = made  # type: ignore[attr-defined]
    face.__annotations__ = {**verb.__annotations__, "return": result}


def steps_of(verb: Callable[Concatenate[_S, _P], _T]) -> Callable[Concatenate[Any, _P], Steps[_T]]:
    """The steps of a method that `waits` made."""
    steps: Callable[Concatenate[Any, _P], Steps[_T]] = verb.__wrapped__.__wrapped__  # type: ignore[attr-defined]
    return steps


def flow_of(verb: Callable[Concatenate[_S, _P], Iterator[_T]]) -> Callable[Concatenate[Any, _P], Flow[_T]]:
    """What a method that `flows` made lets flow."""
    flow: Callable[Concatenate[Any, _P], Flow[_T]] = verb.__wrapped__.__wrapped__  # type: ignore[attr-defined]
    return flow
