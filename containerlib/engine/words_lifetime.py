"""Checks of what the recipe's words on a container's life take: pure, as in `words`."""

from __future__ import annotations

import re
from typing import Literal, cast

from attrs import evolve

from containerlib.engine import words
from containerlib.errors import InvalidArgument
from containerlib.spec.lifetime import (
    HEALTH_ACTIONS,
    RESTART_POLICIES,
    Check,
    CheckpointOption,
    CommandCheck,
    HealthAction,
    HealthOption,
    HttpCheck,
    RestartOption,
    RestartPolicy,
    TcpCheck,
)
from containerlib.units import check_kind

__all__ = [
    "changed",
    "checkpoints",
    "command_check",
    "connections",
    "health",
    "http_check",
    "restart",
    "tcp_check",
]

_PATH = re.compile(r"/[!-~]*")
_LONGEST_PATH = 2048
_CONNECTIONS = ("refuse", "established", "close")


def restart(policy: RestartPolicy, retries: int | None, *, from_checkpoint: bool = False) -> RestartOption:
    """When to start again."""
    if policy not in RESTART_POLICIES:
        raise InvalidArgument(
            f"{policy!r} is none of {', '.join(map(repr, RESTART_POLICIES))}", field="restart"
        )
    if retries is not None and policy != "on-failure":
        raise InvalidArgument(f'retries are for "on-failure", and not for {policy!r}', field="retries")
    return RestartOption(
        policy,
        None if retries is None else _count(retries, field="retries"),
        from_checkpoint=words.flag(from_checkpoint, field="from_checkpoint"),
    )


def connections(tcp: str) -> Literal["refuse", "established", "close"]:
    """What becomes of them in a checkpoint."""
    if tcp not in _CONNECTIONS:
        raise InvalidArgument(f"{tcp!r} is none of {', '.join(_CONNECTIONS)}", field="tcp")
    return cast(Literal["refuse", "established", "close"], tcp)


def checkpoints(
    every: float | None,
    *,
    keep: int,
    tcp: str,
    external_unix_sockets: bool,
    file_locks: bool,
) -> CheckpointOption | None:
    """How often one is taken, and how many are kept."""
    if every is None:
        return None
    return CheckpointOption(
        _some_time(every, field="every"),
        _count(keep, field="keep"),
        connections(tcp),
        words.flag(external_unix_sockets, field="external_unix_sockets"),
        words.flag(file_locks, field="file_locks"),
    )


def changed(old: RestartOption, policy: RestartPolicy | None, retries: int | None) -> RestartOption | None:
    """Another policy, with the times of the old one; None where none is given."""
    if policy is None:
        if retries is not None:
            raise InvalidArgument('retries are for a policy: write restart="on-failure" too', field="retries")
        return None
    made = restart(policy, retries)
    return evolve(old, policy=made.policy, retries=made.retries)


def health(
    check: Check | None,
    *,
    every: float,
    timeout: float,
    retries: int,
    start_period: float,
    start_every: float,
    on_failure: HealthAction,
) -> HealthOption:
    """How to tell whether a container is well."""
    want = "a check: write cl.command(...), cl.http(port) or cl.tcp(port), or None for none"
    check_kind(check, CommandCheck, HttpCheck, TcpCheck, type(None), want=want, field="healthy_when")
    if on_failure not in HEALTH_ACTIONS:
        known = ", ".join(map(repr, HEALTH_ACTIONS))
        raise InvalidArgument(f"{on_failure!r} is none of {known}", field="on_failure")
    return HealthOption(
        check,
        every=_some_time(every, field="every"),
        timeout=_some_time(timeout, field="timeout"),
        retries=_count(retries, field="retries"),
        start_period=words.seconds(start_period, field="start_period"),
        start_every=_some_time(start_every, field="start_every"),
        on_failure=on_failure,
    )


def command_check(argv: tuple[str, ...]) -> CommandCheck:
    return CommandCheck(words.command(argv, field="command"))


def http_check(port: int, path: str, status: tuple[int, int]) -> HttpCheck:
    if not _PATH.fullmatch(words.text(path, field="path")) or len(path) > _LONGEST_PATH:
        raise InvalidArgument(
            f'{path!r} is not the path of a URL: it begins with "/", and what is not ASCII is %-encoded',
            field="path",
        )
    wanted = "two statuses, the lowest and the highest that are good: write (200, 399)"
    check_kind(status, tuple, want=wanted, field="status")
    if len(status) != 2 or not all(isinstance(code, int) for code in status):
        raise InvalidArgument(f"{status!r} is not {wanted}", field="status")
    if not 100 <= status[0] <= status[1] <= 599:
        raise InvalidArgument(f"{status!r} is no range of statuses from 100 to 599", field="status")
    return HttpCheck(_port(port), path, *status)


def tcp_check(port: int) -> TcpCheck:
    return TcpCheck(_port(port))


def _port(value: int) -> int:
    check_kind(value, int, want="a port, an int", field="port")
    if not 1 <= value < 1 << 16:
        raise InvalidArgument(f"{value} is not a port: from 1 to 65535", field="port")
    return value


def _count(value: int, *, field: str) -> int:
    check_kind(value, int, want="a number, an int", field=field)
    if not 1 <= value < 1 << 31:
        raise InvalidArgument(f"{value} is not how often: at least 1", field=field)
    return value


def _some_time(value: float, *, field: str) -> float:
    if words.seconds(value, field=field) < 0.001:
        raise InvalidArgument(f"{value!r} is shorter than a millisecond", field=field)
    return float(value)
