"""The wire's bytes: what the helper reads is what native.cdef.h says."""

from __future__ import annotations

import os
import socket

import pytest

from containerlib._sys.native import ffi, lib
from containerlib._sys.wire import Blob, Kind, Message, receive, send
from containerlib.errors import Unavailable
from containerlib.runtime.plan import ops
from containerlib.runtime.plan.op import NAMES, Plan


@pytest.fixture
def pair() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def test_message_packs_as_the_struct_of_the_contract() -> None:
    message = Message(Kind.EXITED, (1, -2, 3, 4), (-5, 1 << 40))
    struct = ffi.from_buffer("struct clib_message *", message.pack())
    assert struct.kind == lib.CLIB_MESSAGE_EXITED
    assert struct.version == lib.CLIB_PROTOCOL_VERSION
    assert list(struct.value) == [1, -2, 3, 4]
    assert list(struct.number) == [-5, 1 << 40]
    assert Message.unpack(message.pack()) == message


def test_message_of_another_protocol_is_unavailable_and_names_both() -> None:
    data = bytearray(Message(Kind.EXITED).pack())
    data[4] = 9
    with pytest.raises(Unavailable, match="9"):
        Message.unpack(bytes(data))


def test_message_cut_short_is_none() -> None:
    assert Message.unpack(Message(Kind.EXITED).pack()[:-1]) is None
    assert Message.unpack(b"") is None


def test_send_and_receive_carry_descriptors(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    with ours, theirs:
        read, write = os.pipe()
        send(ours, Message(Kind.TERMINAL), [write])
        os.close(write)
        received = receive(theirs)
        assert received is not None
        message, (copy,) = received
        assert message.kind == Kind.TERMINAL
        os.write(copy, b"x")
        os.close(copy)
        assert os.read(read, 2) == b"x"
        os.close(read)


def test_receive_at_the_end_is_none(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    ours.close()
    with theirs:
        assert receive(theirs) is None


def test_blob_shares_equal_strings_and_aligns_data() -> None:
    blob = Blob()
    first, again, data = blob.text("abc"), blob.text("abc"), blob.data(b"12345678")
    assert first == again != 0
    assert data % 8 == 0
    assert blob.text(None) == 0
    packed = blob.pack()
    assert packed[first : first + 4] == b"abc\0"
    assert packed[data : data + 8] == b"12345678"


def test_plan_packs_as_the_structs_of_the_contract() -> None:
    plan = Plan(
        (ops.mount("proc", "/proc", "x", options=[("source", "proc")], attributes=14),),
        (ops.cgroup_remove("/g"),),
        7,
    )
    data = plan.pack()
    header = ffi.from_buffer("struct clib_plan *", data)
    assert (header.magic, header.version, header.clone_flags) == (
        lib.CLIB_PLAN_MAGIC,
        lib.CLIB_PLAN_VERSION,
        7,
    )
    assert (header.before_count, header.after_count) == (1, 1)
    assert header.blob_offset + header.blob_size == len(data)
    op = ffi.cast("struct clib_op *", header + 1)
    assert (op.kind, op.size, op.number[0]) == (lib.CLIB_OP_MOUNT, 1, 14)
    texts = [data[header.blob_offset + offset :].split(b"\0")[0] for offset in op.text]
    assert texts == [b"proc", b"/proc", b"source"]


@pytest.mark.parametrize("name", [name for name in dir(lib) if name.startswith("CLIB_OP_")])
def test_every_op_has_a_name(name: str) -> None:
    assert NAMES[getattr(lib, name)]
