"""What a shim is told of its container's life, and what it tells: small files of fixed layout in its directory.

    write_lifetime(directory, lifetime, check)      # before its start; `policy` again whenever it is to change
    read_health(directory)
    restart_count(directory)
    read_ends(directory)

    policy     struct clib_policy: when to start again, what to check and how often, whether to remove all in the end
    keeper     the plan of a program that takes a checkpoint
    check      the plan of a command that is to be run in the container, or the HTTP request that is to be sent
    health     struct clib_health: what the last checks came to
    restarts   how often it was started again, how it ended last, and when it starts again
    ends       struct clib_ends: how those of its runs ended that another one follows, the last of them
    stopped    somebody has stopped it: it is not started again, by whomever

Each is replaced as a whole. See native.cdef.h and _native/shim/life.c.
"""

from __future__ import annotations

import os
import struct
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from containerlib._sys.native import lib
from containerlib._sys.writing import replace_file
from containerlib.runtime.plan.op import Plan
from containerlib.runtime.records import read_record
from containerlib.spec.lifetime import (
    NO_RESTART,
    CommandCheck,
    Health,
    HealthOption,
    HealthResult,
    HttpCheck,
    RestartOption,
    TcpCheck,
)
from containerlib.spec.values import frozen

if TYPE_CHECKING:
    from containerlib.runtime.plan.hooks import Program

__all__ = [
    "End",
    "Ends",
    "Lifetime",
    "policy_bytes",
    "read_ends",
    "read_health",
    "restart_count",
    "write_lifetime",
    "write_policy",
]

_POLICY = struct.Struct("<22I")
_HEALTH = struct.Struct("<6I")
_RESULT = struct.Struct(f"<qqiiiI{lib.CLIB_HEALTH_OUTPUT}s")
_ENDS = struct.Struct("<4Iq")
_END = struct.Struct("<qq3i4x")
_RESTARTS = {
    "no": lib.CLIB_RESTART_NO,
    "on-failure": lib.CLIB_RESTART_ON_FAILURE,
    "always": lib.CLIB_RESTART_ALWAYS,
    "unless-stopped": lib.CLIB_RESTART_UNLESS_STOPPED,
}
_ACTIONS = {
    "none": lib.CLIB_UNHEALTHY_NONE,
    "kill": lib.CLIB_UNHEALTHY_KILL,
    "restart": lib.CLIB_UNHEALTHY_RESTART,
    "stop": lib.CLIB_UNHEALTHY_STOP,
}
_STATUS: dict[int, Literal["starting", "healthy", "unhealthy"]] = {
    lib.CLIB_HEALTH_STARTING: "starting",
    lib.CLIB_HEALTH_HEALTHY: "healthy",
    lib.CLIB_HEALTH_UNHEALTHY: "unhealthy",
}
_MAX_U32 = 2**32 - 1


_NO_HEALTH = HealthOption()


@frozen
class Lifetime:
    """All that a shim is told. `grace`: seconds between the stop signal and SIGKILL."""

    restart: RestartOption = NO_RESTART
    health: HealthOption = _NO_HEALTH
    remove: bool = False
    stop_signal: int = 15
    grace: float = 10.0
    checkpoint_every: float = 0.0
    """Seconds between the checkpoints that the program `keeper` takes; 0: none is taken."""

    @property
    def is_plain(self) -> bool:
        """Whether there is nothing that a shim would do by itself."""
        ends = self.restart.policy == "no" and not self.remove
        return ends and self.health.check is None and not self.checkpoint_every


@frozen
class End:
    """How a run ended. `began_ns`: the time of its `started`, 0 where it could not be started."""

    began_ns: int
    ended_ns: int
    exit_code: int
    signal: int
    oom_kills: int


@frozen
class Ends:
    """Of runs that another one followed: how many there were, and the `last` of them, the oldest first.

    `first_ns`: when the first of all ended, which no other supervisor's has.
    """

    total: int
    first_ns: int
    last: tuple[End, ...]


