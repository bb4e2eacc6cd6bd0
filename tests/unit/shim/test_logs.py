"""Reading a log that a shim wrote, and one that a fault cut short."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from time import process_time

from containerlib.shim import LogReader, read_log, read_log_bytes
from containerlib.shim.log_records import LONGEST_TEXT

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


def test_read_log_passes_over_a_time_that_is_none(tmp_path: Path) -> None:
    assert texts(write(tmp_path, "2026-13-02T03:04:05.6Z stdout F torn", f"{T} stdout F x")) == [
        ("stdout", "x")
    ]


def test_read_log_since_goes_by_the_time_that_the_record_has(tmp_path: Path) -> None:
    early, late = T, T.replace("2026", "2027")
    directory = write(tmp_path, f"{early} stdout P beg", f"{late} stdout F un")
    (record,) = read_log(directory)
    assert [r.text for r in read_log(directory, since=record.time)] == ["begun"]
    assert list(read_log(directory, since=datetime(2026, 6, 1, tzinfo=UTC))) == []


def test_read_log_ten_thousand_lines_take_no_second(tmp_path: Path) -> None:
    directory = write(tmp_path, *[f"{T} stdout F x"] * 10_000)
    started = process_time()
    assert sum(1 for _ in read_log(directory)) == 10_000
    parsing = process_time() - started
    started = process_time()
    for _ in range(10_000):
        datetime.strptime(T[:26], "%Y-%m-%dT%H:%M:%S.%f").replace(tzinfo=UTC)
    assert parsing < process_time() - started


def test_read_log_bytes_of_the_end_reads_no_more(tmp_path: Path) -> None:
    line = f"{T} stdout F "
    directory = write(tmp_path, *(f"{line}{n:04}" for n in range(1000)))
    with (tmp_path / "log").open("r+b") as log:
        log.write(b"\0" * 8192)  # what is not looked at may be anything
    length = len(line) + 5
    assert read_log_bytes(directory, last=length * 2 + 10) == (b"0998\n0999\n", b"")


def test_log_reader_reads_on_from_where_it_stopped(tmp_path: Path) -> None:
    reader = LogReader(str(tmp_path))
    with closing(reader):
        assert list(reader.read()) == []
        with (tmp_path / "log").open("w") as log:
            log.write(f"{T} stdout F one\n{T} stdout P promp")
            log.flush()
            assert [r.text for r in reader.read()] == ["one"]
            log.write(f"t\n{T} stdout P >\n")
            log.flush()
            assert [r.text for r in reader.read()] == ["prompt>"]
            log.write(f"{T} stdout F \n{T} stdout F two\n")
            log.flush()
            assert [r.text for r in reader.read()] == ["prompt>", "two"]
            assert list(reader.read()) == []


def test_read_log_passes_over_records_of_other_streams_and_tags(tmp_path: Path) -> None:
    lines = (f"{T} stdin F x", f"{T} stdout X x", f"{T} stdout", "2026 stdout F x", f"{T} stdout F whole")
    assert texts(write(tmp_path, *lines)) == [("stdout", "whole")]


def test_read_log_divides_a_long_line_between_characters(tmp_path: Path) -> None:
    def records(content: bytes) -> list[tuple[int, bool, str]]:
        (tmp_path / "log").write_bytes(f"{T} stdout F ".encode() + content + b"\n")
        return [(len(r.text), r.partial, r.text[-1]) for r in read_log(str(tmp_path))]

    assert records(b"x" * LONGEST_TEXT) == [(LONGEST_TEXT, False, "x")]
    assert records(b"x" * (LONGEST_TEXT + 1)) == [(LONGEST_TEXT, True, "x"), (1, False, "x")]
    euro = "\N{EURO SIGN}".encode()
    assert records(b"x" * (LONGEST_TEXT - 1) + euro) == [
        (LONGEST_TEXT - 1, True, "x"),
        (1, False, "\N{EURO SIGN}"),
    ]
    assert records(b"x" * (LONGEST_TEXT - 3) + euro + b"y") == [
        (LONGEST_TEXT - 2, True, "\N{EURO SIGN}"),
        (1, False, "y"),
    ]
    no_text = records(b"\x80" * (LONGEST_TEXT + 1))
    assert [size for size, _, _ in no_text] == [LONGEST_TEXT - 4, 5], (
        "it goes back no further than a character is long"
    )
