"""A step of a container's start as a value, and the plan that many make: what the helper's ops are, and their bytes.

`origin` says which property of config.json an op stands for, since that is what a failed one is reported as:
`mounts[3] /proc: EPERM (Operation not permitted)`. ops.py has a function for each kind.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from containerlib._sys.native import lib
from containerlib._sys.wire import Blob, pack_op, pack_plan
from containerlib.spec.values import NamedTuple

__all__ = ["Hidden", "HiddenText", "Op", "Plan"]

_PREFIX = "CLIB_OP_"
NAMES: dict[int, str] = {
    getattr(lib, name): name.removeprefix(_PREFIX).lower() for name in dir(lib) if name.startswith(_PREFIX)
}
"""Op kind to the word that a StageError names it by."""


class Hidden(bytes):
    """Data of an op that nobody is to read by accident."""

    def __repr__(self) -> str:
        return f"<{len(self)} bytes>"


class HiddenText(str):
    """The same of a string."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<hidden>"


class Op(NamedTuple):
    """One op: see native.cdef.h for what each kind takes. A tuple, since a start makes seventy."""

    kind: int
    origin: str
    numbers: tuple[int, int, int] = (0, 0, 0)
    texts: tuple[str | None, str | None] = (None, None)
    strings: Sequence[str] = ()
    data: bytes = b""
    size: int | None = None
    """Overrides the length of `strings` or `data`: a mount counts its options in pairs."""

    def pack(self, blob: Blob) -> bytes:
        first, second = self.texts
        third = blob.strings(self.strings) if self.strings else blob.data(self.data) if self.data else 0
        size = self.size if self.size is not None else len(self.strings) or len(self.data)
        return pack_op(self.kind, size, self.numbers, (blob.text(first), blob.text(second), third))

    @property
    def name(self) -> str:
        return NAMES[self.kind]


class Plan(NamedTuple):
    """What the helper is given: ops for the container's first process, for when its program runs, for after its end."""

    before: tuple[Op, ...]
    after: tuple[Op, ...] = ()
    clone_flags: int = 0
    started: tuple[Op, ...] = ()

    def pack(self) -> bytes:
        packed = [_packed_ops.get(op) for op in self.before]
        blob = Blob(_packed_ops.base)
        before = [known or op.pack(blob) for known, op in zip(packed, self.before, strict=True)]
        later = [[op.pack(blob) for op in ops] for ops in (self.started, self.after)]
        return pack_plan((before, *later), blob, self.clone_flags)

    @property
    def ops(self) -> tuple[Op, ...]:
        """All of them, in the order in which a failure counts them."""
        return (*self.before, *self.started, *self.after)


class _PackedOps:
    """Ops that are the same in most plans, packed once: all of a plan's bytes but what names one container.

    Their strings are at the beginning of every plan's blob, so their offsets hold in each. The table only grows, up to
    a bound.
    """

    KINDS = frozenset(
        {
            lib.CLIB_OP_UNSHARE,
            lib.CLIB_OP_LOOPBACK_UP,
            lib.CLIB_OP_PROPAGATION,
            lib.CLIB_OP_MOUNT,
            lib.CLIB_OP_MKNOD,
            lib.CLIB_OP_SYMLINK,
            lib.CLIB_OP_MASK,
            lib.CLIB_OP_READONLY,
            lib.CLIB_OP_SYSCTL,
            lib.CLIB_OP_UMASK,
            lib.CLIB_OP_CAP_BOUNDING,
            lib.CLIB_OP_CAPABILITIES,
            lib.CLIB_OP_PARENT_DEATH,
        }
    )
    BOUND = 16384

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._blob = Blob()
        self._packed: dict[Op, bytes] = {}
        self.base = bytes(8)
        """The beginning of a blob in which the offsets of all ops that `get` returned until now hold."""

    def get(self, op: Op) -> bytes | None:
        packed = self._packed.get(op)
        if packed is None and op.kind in self.KINDS and self._blob.size < self.BOUND:
            with self._lock:
                packed = op.pack(self._blob)
                self.base = self._blob.pack()[: self._blob.size]
                self._packed[op] = packed
        return packed


_packed_ops = _PackedOps()
