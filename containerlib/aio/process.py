"""A program in a container, in an event loop."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from anyio import notify_closing

from containerlib.aio.driving import in_thread, insist
from containerlib.aio.streams import Input, Output
from containerlib.aio.verbs import awaits
from containerlib.fluent.process import Process as BlockingProcess
from containerlib.spec.status import ExitStatus

__all__ = ["Process", "process"]


class Process:
    """A running program, as anyio.open_process gives one. At the end of an `async with` block it is killed.

    Not so one that goes on without its caller: what `attach` or `spawn(..., detach=True)` gave is only let go of then.

    `stdin`, `stdout` and `stderr` are byte streams of anyio. With a terminal, `stdout` has both and `stderr` is empty.
    """

    def __init__(self, blocking: BlockingProcess) -> None:
        self.blocking = blocking
        self.args = blocking.args
        self.stdin = Input(blocking.stdin)
        self.stdout = Output(blocking.stdout)
        self.stderr = Output(blocking.stderr)

    @property
    def pid(self) -> int:
        """The program's process id as the host sees it."""
        return self.blocking.pid

    def poll(self) -> ExitStatus | None:
        """How the program ended, or None while it runs."""
        return self.blocking.poll()

    wait = awaits(BlockingProcess.wait)

    def send_signal(self, signal: int | str) -> None:
        """Sends a signal, e.g. `"HUP"`; a program that has ended gets none. Raises: InvalidArgument."""
        self.blocking.send_signal(signal)

    def terminate(self) -> None:
        """Sends SIGTERM."""
        self.blocking.terminate()

    def kill(self) -> None:
        """Sends SIGKILL."""
        self.blocking.kill()

    def resize(self, *, rows: int, columns: int) -> None:
        """Tells the program's terminal its size; without a terminal it does nothing. Raises: InvalidArgument."""
        self.blocking.resize(rows=rows, columns=columns)

    async def close_stdin(self) -> None:
        """Gives the program the end of its standard input, as `containerlib.Process.close_stdin` does.

        Raises: Conflict where nothing keeps it open, and for a terminal.
        """
        notify_closing(self.blocking.stdin.fileno())
        await in_thread(self.blocking.close_stdin)

    async def aclose(self) -> None:
        """Kills the program if it still runs and does not go on without its caller, and closes the streams."""
        for stream in (self.stdin, self.stdout, self.stderr):
            await stream.aclose()
        await insist(self.blocking.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return repr(self.blocking)


def process(_: object, made: BlockingProcess) -> Process:
    """What a verb that is `handed` hands over."""
    return Process(made)
