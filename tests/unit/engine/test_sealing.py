"""Encrypted checkpoints: what was written comes back, and nothing that was changed does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from containerlib.engine.checkpoints.sealing import KEY_BYTES, read_sealed, write_sealed
from containerlib.errors import InvalidArgument

KEY = bytes(range(KEY_BYTES))
PIECE, HEAD = (1 << 20) + 16, 22 + 7


def sealed(path: Path, *chunks: bytes) -> Path:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        write_sealed(chunks, KEY, file)
    finally:
        os.close(file)
    return path


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20])
def test_what_was_written_comes_back(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    path = sealed(tmp_path / "file", data[: size // 3], data[size // 3 :])
    assert b"".join(read_sealed(str(path), KEY)) == data


@given(chunks=st.lists(st.binary(max_size=100)))
def test_chunks_of_any_length_come_back(
    tmp_path_factory: pytest.TempPathFactory, chunks: list[bytes]
) -> None:
    path = sealed(tmp_path_factory.getbasetemp() / "chunks", *chunks)
    assert b"".join(read_sealed(str(path), KEY)) == b"".join(chunks)


def test_same_data_is_never_the_same_file(tmp_path: Path) -> None:
    one, other = (sealed(tmp_path / name, b"data").read_bytes() for name in "ab")
    assert one[:22] == other[:22]
    assert one[22:] != other[22:]


def damages(data: bytes) -> dict[str, bytes]:
    first, second = data[HEAD : HEAD + PIECE], data[HEAD + PIECE : HEAD + 2 * PIECE]
    return {
        "another start": b"x" + data[1:],
        "another nonce": data[: HEAD - 1] + bytes([data[HEAD - 1] ^ 1]) + data[HEAD:],
        "a bit": data[:-20] + bytes([data[-20] ^ 1]) + data[-19:],
        "cut within a piece": data[:-1],
        "cut behind a piece": data[: HEAD + 2 * PIECE],
        "exchanged": data[:HEAD] + second + first + data[HEAD + 2 * PIECE :],
        "left out": data[:HEAD] + second + data[HEAD + 2 * PIECE :],
        "more behind": data + second,
        "nothing": data[:HEAD],
    }


@pytest.mark.parametrize("damage", damages(bytes(4 << 20)))
def test_damaged_file_is_refused(tmp_path: Path, damage: str) -> None:
    path = sealed(tmp_path / "file", os.urandom((2 << 20) + 100))
    path.write_bytes(damages(path.read_bytes())[damage])
    with pytest.raises(InvalidArgument):
        list(read_sealed(str(path), KEY))


def test_other_key_is_refused(tmp_path: Path) -> None:
    path = sealed(tmp_path / "file", b"data")
    with pytest.raises(InvalidArgument, match="another key"):
        list(read_sealed(str(path), bytes(KEY_BYTES)))
