"""What the words about logs take."""

from __future__ import annotations

from typing import Any

import pytest

from containerlib.engine import words_log as words
from containerlib.errors import InvalidArgument
from containerlib.spec.log import LogOptions

NOTHING: dict[str, Any] = {"keep": "file", "max_size": None, "max_files": None, "full": None}


def log(old: LogOptions | None = None, **given: Any) -> LogOptions:
    return words.log_options(old or LogOptions(), **{**NOTHING, **given})


def test_log_with_a_size_has_five_files_unless_it_says_otherwise() -> None:
    assert log(max_size="1MiB") == LogOptions(1 << 20, 5)
    assert log(max_size=4096, max_files=1) == LogOptions(4096, 1)
    assert log(max_size=4096, max_files=100) == LogOptions(4096, 100)
    assert log() == LogOptions()


def test_log_keeps_what_it_had_said() -> None:
    old = LogOptions(8192, 3, "block")
    assert log(old) == old
    assert log(old, max_size=4096) == LogOptions(4096, 3, "block")
    assert log(old, max_files=2) == LogOptions(8192, 2, "block")
    assert log(old, full="drop") == LogOptions(8192, 3, "drop")
    assert log(LogOptions(max_files=0)) == LogOptions(), "one that was not kept is kept again"


@pytest.mark.parametrize("keep", [None, "none"])
def test_log_that_is_not_kept_has_no_files(keep: str | None) -> None:
    assert log(keep=keep) == LogOptions(max_files=0)


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("log", {"keep": "journald"}),
        ("log", {"keep": None, "max_size": 4096}),
        ("log", {"keep": "none", "full": "drop"}),
        ("full", {"full": "wait"}),
        ("max_size", {"max_size": 4095}),
        ("max_files", {"max_files": 2}),
        ("max_files", {"max_size": 4096, "max_files": 0}),
        ("max_files", {"max_size": 4096, "max_files": 101}),
        ("max_files", {"max_size": 4096, "max_files": "2"}),
    ],
)
def test_log_that_cannot_be_is_refused_by_name(field: str, given: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        log(**given)
    assert caught.value.field == field


def test_stream_is_one_of_two_or_both() -> None:
    assert [words.log_stream(each) for each in ("stdout", "stderr", None)] == ["stdout", "stderr", None]
    with pytest.raises(InvalidArgument) as caught:
        words.log_stream("stdin")
    assert caught.value.field == "stream"


def test_number_of_lines_is_none_or_more() -> None:
    assert [words.line_count(each, field="tail") for each in (0, 7, None)] == [0, 7, None]
    for wrong in (-1, "3"):
        with pytest.raises(InvalidArgument) as caught:
            words.line_count(wrong, field="tail")  # type: ignore[arg-type]
        assert caught.value.field == "tail"
