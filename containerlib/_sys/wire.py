"""Messages on a shim's control socket, and the records that are the same bytes on disk.

The conversation is drawn in _native/include/wire.h; the numbers come from native.cdef.h through the extension.
"""

from __future__ import annotations

import array
import os
import socket
import struct
from collections.abc import Sequence
from enum import IntEnum

from containerlib._sys.native import lib
from containerlib.errors import InvalidArgument, Unavailable
from containerlib.spec.values import frozen

__all__ = [
    "AttachFlag",
    "Blob",
    "Kind",
    "Launch",
    "Message",
    "Stage",
    "pack_op",
    "pack_plan",
    "receive",
    "send",
]

_MESSAGE = struct.Struct("<II4i2q")
_OP = struct.Struct("<IIQQQIIII")
_PLAN = struct.Struct("<IIQIIIIII")
_INT = struct.calcsize("i")


class Kind(IntEnum):
    """What a message says."""

    LAUNCH = lib.CLIB_MESSAGE_LAUNCH
    START = lib.CLIB_MESSAGE_START
    SIGNAL = lib.CLIB_MESSAGE_SIGNAL
    RESIZE = lib.CLIB_MESSAGE_RESIZE
    WAIT = lib.CLIB_MESSAGE_WAIT
    STATE = lib.CLIB_MESSAGE_STATE
    CREATED = lib.CLIB_MESSAGE_CREATED
    STARTED = lib.CLIB_MESSAGE_STARTED
    FAILED = lib.CLIB_MESSAGE_FAILED
    EXITED = lib.CLIB_MESSAGE_EXITED
    DONE = lib.CLIB_MESSAGE_DONE
    TERMINAL = lib.CLIB_MESSAGE_TERMINAL
    ATTACH = lib.CLIB_MESSAGE_ATTACH
    END_INPUT = lib.CLIB_MESSAGE_END_INPUT
    LINKS = lib.CLIB_MESSAGE_LINKS
    TRACED = lib.CLIB_MESSAGE_TRACED


class Launch(IntEnum):
    """Flags of a LAUNCH message; those up to STDERR, INPUT and RESTORE each bring a descriptor, in this order."""

    PLAN = lib.CLIB_LAUNCH_PLAN
    DIRECTORY = lib.CLIB_LAUNCH_DIRECTORY
    OWNER = lib.CLIB_LAUNCH_OWNER
    TARGET = lib.CLIB_LAUNCH_TARGET
    CGROUP = lib.CLIB_LAUNCH_CGROUP
    STDIN = lib.CLIB_LAUNCH_STDIN
    STDOUT = lib.CLIB_LAUNCH_STDOUT
    STDERR = lib.CLIB_LAUNCH_STDERR
    LOG = lib.CLIB_LAUNCH_LOG
    TERMINAL = lib.CLIB_LAUNCH_TERMINAL
    UNSUPERVISED = lib.CLIB_LAUNCH_UNSUPERVISED
    PRESERVE = lib.CLIB_LAUNCH_PRESERVE
    CHORES = lib.CLIB_LAUNCH_CHORES
    FOREIGN = lib.CLIB_LAUNCH_FOREIGN
    INPUT = lib.CLIB_LAUNCH_INPUT
    LAYERS = lib.CLIB_LAUNCH_LAYERS
    FILTER = lib.CLIB_LAUNCH_FILTER
    RESTORE = lib.CLIB_LAUNCH_RESTORE


class AttachFlag(IntEnum):
    """Streams of an ATTACH message; STDOUT and STDERR each bring a descriptor."""

    STDIN = lib.CLIB_ATTACH_STDIN
    STDOUT = lib.CLIB_ATTACH_STDOUT
    STDERR = lib.CLIB_ATTACH_STDERR


class Stage(IntEnum):
    """Where a launch failed."""

    SPAWN = lib.CLIB_STAGE_SPAWN
    LAUNCH = lib.CLIB_STAGE_LAUNCH
    SOCKET = lib.CLIB_STAGE_SOCKET
    STDIO = lib.CLIB_STAGE_STDIO
    NAMESPACE = lib.CLIB_STAGE_NAMESPACE
    CLONE = lib.CLIB_STAGE_CLONE
    OP = lib.CLIB_STAGE_OP
    EXEC = lib.CLIB_STAGE_EXEC
    LOST = lib.CLIB_STAGE_LOST
    HOOK = lib.CLIB_STAGE_HOOK
    RUNTIME = lib.CLIB_STAGE_RUNTIME
    RECORD = lib.CLIB_STAGE_RECORD


