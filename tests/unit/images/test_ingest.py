"""A blob on its way in: read while it grows, and whole only when it is what was promised."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from containerlib.errors import RegistryError, StageError
from containerlib.images.content.ingest import Ingest, Restarted
from containerlib.spec.digest import Digest

DATA = os.urandom(1_000_000)


@pytest.fixture
def ingest(tmp_path: Path) -> Iterator[Ingest]:
    ingest = Ingest(str(tmp_path / "blob"), Digest.of(DATA), len(DATA))
    yield ingest
    ingest.close()


def test_reader_follows_the_writer(ingest: Ingest) -> None:
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.extend(ingest.chunks()))
    reader.start()
    for start in range(0, len(DATA), 65_536):
        ingest.write(DATA[start : start + 65_536])
    ingest.finish()
    reader.join()
    assert b"".join(read) == DATA
    assert b"".join(ingest.chunks()) == DATA


def test_reader_gets_the_failure_instead_of_the_end(ingest: Ingest) -> None:
    ingest.write(DATA)
    ingest.fail(ConnectionError("it broke"))
    with pytest.raises(ConnectionError, match="it broke"):
        list(ingest.chunks())
    with pytest.raises(ConnectionError):
        ingest.write(b"")


def test_reader_of_what_came_wrong_is_told_and_reads_again(ingest: Ingest) -> None:
    ingest.write(bytes(len(DATA)))
    reader = ingest.chunks()
    next(reader)
    ingest.restart()
    with pytest.raises(Restarted):
        next(reader)
    ingest.write(DATA)
    assert ingest.finish() == Digest.of(DATA)
    assert b"".join(ingest.chunks()) == DATA
    assert (ingest.restarts, Path(ingest.path).read_bytes()) == (1, DATA)


@pytest.mark.parametrize(("data", "code"), [(DATA[1:], "SIZE_INVALID"), (bytes(len(DATA)), "DIGEST_INVALID")])
def test_finish_of_other_content_is_refused(ingest: Ingest, data: bytes, code: str) -> None:
    ingest.write(data)
    with pytest.raises(RegistryError) as caught:
        ingest.finish()
    assert caught.value.code == code


def test_write_of_more_than_promised_is_refused_before_it_is_written(ingest: Ingest) -> None:
    ingest.write(DATA)
    with pytest.raises(RegistryError, match="more came"):
        ingest.write(b"x")
    assert Path(ingest.path).stat().st_size == len(DATA)


def test_directory_that_is_missing_is_a_stage_error(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="ENOENT"):
        Ingest(str(tmp_path / "missing" / "blob"))


def test_bytes_before_their_turn_are_neither_read_nor_counted(ingest: Ingest) -> None:
    ingest.write(DATA[:1000])
    ingest.write_ahead(600_000, DATA[600_000:])
    ingest.write_ahead(1000, DATA[1000:400_000])
    assert ingest.written == 1000
    ingest.take(400_000)
    assert ingest.written == 400_000
    ingest.write(DATA[400_000:600_000])
    ingest.take(len(DATA))
    assert ingest.finish() == Digest.of(DATA)
    assert b"".join(ingest.chunks()) == DATA


def test_bytes_beyond_what_was_promised_are_refused_before_their_turn(ingest: Ingest) -> None:
    with pytest.raises(RegistryError, match="more came"):
        ingest.write_ahead(len(DATA) - 1, b"xx")


def test_bytes_that_were_never_written_ahead_are_no_blob(ingest: Ingest) -> None:
    ingest.write_ahead(0, DATA[:10])
    with pytest.raises(StageError, match="EIO"):
        ingest.take(11)
