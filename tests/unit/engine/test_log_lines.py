"""Counting the lines that are waited for."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Literal

from containerlib.engine.log_lines import Counter, LogLines
from containerlib.spec.status import LogRecord


def add(
    counter: Counter, text: str, *, partial: bool = False, stream: Literal["stdout", "stderr"] = "stdout"
) -> None:
    counter.add(LogRecord(datetime.now(UTC), stream, text, partial))


def test_line_without_an_end_counts_and_counts_once() -> None:
    counter = LogLines("ready", 2).counter()
    for text in ("read", "ready", "ready", "ready to"):
        add(counter, text, partial=True)
    assert not counter.is_done
    add(counter, "ready to go")
    assert not counter.is_done
    add(counter, "ready", partial=True)
    assert counter.is_done


def test_pieces_of_one_line_are_one_line_and_streams_are_apart() -> None:
    counter = LogLines(re.compile("x+"), 2).counter()
    add(counter, "xxx", partial=True)
    add(counter, "nothing", stream="stderr")
    add(counter, "xxx", partial=True)
    add(counter, "the end")
    assert not counter.is_done
    add(counter, "x", stream="stderr")
    assert counter.is_done


def test_lines_are_named_in_messages() -> None:
    assert str(LogLines("ready")) == "a line with 'ready'"
    assert str(LogLines(re.compile("a.c"), 3)) == "3 lines with a match of 'a.c'"
