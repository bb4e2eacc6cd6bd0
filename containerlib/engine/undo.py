"""Steps that are taken back in reverse where a later one fails."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

__all__ = ["Undo", "clean_up", "end_block"]


class Undo:
    """A block whose finished steps are undone, last first, when it is left by an exception of any kind.

        with Undo() as undo:
            make_directory()
            undo.add(remove_directory)
            start()                        # fails: the directory is removed, the failure goes on

    What fails while undoing becomes a note on the cause, and the steps before it are still undone.
    """

    def __init__(self) -> None:
        self._steps: list[Callable[[], object]] = []

    def add(self, step: Callable[[], object]) -> None:
        """Remembers how the step that was just taken is undone."""
        self._steps.append(step)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            clean_up(error, *reversed(self._steps))


def clean_up(cause: BaseException, *steps: Callable[[], object]) -> None:
    """Takes every step, in order; a failure is added to `cause` as a note and stops nothing."""
    for step in steps:
        try:
            step()
        except BaseException as failure:  # a second Ctrl-C must not leave the rest behind
            cause.add_note(f"clean-up failed too: {type(failure).__name__}: {failure}")


def end_block(error: BaseException | None, step: Callable[[], object]) -> None:
    """The last step of a `with` block: its failure is one where the block had none, else a note on that."""
    if error is None:
        step()
    else:
        clean_up(error, step)
