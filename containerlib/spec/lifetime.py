"""What keeps a container alive, and what says whether it is well: pure values of recipes, and what a shim reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from attrs import asdict, frozen

if TYPE_CHECKING:
    from datetime import datetime

__all__ = [
    "HEALTH_ACTIONS",
    "NO_RESTART",
    "RESTART_POLICIES",
    "Check",
    "CheckpointOption",
    "CommandCheck",
    "Health",
    "HealthAction",
    "HealthOption",
    "HealthResult",
    "HttpCheck",
    "RestartOption",
    "RestartPolicy",
    "TcpCheck",
]

RestartPolicy = Literal["no", "on-failure", "always", "unless-stopped"]
RESTART_POLICIES: tuple[RestartPolicy, ...] = ("no", "on-failure", "always", "unless-stopped")
HealthAction = Literal["none", "kill", "restart", "stop"]
"""What is done when a container becomes unhealthy."""
HEALTH_ACTIONS: tuple[HealthAction, ...] = ("none", "kill", "restart", "stop")


@frozen
class RestartOption:
    """When a container whose program has ended is started again. The times, in seconds, are Docker's."""

    policy: RestartPolicy = "no"
    retries: int | None = None
    """How often in all, with "on-failure"; None: without end."""
    pause: float = 0.1
    """Before the first time; each is twice as long as the one before,"""
    longest: float = 60.0
    """and no longer than this;"""
    calm: float = 10.0
    """one that has run so long begins anew."""
    from_checkpoint: bool = False
    """What is started again goes on from the last of its checkpoints."""

    @classmethod
    def read(cls, value: dict[str, Any]) -> RestartOption:
        return cls(**value)


NO_RESTART = RestartOption()


@frozen
class CheckpointOption:
    """Checkpoints that are taken while a container runs: one each so many seconds, of which the last `keep` are kept.

    The rest is as of any checkpoint.
    """

    every: float
    keep: int = 3
    tcp: Literal["refuse", "established", "close"] = "close"
    external_unix_sockets: bool = False
    file_locks: bool = False


@frozen
class CommandCheck:
    """A command that exits with 0 in a container that is well."""

    argv: tuple[str, ...]


@frozen
class HttpCheck:
    """An HTTP server that answers with a status from `lowest` to `highest`."""

    port: int
    path: str = "/"
    lowest: int = 200
    highest: int = 399


@frozen
class TcpCheck:
    """A server that takes a connection."""

    port: int


Check = CommandCheck | HttpCheck | TcpCheck
_CHECKS: dict[str, type[Check]] = {"command": CommandCheck, "http": HttpCheck, "tcp": TcpCheck}


@frozen
class HealthOption:
    """How a container's health is checked. Times in seconds; `check` None: not at all, whatever the image says."""

    check: Check | None = None
    every: float = 30.0
    timeout: float = 30.0
    retries: int = 3
    start_period: float = 0.0
    start_every: float = 5.0
    on_failure: HealthAction = "none"

    def to_json(self) -> dict[str, Any]:
        kind = next((name for name, kind in _CHECKS.items() if isinstance(self.check, kind)), None)
        return {**asdict(self), "kind": kind}

    @classmethod
    def read(cls, value: dict[str, Any]) -> HealthOption:
        facts = dict(value)
        kind, check = facts.pop("kind"), facts.pop("check")
        if kind == "command":
            return cls(CommandCheck(tuple(check["argv"])), **facts)
        return cls(_CHECKS[kind](**check) if kind else None, **facts)


@frozen
class HealthResult:
    """What one check came to. `exit_code` is 0 where the container is well, and -1 where the check took too long."""

    start: datetime
    end: datetime
    exit_code: int
    output: str


@frozen
class Health:
    """What the checks of a container's health say: `log` has the last five, the oldest first."""

    status: Literal["starting", "healthy", "unhealthy"]
    failing_streak: int
    log: tuple[HealthResult, ...] = ()
