"""CRIU's images: messages are read, and the image of a process is rewritten.

    magic of all images     u32, little-endian
    magic of its kind       u32
    size of a message       u32
    the message             and in some kinds more sizes and messages, to the end

A supervised program gets SIGKILL when its parent ends (PR_SET_PDEATHSIG). Restored, its parent may be a command that
ends at once, ours or another runtime's: so that is no part of a checkpoint. A supervisor's guard is in its place.

Spec: criu.org/Images, images/core.proto; core_entry.thread_core is field 5, its pdeath_sig field 8
"""

from __future__ import annotations

import contextlib
import os
import struct

from containerlib._sys.writing import replace_file
from containerlib.errors import InvalidArgument, StageError
from containerlib.runtime.checkpoint.protobuf import without

__all__ = ["forget_parent", "read_messages", "without_parent"]

_MAGICS, _SIZE = struct.Struct("<II"), struct.Struct("<I")
_COMMON, _CORE = 0x54564319, 0x55053847
_PARENT_DEATH = (5, 8)


def read_messages(path: str, kind: int) -> list[bytes]:
    """The messages of an image whose magic is `kind`. Raises: InvalidArgument(field="checkpoint"); StageError."""
    try:
        with open(path, "rb", buffering=0) as file:
            data = file.readall()
    except OSError as error:
        raise StageError("checkpoint", error.errno or 0, path) from error
    return _messages(data, kind, os.path.basename(path))  # noqa: PTH119 - a str


def forget_parent(images: str, pid: int) -> None:
    """Rewrites the image of the process that has `pid` in its pid namespace. Raises: StageError."""
    name = f"core-{pid}.img"
    with contextlib.suppress(FileNotFoundError, InvalidArgument):  # of another form: it is CRIU's to read
        with open(f"{images}/{name}", "rb", buffering=0) as file:
            data = file.readall()
        changed = without_parent(data)
        if changed != data:
            replace_file(images, name, changed)


def without_parent(data: bytes) -> bytes:
    """The image without the signal. Raises: InvalidArgument for what is none of a process."""
    messages = _messages(data, _CORE, "an image")
    if len(messages) != 1:
        raise InvalidArgument("an image of a process has one message", field="checkpoint")
    message = without(messages[0], _PARENT_DEATH)
    return _MAGICS.pack(_COMMON, _CORE) + _SIZE.pack(len(message)) + message


def _messages(data: bytes, kind: int, name: str) -> list[bytes]:
    found, at = [], _MAGICS.size
    whole = len(data) >= at and _MAGICS.unpack_from(data) == (_COMMON, kind)
    while whole and at < len(data):
        begin = at + _SIZE.size
        at = begin + _SIZE.unpack_from(data, at)[0] if begin <= len(data) else begin
        found.append(data[begin:at])
        whole = at <= len(data)
    if not whole:
        raise InvalidArgument(f"{name} is no CRIU image of its kind, or is cut off", field="checkpoint")
    return found
