"""A program in a container, with its standard streams here."""

from __future__ import annotations

import signal
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Self

from containerlib.boundary import public
from containerlib.engine import words
from containerlib.engine.signals import parse_signal
from containerlib.engine.undo import end_block
from containerlib.fluent.waiting import waits

if TYPE_CHECKING:
    from containerlib._sys.steps import Steps
    from containerlib.engine.attached import Attached
    from containerlib.spec.status import ExitStatus

__all__ = ["Process"]


@public
class Process:
    """A running program, in the manner of subprocess.Popen. At the end of a `with` block it is killed.

    Not so one that goes on without its caller: what `container.attach` or `spawn(..., detach=True)` gave is only let
    go of then.

    `stdin` is unbuffered; `stdout` and `stderr` are buffered binary files. With a terminal, `stdout` has
    both and `stderr` is empty. A program that fills a pipe which nobody reads waits for ever.
    """

    def __init__(self, attached: Attached) -> None:
        self._attached = attached
        self.args = attached.argv
        self.stdin: BinaryIO = attached.stdin
        self.stdout: BinaryIO = attached.stdout
        self.stderr: BinaryIO = attached.stderr

    @property
    def pid(self) -> int:
        """The program's process id as the host sees it."""
        return self._attached.pid

    def poll(self) -> ExitStatus | None:
        """How the program ended, or None while it runs."""
        return self._attached.poll()

    @waits
    def wait(self, timeout: float | None = None) -> Steps[ExitStatus]:
        """Waits at most `timeout` seconds for the program's end.

        Raises: Timeout.
        """
        return self._attached.wait(words.timeout(timeout))

    def send_signal(self, signal: int | str) -> None:
        """Sends a signal, e.g. `"HUP"`; a program that has ended gets none.

        Raises: InvalidArgument; Conflict for a program that was let go of.
        """
        self._attached.signal(parse_signal(signal))

    def terminate(self) -> None:
        """Sends SIGTERM."""
        self._attached.signal(signal.SIGTERM)

    def kill(self) -> None:
        """Sends SIGKILL."""
        self._attached.signal(signal.SIGKILL)

    def resize(self, *, rows: int, columns: int) -> None:
        """Tells the program's terminal its size; without a terminal it does nothing, as with docker.

        Raises: InvalidArgument; Conflict for a program that was let go of.
        """
        sides = words.terminal_side(rows, field="rows"), words.terminal_side(columns, field="columns")
        self._attached.resize(*sides)

    def close_stdin(self) -> None:
        """Gives the program the end of its standard input.

        Of a container that others are attached to, when they have closed their `stdin` too; nobody who attaches later
        gets any. Closing `stdin` alone lets the program wait for the next one who writes.

        Raises: Conflict where nothing keeps it open, and for a terminal, whose end of file is a key: `b"\\x04"`.
        """
        self._attached.close_stdin()

    def close(self) -> None:
        """Kills the program if it still runs and does not go on without its caller, and closes the streams."""
        self._attached.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        end_block(error, self.close)

    def __repr__(self) -> str:
        status = self.poll()
        state = "running" if status is None else f"exited with {status.exit_code}"
        return f"<Process {' '.join(self.args)!r} {state}>"
