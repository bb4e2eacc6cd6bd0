"""CRIU's image of a process, without what its supervisor has made of it.

A supervised program gets SIGKILL when its parent ends (PR_SET_PDEATHSIG). Restored, its parent may be a command that
ends at once, ours or another runtime's: so that is no part of a checkpoint. A supervisor's guard is in its place.

Spec: criu.org/Images, images/core.proto; core_entry.thread_core is field 5, its pdeath_sig field 7
"""

from __future__ import annotations

import contextlib
import struct

from containerlib._sys.writing import replace_file
from containerlib.errors import InvalidArgument
from containerlib.runtime.checkpoint.protobuf import without

__all__ = ["forget_parent", "without_parent"]

_HEADER = struct.Struct("<III")
_COMMON, _CORE = 0x54564319, 0x55053847
_PARENT_DEATH = (5, 7)


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
    if len(data) < _HEADER.size:
        raise InvalidArgument("an image is too short")
    common, core, size = _HEADER.unpack_from(data)
    if (common, core) != (_COMMON, _CORE) or len(data) != _HEADER.size + size:
        raise InvalidArgument("this is no image of a process")
    message = without(data[_HEADER.size :], _PARENT_DEATH)
    return _HEADER.pack(common, core, len(message)) + message
