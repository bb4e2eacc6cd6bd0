"""A log in several files reads as one, whatever is renamed while it is read."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from containerlib.shim import LogReader, read_log, read_log_bytes
from containerlib.shim.log_files import LogCursor

BEGIN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
MIB = 1 << 20


def stamp(second: int) -> str:
    return (BEGIN + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%S.000000000Z")


def record(content: str | bytes, *, stream: str = "stdout", tag: str = "F", second: int = 0) -> bytes:
    text = content.encode() if isinstance(content, str) else content
    return f"{stamp(second)} {stream} {tag} ".encode() + text + b"\n"


def rotate(directory: Path, *, files: int = 99) -> None:
    """As the shim does: the new file first."""
    (directory / "log.next").touch()
    for number in reversed(range(files - 1)):
        name = f"log.{number}" if number else "log"
        if (directory / name).exists():
            (directory / name).rename(directory / f"log.{number + 1}")
    (directory / "log.next").rename(directory / "log")


def append(directory: Path, *records: bytes) -> None:
    with (directory / "log").open("ab") as log:
        log.write(b"".join(records))


def write_files(directory: Path, files: Sequence[Sequence[bytes]]) -> str:
    for number, records in enumerate(files):
        if number:
            rotate(directory)
        append(directory, *records)
    return str(directory)


def texts(directory: Path, **words: object) -> list[str]:
    return [r.text for r in read_log(str(directory), **words)]  # type: ignore[arg-type]


@st.composite
def written(draw: st.DrawFn) -> tuple[list[list[bytes]], bytes, bytes]:
    """Records of both streams split anywhere, in files split anywhere, and what they stand for."""
    said: dict[str, bytes] = {"stdout": b"", "stderr": b""}
    files: list[list[bytes]] = [[]]
    content = st.binary(max_size=12).map(lambda data: data.replace(b"\n", b""))
    for stream, tag, data, cut in draw(
        st.lists(
            st.tuples(st.sampled_from(["stdout", "stderr"]), st.sampled_from("FP"), content, st.booleans()),
            max_size=30,
        )
    ):
        files[-1].append(record(data, stream=stream, tag=tag))
        said[stream] += data + (b"\n" if tag == "F" else b"")
        if cut:
            files.append([])
    return files, said["stdout"], said["stderr"]


@given(written())
def test_log_split_into_any_records_and_files_reads_back_the_same_bytes(
    given_log: tuple[list[list[bytes]], bytes, bytes],
) -> None:
    files, stdout, stderr = given_log
    with TemporaryDirectory() as name:
        directory = write_files(Path(name), files)
        assert read_log_bytes(directory) == (stdout, stderr)
        for stream, said in (("stdout", stdout), ("stderr", stderr)):
            lines = said.decode(errors="replace").split("\n")
            got = [r for r in read_log(directory) if r.stream == stream]
            assert [r.text for r in got if not r.partial] == lines[:-1]
            assert "".join(r.text for r in got if r.partial) == lines[-1]


@given(written(), st.integers(0, 40), st.sampled_from([None, "stdout", "stderr"]))
def test_log_tail_is_the_end_of_all_records(
    given_log: tuple[list[list[bytes]], bytes, bytes], count: int, stream: str | None
) -> None:
    with TemporaryDirectory() as name:
        directory = Path(write_files(Path(name), given_log[0]))
        everything = texts(directory, stream=stream)
        assert texts(directory, tail=count, stream=stream) == everything[max(0, len(everything) - count) :]


@given(written(), st.data())
def test_log_reader_misses_nothing_and_reads_nothing_twice_over_any_rotations(
    given_log: tuple[list[list[bytes]], bytes, bytes], data: st.DataObject
) -> None:
    files, _, _ = given_log
    with TemporaryDirectory() as name:
        directory = Path(name)
        append(directory)
        with closing(LogReader(name)) as reader:
            seen = []
            for number, records in enumerate(files):
                if number:
                    rotate(directory)
                for each in records:
                    append(directory, each)
                    if data.draw(st.booleans()):
                        seen += [r for r in reader.read() if not r.partial]
            seen += [r for r in reader.read() if not r.partial]
        assert seen == [r for r in read_log(name) if not r.partial]


def test_log_reader_reads_a_file_that_was_removed_meanwhile_to_its_end(tmp_path: Path) -> None:
    append(tmp_path, record("one"))
    with closing(LogReader(str(tmp_path))) as reader:
        assert [r.text for r in reader.read()] == ["one"]
        append(tmp_path, record("two"))
        rotate(tmp_path, files=1)
        append(tmp_path, record("three"))
        assert [r.text for r in reader.read()] == ["two", "three"]


class _Rotating(LogCursor):
    """Whose log is written to and rotated between the end that was seen of a file and the look for a newer one."""

    def _look(self) -> bool:
        directory = Path(self._directory)
        if self._fds and not (directory / "log.1").exists():
            append(directory, record("last"))
            rotate(directory)
            append(directory, record("new"))
        return super()._look()


def test_log_bytes_that_come_before_a_rotation_and_after_a_look_are_read(tmp_path: Path) -> None:
    append(tmp_path, record("first"))
    with closing(_Rotating(str(tmp_path))) as cursor:
        assert b"".join(cursor.read()) == record("first") + record("last") + record("new")


def test_log_reader_between_two_renames_waits_for_the_new_file(tmp_path: Path) -> None:
    append(tmp_path, record("one"))
    with closing(LogReader(str(tmp_path))) as reader:
        (tmp_path / "log").rename(tmp_path / "log.1")
        assert [r.text for r in reader.read()] == ["one"]
        append(tmp_path, record("two"))
        assert [r.text for r in reader.read()] == ["two"]


def test_log_files_that_are_not_the_logs_are_left_alone(tmp_path: Path) -> None:
    append(tmp_path, record("own"))
    for name in ("log.next", "log.", "log.1.gz", "runtime.log", "logs"):
        (tmp_path / name).write_bytes(record("foreign"))
    assert texts(tmp_path) == ["own"]


def test_log_tail_reads_no_more_than_it_needs(tmp_path: Path) -> None:
    """What is far before the tail may be anything."""
    append(tmp_path, b"\xff" * (3 * MIB) + b"\n", *(record("x" * 100) for _ in range(20_000)), record("last"))
    with closing(LogReader(str(tmp_path))) as reader:
        cursor = reader._cursor
        cursor.skip_to_last(1, lambda line: line[38:39] == b"F", more=MIB)
        assert sum(map(len, cursor.read(newer=False))) < 2 * MIB
    assert texts(tmp_path, tail=1) == ["last"]


def test_log_tail_of_a_file_cut_in_a_record_does_not_take_its_rest_for_one(tmp_path: Path) -> None:
    """A line that has a record's form: from its second half on it would be another stream's."""
    forged = record("evil", stream="stderr").rstrip(b"\n").decode()
    append(tmp_path, record("x" * 50 + forged), record("end"))
    size = (tmp_path / "log").stat().st_size
    last = size - len(record("x" * 50)) + 1
    assert read_log_bytes(str(tmp_path), last=last) == (b"end\n", b"")


def test_log_line_longer_than_a_mebibyte_is_several_records_of_bounded_memory(tmp_path: Path) -> None:
    part = record("\N{EURO SIGN}" * 20_000, tag="P")
    with (tmp_path / "log").open("wb") as log:
        for _ in range(640):
            log.write(part)
        log.write(record("end"))
    tracemalloc.start()
    try:
        count, last = 0, None
        for each in read_log(str(tmp_path)):
            assert "\N{REPLACEMENT CHARACTER}" not in each.text
            assert len(each.text.encode()) <= MIB
            assert last is None or last.partial
            count, last = count + len(each.text), each
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert last is not None
    assert (count, last.partial) == (640 * 20_000 + 3, False)
    assert peak < 16 * MIB


def test_log_without_newlines_at_all_takes_bounded_memory(tmp_path: Path) -> None:
    """What a disk that was damaged may have left."""
    with (tmp_path / "log").open("wb") as log:
        log.truncate(64 * MIB)
        log.seek(0, 2)
        log.write(b"\n" + record("after"))
    tracemalloc.start()
    try:
        assert texts(tmp_path) == ["after"]
        assert texts(tmp_path, tail=5) == ["after"]
        assert tracemalloc.get_traced_memory()[1] < 32 * MIB
    finally:
        tracemalloc.stop()


@pytest.fixture
def clocked(tmp_path: Path) -> Path:
    """Seconds 0 to 9, after which the clock was set back to 5."""
    seconds = [*range(10), *range(5, 8)]
    write_files(tmp_path, [[record(f"{n}", second=second)] for n, second in enumerate(seconds)])
    return tmp_path


def at(second: float) -> datetime:
    return BEGIN + timedelta(seconds=second)


def test_log_since_and_until_are_of_each_record_where_the_clock_was_set_back(clocked: Path) -> None:
    assert texts(clocked, since=at(8)) == ["8", "9"]
    assert texts(clocked, until=at(5)) == ["0", "1", "2", "3", "4", "5", "10"]
    assert texts(clocked, since=at(6), until=at(7)) == ["6", "7", "11", "12"]
    assert texts(clocked, since=at(6), until=at(7), tail=3) == ["7", "11", "12"]


def test_log_since_in_another_time_zone_is_the_same_moment(clocked: Path) -> None:
    there = at(9).astimezone(timezone(timedelta(hours=-9, minutes=-30)))
    assert texts(clocked, since=there) == texts(clocked, since=there, tail=4) == ["9"]
