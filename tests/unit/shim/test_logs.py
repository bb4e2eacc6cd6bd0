"""Reading a log that a shim wrote, and one that a fault cut short."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from containerlib.shim import read_log, read_log_bytes

T = "2026-01-02T03:04:05.678901234Z"


def write(directory: Path, *lines: str) -> str:
    (directory / "log").write_text("".join(f"{line}\n" for line in lines))
    return str(directory)


def texts(directory: str) -> list[tuple[str, str]]:
    return [(record.stream, record.text) for record in read_log(directory)]


def test_read_log_gives_time_stream_and_text(tmp_path: Path) -> None:
    (record,) = read_log(write(tmp_path, f"{T} stderr F hello  world "))
    assert record.time == datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    assert (record.stream, record.text) == ("stderr", "hello  world ")


def test_read_log_joins_parts_of_a_line_by_stream(tmp_path: Path) -> None:
    directory = write(tmp_path, f"{T} stdout P a", f"{T} stderr F x", f"{T} stdout P b", f"{T} stdout F c")
    assert texts(directory) == [("stderr", "x"), ("stdout", "abc")]


def test_read_log_gives_a_last_line_without_newline(tmp_path: Path) -> None:
    assert texts(write(tmp_path, f"{T} stdout P prompt> ")) == [("stdout", "prompt> ")]


def test_read_log_keeps_empty_lines(tmp_path: Path) -> None:
    assert texts(write(tmp_path, f"{T} stdout F ", f"{T} stdout F x")) == [("stdout", ""), ("stdout", "x")]


def test_read_log_passes_over_what_is_no_record(tmp_path: Path) -> None:
    assert texts(write(tmp_path, "garbage", f"{T} stdout F x", f"{T} stdout")) == [("stdout", "x")]


def test_read_log_ignores_a_record_that_is_still_being_written(tmp_path: Path) -> None:
    directory = write(tmp_path, f"{T} stdout F whole")
    with (tmp_path / "log").open("a") as log:
        log.write(f"{T} stdout F tor")
    assert texts(directory) == [("stdout", "whole")]


def test_read_log_since_leaves_out_what_is_older(tmp_path: Path) -> None:
    directory = write(tmp_path, f"{T} stdout F old", f"{T.replace('2026', '2027')} stdout F new")
    assert [r.text for r in read_log(directory, since=datetime(2026, 6, 1, tzinfo=UTC))] == ["new"]


def test_read_log_of_a_container_that_never_wrote_is_empty(tmp_path: Path) -> None:
    assert list(read_log(str(tmp_path))) == []


def test_read_log_bytes_gives_back_what_was_written(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(
        f"{T} stdout P a\n{T} stderr P no newline\n{T} stdout F b\n{T} stdout P ".encode() + b"\xff\x00\n"
    )
    assert read_log_bytes(str(tmp_path)) == (b"ab\n\xff\x00", b"no newline")
