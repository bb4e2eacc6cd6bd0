"""Everything that containerlib raises, as kinds and not as call sites.

    Error
    ├── InvalidArgument (ValueError)   .field
    ├── NotFound
    ├── AlreadyExists
    ├── Conflict                       .state
    ├── Unauthorized
    ├── Unavailable
    ├── Unsupported
    ├── Timeout (TimeoutError)         .log_tail
    ├── RegistryError                  .status .code .request
    ├── ExitError                      .argv .exit_code .stdout .stderr .signal .oom_killed
    ├── BuildError                     .step .line .log_tail
    ├── PluginError                    .plugin .command .code .details
    └── StageError (OSError)           .stage .errno .detail

Facts are attributes, the message is derived from them, and `http_status` is what an HTTP adapter answers. Context is
added where a layer ends, by `raise ... from`; what fails during clean-up is added with `add_note`, so that it never
hides the cause.
"""

from __future__ import annotations

import errno as _errno
import os
import signal as _signal
from collections.abc import Sequence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "AlreadyExists",
    "BuildError",
    "Conflict",
    "Error",
    "ExitError",
    "InvalidArgument",
    "NotFound",
    "PluginError",
    "RegistryError",
    "StageError",
    "Timeout",
    "Unauthorized",
    "Unavailable",
    "Unsupported",
]


