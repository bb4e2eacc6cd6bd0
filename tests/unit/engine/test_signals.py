from __future__ import annotations

import signal
from pathlib import Path

import pytest

from containerlib.engine.signals import hears, parse_signal
from containerlib.errors import InvalidArgument


@pytest.mark.parametrize("value", [9, "9", "KILL", "SIGKILL", "sigkill", " kill ", signal.SIGKILL])
def test_parse_signal_any_spelling_is_its_number(value: int | str) -> None:
    assert parse_signal(value) == 9


def test_parse_signal_realtime_counts_from_its_end() -> None:
    assert parse_signal("SIGRTMIN+3") == signal.SIGRTMIN + 3
    assert parse_signal("RTMAX-1") == signal.SIGRTMAX - 1
    assert parse_signal("RTMIN") == signal.SIGRTMIN


def test_parse_signal_the_first_and_the_last_are_signals() -> None:
    assert (parse_signal(1), parse_signal("RTMAX")) == (1, signal.SIGRTMAX)


@pytest.mark.parametrize(
    "value", [0, -1, 65, "", "NOPE", "SIG", "_DFL", "SIGRTMAX+1", "9" * 5000, "RTMIN+" + "9" * 5000]
)
def test_parse_signal_no_signal_refused(value: int | str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_signal(value, field="stop_signal")
    assert caught.value.field == "stop_signal"


@pytest.mark.parametrize(
    ("blocked", "caught", "expected"),
    [(0, 0, False), (1 << 14, 0, True), (0, 1 << 14, True), (1 << 13, 1 << 13, False)],
)
def test_hears_blocked_or_caught_only(tmp_path: Path, blocked: int, caught: int, expected: bool) -> None:
    status = f"Name:\tx\nSigBlk:\t{blocked:016x}\nSigIgn:\t{1 << 14:016x}\nSigCgt:\t{caught:016x}\n"
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "status").write_text(status)
    assert hears(7, signal.SIGTERM, proc=str(tmp_path)) is expected


def test_hears_ended_process_does_not(tmp_path: Path) -> None:
    assert not hears(7, signal.SIGTERM, proc=str(tmp_path))
