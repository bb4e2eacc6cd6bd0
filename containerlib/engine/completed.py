"""What a command left: its exit code and output."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import field, frozen

from containerlib.errors import ExitError
from containerlib.spec.status import ExitStatus

__all__ = ["Completed", "checked"]


def _shorten(data: bytes) -> str:
    return repr(data) if len(data) <= 120 else f"{data[:120]!r}... ({len(data)} bytes)"


@frozen
class Completed:
    """A command that ended.

    `exit_code` is the program's own, or 128 + the signal's number. `stdout` and `stderr` are the bytes that
    it wrote; with a terminal both are in `stdout`.
    """

    exit_code: int
    stdout: bytes = field(default=b"", repr=_shorten)
    stderr: bytes = field(default=b"", repr=_shorten)
    status: ExitStatus = field(default=ExitStatus(0), repr=False)
    """The signal, the out-of-memory mark and the time of the end."""

    @property
    def text(self) -> str:
        """`stdout` as UTF-8; what is not is replaced."""
        return self.stdout.decode(errors="replace")

    def _repr_html_(self) -> str:
        from containerlib.spec.html import details, output  # noqa: PLC0415 - for notebooks alone

        code = f"{self.exit_code}{', out of memory' if self.status.oom_killed else ''}"
        return details({"exit code": code, "stdout": output(self.stdout), "stderr": output(self.stderr)})


def checked(completed: Completed, argv: Sequence[str], *, check: bool) -> Completed:
    """Raises ExitError where `check` and the exit code is not 0."""
    if check and completed.exit_code:
        status = completed.status
        raise ExitError(
            argv,
            completed.exit_code,
            completed.stdout,
            completed.stderr,
            signal=status.signal,
            oom_killed=status.oom_killed,
            supervisor_killed=status.supervisor_killed,
        )
    return completed