class Error(Exception):
    """The base of all of them."""

    http_status = 500

    def __str__(self) -> str:
        return _printable_lines(super().__str__())

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors cross process pools whole: the facts travel, the message is not derived a second time."""
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(kind: type[Error], arguments: tuple[Any, ...], facts: dict[str, Any]) -> Error:
    error = kind.__new__(kind)
    super(Error, error).__init__(*arguments)
    error.__dict__.update(facts)
    return error


class InvalidArgument(Error, ValueError):
    """A value that cannot be right, found before anything was done with it."""

    http_status = 400

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field = field


class NotFound(Error):
    """A named thing that is not there."""

    http_status = 404


class AlreadyExists(Error):
    """A name that is taken."""

    http_status = 409


class Conflict(Error):
    """The thing is there, but its state does not allow what was asked."""

    http_status = 409

    def __init__(self, message: str, *, state: str = "") -> None:
        super().__init__(message)
        self.state = state


class Unauthorized(Error):
    """Credentials are missing, wrong, or not enough."""

    http_status = 401


class Unavailable(Error):
    """Something that should answer does not; trying again later may help."""

    http_status = 503


class Unsupported(Error):
    """This kernel, host or driver cannot do it."""

    http_status = 501


class Timeout(Error, TimeoutError):
    """The time that the caller allowed is over."""

    http_status = 504

    def __init__(self, message: str, *, log_tail: Sequence[str] = ()) -> None:
        super().__init__(with_log(message, log_tail))
        self.log_tail: tuple[str, ...] = tuple(log_tail)


class RegistryError(Error):
    """A registry answered, and not with what the distribution specification says.

    `status` is the HTTP status (0: none was received), `code` the registry's own (`MANIFEST_UNKNOWN`) or ours
    (`DIGEST_INVALID`, `SIZE_INVALID`, `MALFORMED`), `request` the method and URL without credentials.
    """

    http_status = 502

    def __init__(self, message: str, *, status: int = 0, code: str = "", request: str = "") -> None:
        parts = [message]
        if code or status:
            parts.append(f"({' '.join(str(part) for part in (status or '', code) if part)})")
        if request:
            parts.append(f"in answer to {request}")
        super().__init__(" ".join(parts))
        self.status = status
        self.code = code
        self.request = request


class ExitError(Error):
    """A command in a container ended with a status other than zero.

    `signal` is the number of the one that ended it, if one did; `oom_killed` says that the kernel killed a process
    of the container for memory, `supervisor_killed` that the end of the program itself is unknown.
    """

    def __init__(
        self,
        argv: Sequence[str],
        exit_code: int,
        stdout: bytes = b"",
        stderr: bytes = b"",
        *,
        signal: int | None = None,
        oom_killed: bool = False,
        supervisor_killed: bool = False,
    ) -> None:
        self.argv: tuple[str, ...] = tuple(argv)
        self.exit_code = exit_code
        self.stdout = stdout
        self.stderr = stderr
        self.signal = signal
        self.oom_killed = oom_killed
        self.supervisor_killed = supervisor_killed
        super().__init__(self._message())

    def _message(self) -> str:
        written = self.stderr if self.stderr.strip() else self.stdout
        tail = written[-2000:].decode(errors="replace").splitlines()[-10:]
        return with_log(f"{' '.join(self.argv)} {self._end()}", [printable(line) for line in tail])

    def _end(self) -> str:
        if self.supervisor_killed:
            return "ended with its supervisor, which was killed: the program's own end is unknown"
        if self.oom_killed and self.signal == _signal.SIGKILL:
            return "was killed: it reached its memory limit; raise limit(memory=...)"
        end = f"exited with {self.exit_code}"
        if self.signal is not None:
            end = f"was killed by {_signal_name(self.signal)}"
        if self.oom_killed:
            end += ", and one of its processes was killed at the memory limit; raise limit(memory=...)"
        return end


def _signal_name(number: int) -> str:
    try:
        return _signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"


class BuildError(Error):
    """A build step failed."""

    def __init__(self, message: str, *, step: int, line: int = 0, log_tail: Sequence[str] = ()) -> None:
        super().__init__(with_log(f"step {step}: {message}", log_tail))
        self.step = step
        self.line = line
        self.log_tail: tuple[str, ...] = tuple(log_tail)


class PluginError(Error):
    """A program that the caller has named said no, or something that it may not say.

    `plugin` is its path, `command` what it was asked for (`ADD`), `code` its own of the failure (0: it gave none),
    `details` what more it said of it.
    """

    http_status = 502

    def __init__(
        self, message: str, *, plugin: str = "", command: str = "", code: int = 0, details: str = ""
    ) -> None:
        subject = " ".join(part for part in (plugin, command) if part)
        said = f"{subject}: {message}" if subject else message
        number = f" (code {code})" if code else ""
        super().__init__(with_log(f"{said}{number}", details.splitlines()[-10:]))
        self.plugin = plugin
        self.command = command
        self.code = code
        self.details = details


_NO_DESCRIPTOR = {
    _errno.EMFILE: "this process has no descriptor left: raise its limit of open files (ulimit -n)",
    _errno.ENFILE: "the host has no open file left: raise the sysctl fs.file-max",
}


class StageError(Error, OSError):
    """The kernel refused a step: which one (`stage`), why (`errno`), and on what (`detail`).

    A hook that failed by itself has the errno 0.

    `exit_code` is what a command line would exit with: 127 where the command was not found, 126 where it could not
    be executed, 125 for every other stage.
    """

    def __init__(self, stage: str, errno: int, detail: str = "", *, advice: str = "") -> None:
        reason = f"{_errno.errorcode.get(errno, errno)} ({os.strerror(errno)})" if errno else ""
        message = ": ".join(part for part in (stage, printable(detail), reason) if part)
        advice = _NO_DESCRIPTOR.get(errno, advice)
        super().__init__(errno, f"{message}; {advice}" if advice else message)
        self.stage = stage
        self.detail = detail

    def __str__(self) -> str:
        return _printable_lines(str(self.args[1]))

    @property
    def exit_code(self) -> int:
        if self.stage != "exec":
            return 125
        return 127 if self.errno in (_errno.ENOENT, _errno.ENOTDIR) else 126


def with_log(message: str, lines: Sequence[str]) -> str:
    """`message` and, where something was written, the last lines of it."""
    written = lines if any(line.strip() for line in lines) else ()
    return "\n".join([message, *(f"  | {line}" for line in written)])


def printable(text: str) -> str:
    """`text` with control characters escaped: what a container wrote must not drive the reader's terminal."""
    return "".join(c if c.isprintable() or c == "\t" else c.encode("unicode_escape").decode() for c in text)


def _printable_lines(message: str) -> str:
    """A name in a message may be an image's or a container's, wherever the message was put together."""
    return "\n".join(printable(line) for line in message.split("\n"))
