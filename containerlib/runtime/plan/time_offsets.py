"""The clocks of a container: a time namespace, new with offsets, or another's.

    UNSHARE(time)                       its children's clocks, which nobody has entered yet
    TIME_OFFSETS                        only now can they be set
    SETNS(time_for_children)            and from here on they are its own

Spec: runtime-spec config-linux.md#offset-for-time-namespace; time_namespaces(7)
"""

from __future__ import annotations

from collections.abc import Iterator

from containerlib.errors import InvalidArgument
from containerlib.runtime.plan import ops
from containerlib.runtime.plan.namespaces import CLONE_FLAGS
from containerlib.runtime.plan.op import Op

TYPE_CHECKING = False
if TYPE_CHECKING:
    from containerlib.spec.runtime import Linux

__all__ = ["time_ops"]

_CLOCKS = ("monotonic", "boottime")
_NANOSECONDS = 1_000_000_000


def time_ops(linux: Linux) -> Iterator[Op]:
    """A new time namespace; the process is still who made it, and in /proc its own files are its own."""
    origin = "linux.namespaces time"
    yield ops.unshare(CLONE_FLAGS["time"], origin)
    text = "".join(_line(clock, secs, nanosecs) for clock, secs, nanosecs in _offsets(linux))
    if text:
        yield ops.time_offsets(text)
    yield ops.setns("/proc/self/ns/time_for_children", CLONE_FLAGS["time"], origin)


def _offsets(linux: Linux) -> Iterator[tuple[str, int, int]]:
    for clock, offset in (linux.get("timeOffsets") or {}).items():
        field = f"linux.timeOffsets.{clock}"
        if clock not in _CLOCKS:
            raise InvalidArgument(f"a time namespace has {' and '.join(_CLOCKS)}, no {clock!r}", field=field)
        nanosecs = offset.get("nanosecs", 0)
        if not 0 <= nanosecs < _NANOSECONDS:
            raise InvalidArgument(f"{nanosecs} is not within a second", field=f"{field}.nanosecs")
        yield clock, offset.get("secs", 0), nanosecs


def _line(clock: str, secs: int, nanosecs: int) -> str:
    return f"{clock} {secs} {nanosecs}\n"
