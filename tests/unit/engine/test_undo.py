from __future__ import annotations

import pytest

from containerlib.engine.undo import Undo


def test_undo_failure_takes_steps_back_last_first() -> None:
    taken: list[str] = []

    def work() -> None:
        with Undo() as undo:
            undo.add(lambda: taken.append("first"))
            undo.add(lambda: taken.append("second"))
            raise ValueError("cause")

    with pytest.raises(ValueError, match="cause"):
        work()
    assert taken == ["second", "first"]


def test_undo_success_takes_nothing_back() -> None:
    taken: list[str] = []
    with Undo() as undo:
        undo.add(lambda: taken.append("step"))
    assert taken == []


def test_undo_failing_step_is_a_note_and_the_rest_goes_on() -> None:
    taken: list[str] = []

    def fail() -> None:
        raise OSError("busy")

    def work() -> None:
        with Undo() as undo:
            undo.add(lambda: taken.append("first"))
            undo.add(fail)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        work()
    assert taken == ["first"]
    assert caught.value.__notes__ == ["clean-up failed too: OSError: busy"]