def policy_bytes(lifetime: Lifetime) -> bytes:
    """`struct clib_policy`, as short as shims know it that take no checkpoints."""
    restart, health = lifetime.restart, lifetime.health
    check, port, lowest, highest = _check(health)
    packed = _POLICY.pack(
        lib.CLIB_POLICY_MAGIC,
        lib.CLIB_LIFE_VERSION,
        _RESTARTS[restart.policy],
        restart.retries or 0,
        *map(_milliseconds, (restart.pause, restart.longest, restart.calm)),
        int(lifetime.remove),
        lifetime.stop_signal,
        _milliseconds(lifetime.grace),
        check,
        _ACTIONS[health.on_failure],
        health.retries,
        port,
        lowest,
        highest,
        *map(_milliseconds, (health.every, health.timeout, health.start_period, health.start_every)),
        _milliseconds(lifetime.checkpoint_every),
        int(restart.from_checkpoint),
    )
    return packed if any(packed[lib.CLIB_POLICY_LEAST :]) else packed[: lib.CLIB_POLICY_LEAST]


def write_lifetime(
    directory: str, lifetime: Lifetime, check: bytes = b"", keeper: Program | None = None
) -> None:
    """`check`: the packed plan of a command's check; `keeper`: what takes a checkpoint.

    Raises: StageError(stage="state").
    """
    if isinstance(lifetime.health.check, HttpCheck):
        check = _request(lifetime.health.check)
    if check:
        replace_file(directory, "check", check)
    if keeper is not None:
        replace_file(directory, "keeper", Plan((keeper.op("keeper"),)).pack())
    write_policy(directory, lifetime)


def write_policy(directory: str, lifetime: Lifetime) -> None:
    """Also while the container runs: its shim reads it when there is something to decide."""
    replace_file(directory, "policy", policy_bytes(lifetime))


def read_health(directory: str) -> Health | None:
    """What the last checks came to; None before the first start, and where nothing is checked."""
    try:
        with open(f"{directory}/health", "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return None
    magic, version, status, streak, count, _ = _HEALTH.unpack_from(data)
    if (magic, version) != (lib.CLIB_HEALTH_MAGIC, lib.CLIB_LIFE_VERSION):
        return None
    results = (_RESULT.unpack_from(data, _HEALTH.size + i * _RESULT.size) for i in range(count))
    return Health(_STATUS[status], streak, tuple(map(_result, results)))


def read_ends(directory: str) -> Ends | None:
    """None where no run was followed by another, and of a shim of an older release."""
    try:
        with open(f"{directory}/ends", "rb", buffering=0) as file:
            data = file.read()
    except FileNotFoundError:
        return None
    magic, version, total, count, first = _ENDS.unpack_from(data)
    if (magic, version) != (lib.CLIB_ENDS_MAGIC, lib.CLIB_ENDS_VERSION):
        return None
    places = range(_ENDS.size, _ENDS.size + count * _END.size, _END.size)
    return Ends(total, first, tuple(End(*_END.unpack_from(data, place)) for place in places))


def restart_count(directory: str) -> int:
    """How often its shim has started it again."""
    record = read_record(directory, "restarts")
    return record.value[0] if record is not None else 0


def _check(health: HealthOption) -> tuple[int, int, int, int]:
    match health.check:
        case None:
            return (lib.CLIB_CHECK_NONE, 0, 0, 0)
        case CommandCheck():
            return (lib.CLIB_CHECK_COMMAND, 0, 0, 0)
        case HttpCheck(port, _, lowest, highest):
            return (lib.CLIB_CHECK_HTTP, port, lowest, highest)
        case TcpCheck(port):
            return (lib.CLIB_CHECK_TCP, port, 0, 0)


def _request(check: HttpCheck) -> bytes:
    """Spec: RFC 9112 section 3"""
    words = ("User-Agent: containerlib", "Accept: */*", "Connection: close", "", "")
    host = f"Host: localhost:{check.port}"
    return "\r\n".join((f"GET {check.path} HTTP/1.1", host, *words)).encode()


def _milliseconds(seconds: float) -> int:
    return min(max(round(seconds * 1000), 1 if seconds > 0 else 0), _MAX_U32)


def _result(facts: tuple[Any, ...]) -> HealthResult:
    start, end, code, stage, err, size, output = facts
    text = output[:size].decode(errors="replace")
    return HealthResult(_time(start), _time(end), code, text + _reason(code, stage, err))


def _reason(code: int, stage: int, err: int) -> str:
    if stage:
        return f"the check could not be made: {os.strerror(err)}"
    if err:
        return f"nobody answers: {os.strerror(err)}"
    return "the check took longer than its time-out" if code == -1 else ""


def _time(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC)
