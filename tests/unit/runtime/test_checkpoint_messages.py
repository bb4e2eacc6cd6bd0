"""CRIU's messages as bytes: golden ones, and any."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from containerlib.errors import InvalidArgument
from containerlib.runtime.checkpoint.image import without_parent
from containerlib.runtime.checkpoint.messages import (
    ACCEPTED,
    DUMP,
    FEATURE_CHECK,
    REFUSED,
    RESTORE,
    VERSION,
    Answer,
    read_answer,
    read_request,
    request,
)
from containerlib.runtime.checkpoint.protobuf import FLAG, NUMBER, TEXT, Field, Table, decode, encode

INNER: Table = {"key": Field(1, TEXT), "fd": Field(2, NUMBER)}
TABLE: Table = {
    "number": Field(1, NUMBER),
    "flag": Field(2, FLAG),
    "text": Field(3, TEXT),
    "inner": Field(15, INNER),
    "many": Field(16, TEXT, repeated=True),
    "pairs": Field(70, INNER, repeated=True),
}
numbers = st.integers(-(2**31), 2**32 - 1)
inners = st.fixed_dictionaries({}, optional={"key": st.text(), "fd": numbers})
messages = st.fixed_dictionaries(
    {},
    optional={
        "number": numbers,
        "flag": st.booleans(),
        "text": st.text(),
        "inner": inners,
        "many": st.lists(st.text(), min_size=1),
        "pairs": st.lists(inners, min_size=1),
    },
)

# as `protoc --encode=criu_req rpc.proto` writes them
GOLDEN = [
    (request(VERSION), "080a"),
    (request(FEATURE_CHECK, features={"mem_track": True}), "08092a020801"),
    (request(DUMP, opts={"images_dir_fd": 5, "pid": 17, "leave_running": True}), "08011206080510111801"),
    (request(DUMP, opts={"images_dir_fd": -1}), "0801120b08ffffffffffffffffff01"),
    (request(RESTORE, opts={"ext_mnt": [{"key": "/a", "val": "/b"}]}), "0802120bba01080a022f6112022f62"),
    (request(RESTORE, opts={"inherit_fd": [{"key": "n", "fd": 9}]}), "08021208da01050a016e1009"),
    (request(RESTORE, opts={"network_lock": 2}), "08021203800402"),
    (ACCEPTED, "08061801"),
    (REFUSED, "08061800"),
]


@pytest.mark.parametrize(("data", "golden"), GOLDEN)
def test_request_is_as_protoc_writes_it(data: bytes, golden: str) -> None:
    assert data.hex() == golden


def test_option_that_is_none_is_left_out() -> None:
    assert request(DUMP, opts={"pid": 1, "root": None}) == request(DUMP, opts={"pid": 1})


def test_unknown_option_is_a_mistake_of_ours() -> None:
    with pytest.raises(KeyError):
        request(DUMP, opts={"no_such": 1})


def test_request_is_read_again() -> None:
    opts = {"images_dir_fd": 4, "external": ["net[1]:a", "b"], "cg_root": [{"ctrl": "cpu", "path": "/x"}]}
    assert read_request(request(DUMP, opts=opts)) == {"type": DUMP, "opts": opts}


@given(messages)
def test_any_message_is_read_as_it_was_written(values: dict[str, Any]) -> None:
    assert decode(TABLE, encode(TABLE, values)) == values


@given(messages)
def test_what_a_table_does_not_know_is_passed_over(values: dict[str, Any]) -> None:
    data = encode(TABLE, values)
    known: Table = {"number": TABLE["number"]}
    assert decode(known, data) == {name: value for name, value in values.items() if name == "number"}


@given(st.binary(max_size=64))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        values = decode(TABLE, data)
    except InvalidArgument:
        return
    assert values.keys() <= TABLE.keys()


@pytest.mark.parametrize(
    "data", [b"\x08", b"\x08\x80", b"\x1a\x05abc", b"\x0b", b"\x0a\x01x", b"\x18\x01", b"\x08" + b"\xff" * 11]
)
def test_message_that_is_damaged_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidArgument):
        decode(TABLE, data)


def test_answers_say_what_became_of_it() -> None:
    notified = read_answer(bytes.fromhex("080610012a0e0a0c706f73742d726573746f7265"))
    assert notified == Answer(6, success=True, script="post-restore")
    failed = read_answer(bytes.fromhex("0801100038384a0568656c6c6f"))
    assert failed == Answer(1, success=False, errno=56, message="hello")
    version = read_answer(bytes.fromhex("080a100152080804100220011a00"))
    assert version.version == (4, 2, 1)
    assert read_answer(bytes.fromhex("080910014206080010011801")).features == {
        "mem_track": False,
        "lazy_pages": True,
        "pidfd_store": True,
    }


# ---- what is taken out of an image ----

SIGNAL = encode({"pdeath_sig": Field(8, NUMBER)}, {"pdeath_sig": 9})


def image(message: bytes) -> bytes:
    return struct.pack("<III", 0x54564319, 0x55053847, len(message)) + message


@given(messages, messages)
def test_image_loses_the_signal_of_its_parents_death_and_nothing_else(
    outer: dict[str, Any], inner: dict[str, Any]
) -> None:
    around = encode(TABLE, outer)
    core, thread = encode(TABLE, inner), encode(TABLE, inner) + SIGNAL
    before, after = (
        around + bytes([5 << 3 | 2]) + varint(len(each)) + each + around for each in (thread, core)
    )
    assert without_parent(image(before)) == image(after)
    assert without_parent(image(after)) == image(after)


def varint(value: int) -> bytes:
    return encode({"n": Field(1, NUMBER)}, {"n": value})[1:]


@pytest.mark.parametrize("data", [b"", b"x" * 12, image(b"\x08\x01") + b"x", image(b"\x08")])
def test_what_is_no_image_of_a_process_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidArgument):
        without_parent(data)
