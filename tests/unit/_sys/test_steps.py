"""Steps and the loop that answers them by blocking."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from containerlib._sys.steps import Flow, Ready, Steps, Work, finish, items


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def test_finish_returns_what_the_steps_return() -> None:
    def steps() -> Steps[int]:
        first = yield Work(lambda: 2)
        second = yield Work(lambda: 3)
        return first + second

    assert finish(steps()) == 5


def test_ready_answers_with_the_descriptors_that_are(pipe: tuple[int, int]) -> None:
    reading, writing = pipe

    def steps() -> Steps[list[list[int]]]:
        first = yield Ready([reading], [writing])
        os.write(writing, b"x")
        second = yield Ready([reading])
        return [list(first), list(second)]

    assert finish(steps()) == [[writing], [reading]]


def test_ready_answers_with_none_after_its_time(pipe: tuple[int, int]) -> None:
    before = time.monotonic()
    assert list(Ready([pipe[0]], timeout=0.01).answer()) == []
    assert time.monotonic() - before >= 0.01


def test_work_that_fails_raises_inside_the_steps() -> None:
    def steps() -> Steps[str]:
        try:
            yield Work(lambda: 1 // 0)
        except ZeroDivisionError as error:
            again = yield Work(lambda: "after")
            return f"{type(error).__name__} {again}"
        return "no error"

    assert finish(steps()) == "ZeroDivisionError after"


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, ValueError])
def test_interrupt_is_seen_by_the_steps_and_goes_on(kind: type[BaseException]) -> None:
    seen: list[BaseException] = []

    def interrupt() -> None:
        raise kind

    def steps() -> Steps[None]:
        try:
            yield Work(interrupt)
        except BaseException as error:
            seen.append(error)
            raise

    with pytest.raises(kind):
        finish(steps())
    assert [type(error) for error in seen] == [kind]


def test_items_come_between_what_is_waited_for(pipe: tuple[int, int]) -> None:
    closed = []

    def flow() -> Flow[str]:
        try:
            yield "first"
            os.write(pipe[1], b"x")
            ready = yield Ready([pipe[0]])
            yield f"ready: {list(ready) == [pipe[0]]}"
            yield "never asked for"
        finally:
            closed.append(True)

    things = items(flow())
    assert [next(things), next(things), closed] == ["first", "ready: True", []]
    things.close()  # type: ignore[attr-defined]
    assert closed == [True]