@frozen
class Message:
    """One message or record."""

    kind: int
    value: tuple[int, int, int, int] = (0, 0, 0, 0)
    number: tuple[int, int] = (0, 0)

    def pack(self) -> bytes:
        return _MESSAGE.pack(self.kind, lib.CLIB_PROTOCOL_VERSION, *self.value, *self.number)

    @classmethod
    def unpack(cls, data: bytes) -> Message | None:
        """The message in `data`; None where it is not one (a record that is just being written)."""
        if len(data) != _MESSAGE.size:
            return None
        kind, version, a, b, c, d, x, y = _MESSAGE.unpack(data)
        if version != lib.CLIB_PROTOCOL_VERSION:
            raise Unavailable(
                f"a supervisor speaks protocol {version}, this containerlib {lib.CLIB_PROTOCOL_VERSION}"
            )
        return cls(kind, (a, b, c, d), (x, y))


def send(channel: socket.socket, message: Message, fds: Sequence[int] = ()) -> None:
    """Sends `message` with `fds`, which stay the caller's. Raises: OSError."""
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    channel.sendmsg([message.pack()], rights, socket.MSG_NOSIGNAL)


def receive(channel: socket.socket) -> tuple[Message, list[int]] | None:
    """The next message and its descriptors, which are the caller's; None at end of file. Raises: OSError."""
    data, ancillary, _, _ = channel.recvmsg(_MESSAGE.size, socket.CMSG_SPACE(_INT), socket.MSG_CMSG_CLOEXEC)
    fds = array.array("i")
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(content[: len(content) - len(content) % _INT])
    message = Message.unpack(data) if data else None
    if message is None:
        for fd in fds:
            os.close(fd)
        return None
    return message, list(fds)


def _terminated(texts: Sequence[str]) -> bytes:
    data = os.fsencode("\0".join(texts)) + b"\0"
    if data.count(0) != len(texts):  # it would make one text into two, and shift those behind it
        raise InvalidArgument(f"a NUL byte in {next(text for text in texts if chr(0) in text)!r}")
    return data


class Blob:
    """The strings and data behind a plan's ops; offset 0 says "none". It begins with what `base` holds."""

    def __init__(self, base: bytes = bytes(8)) -> None:
        self._parts = [base]
        self._known: dict[bytes, int] = {}
        self.size = len(base)

    def text(self, text: str | None) -> int:
        """The offset of `text`, NUL-terminated."""
        return 0 if text is None else self.data(_terminated([text]), share=True)

    def strings(self, texts: Sequence[str]) -> int:
        """The offset of a list of NUL-terminated strings."""
        return self.data(_terminated(texts)) if texts else 0

    def data(self, data: bytes, *, share: bool = False) -> int:
        """The offset of `data`, aligned to 8 bytes."""
        if share and data in self._known:
            return self._known[data]
        offset = self.size
        padded = data + bytes(-len(data) % 8)
        self._parts.append(padded)
        self.size += len(padded)
        if share:
            self._known[data] = offset
        return offset

    def pack(self) -> bytes:
        return b"".join([*self._parts, bytes(8)])


def pack_op(kind: int, size: int, numbers: tuple[int, int, int], texts: tuple[int, int, int]) -> bytes:
    """One op, as native.cdef.h lays it out. Numbers are taken modulo 2**64."""
    a, b, c = numbers
    mask = 0xFFFFFFFFFFFFFFFF
    return _OP.pack(kind, size, a & mask, b & mask, c & mask, *texts, 0)


def pack_plan(sections: Sequence[Sequence[bytes]], blob: Blob, clone_flags: int) -> bytes:
    """A whole plan; `sections` are its ops before, at and after the program's run."""
    data = blob.pack()
    counts = [len(ops) for ops in sections]
    offset = _PLAN.size + _OP.size * sum(counts)
    header = _PLAN.pack(
        lib.CLIB_PLAN_MAGIC,
        lib.CLIB_PLAN_VERSION,
        clone_flags,
        *counts,
        offset,
        len(data),
        0,
    )
    return b"".join([header, *(op for ops in sections for op in ops), data])
