"""The `stream` option: who gets a command's output as it comes."""

from __future__ import annotations

import contextlib
import functools
import io
import sys
from typing import Any, Literal

import pytest

from containerlib.engine.streaming import listener
from containerlib.errors import InvalidArgument


def test_stream_false_has_no_listener() -> None:
    assert listener(False) is None


def test_stream_function_is_the_listener() -> None:
    assert listener(print) is print


def test_stream_true_writes_bytes_to_standard_streams_as_they_are(capfdbinary: Any) -> None:
    hear = listener(True)
    assert hear is not None
    print("before")
    hear("stdout", b"out \xff\xc3")
    hear("stdout", b"\xa4\n")
    hear("stderr", b"err\n")
    assert capfdbinary.readouterr() == (b"before\nout \xff\xc3\xa4\n", b"err\n")


def test_stream_true_decodes_for_a_file_of_text() -> None:
    """As a notebook's: a character that came in two pieces is one."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        hear = listener(True)
        assert hear is not None
        hear("stdout", b"a\xc3")
        hear("stderr", b"\xff")
        hear("stdout", b"\xa4")
    assert (out.getvalue(), err.getvalue()) == ("a\u00e4", "\ufffd")


def test_stream_true_without_standard_streams_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    hear = listener(True)
    assert hear is not None
    hear("stdout", b"nobody")


async def later(name: Literal["stdout", "stderr"], data: bytes) -> None: ...


@pytest.mark.parametrize(
    ("wrong", "advice"),
    [
        (None, "True, False or a function"),
        (sys.stderr, "True, False"),
        ("yes", "True, False"),
        (1, "True, False"),
    ]
    + [(each, "async function is not awaited") for each in (later, functools.partial(later))],
)
def test_stream_of_another_kind_is_refused(wrong: Any, advice: str) -> None:
    with pytest.raises(InvalidArgument, match=advice) as caught:
        listener(wrong)
    assert caught.value.field == "stream"
