"""A program whose standard streams are pipes in this process, or copied to pipes in this process."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO, cast

from containerlib._sys.steps import Steps, finish, look_until
from containerlib.engine.streams import Pipes, read_or_end
from containerlib.errors import Conflict, StageError, Timeout, Unavailable
from containerlib.spec.status import ExitStatus

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from containerlib.runtime import Supervisor

__all__ = ["Attached", "Hearer"]


class Hearer:
    """Who is told what becomes of a program; this one does not listen."""

    def ended(self, status: ExitStatus) -> None:
        """It has ended."""

    def resized(self, rows: int, columns: int) -> None:
        """Its terminal has another size."""

    def let_go(self) -> None:
        """It goes on, without us."""


_NOBODY = Hearer()


class Attached:
    """A running program, its supervisor and our ends of its streams. Safe to use from many threads.

    `after` is called once, when the program has ended and this object is closed or has seen it. The end of one that is
    not `ours` is the program's own. `no_input` says why there is none, where there is none; `hearer` is told what
    becomes of it.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        pipes: Pipes,
        *,
        argv: tuple[str, ...],
        after: Callable[[], None] = lambda: None,
        ours: bool = True,
        no_input: str = "",
        hearer: Hearer = _NOBODY,
    ) -> None:
        pipes.close_child()
        self.argv = argv
        keys = pipes.take("stdin")
        self.stdin = cast(BinaryIO, _NoInput(no_input) if keys < 0 else os.fdopen(keys, "wb", buffering=0))
        self.stdout: BinaryIO = cast(BinaryIO, io.BufferedReader(_Output(pipes.take("stdout"), "rb")))
        self.stderr: BinaryIO = os.fdopen(pipes.take("stderr"), "rb")
        self._supervisor = supervisor
        self._ours = ours
        self._made_by = os.getpid()
        self._let_go = False
        self._after: Callable[[], None] | None = after
        self._hearer = hearer
        self._status: ExitStatus | None = None
        self._lock = threading.Lock()

    @property
    def pid(self) -> int:
        """The program's process id on the host."""
        return self._supervisor.pid

    def poll(self) -> ExitStatus | None:
        """How the program ended, or None while it runs, or where that is not known since it was let go of."""
        with self._lock:
            if self._status is None and not self._let_go:
                self._status = self._supervisor.poll()
                if self._status is not None:
                    self._hearer.ended(self._status)
            if self._status is not None:
                self._finish()
            return self._status

    def wait(self, timeout: float | None = None) -> Steps[ExitStatus]:
        """Waits for the end. A program that fills a pipe which nobody reads never comes to it.

        Raises: Timeout.
        """
        status = yield from look_until(self._held_poll, self._supervisor.fileno(), timeout)
        if status is None:
            raise Timeout(f"{' '.join(self.argv)!r} still runs after {timeout:g} s")
        return status

    def _held_poll(self) -> ExitStatus | None:
        if (status := self.poll()) is None:
            self._require_hold()
        return status

    def signal(self, number: int) -> None:
        """Sends a signal; a program that has ended gets none, also where nobody has looked since."""
        with self._lock:
            if self._status is None:
                self._require_hold()
                with contextlib.suppress(Conflict):
                    self._supervisor.signal(number)

    def resize(self, rows: int, columns: int) -> None:
        """Tells the program's terminal its size. One that has none, or has ended, has none to be told."""
        with self._lock:
            if self._status is None:
                self._require_hold()
                with contextlib.suppress(Conflict):
                    self._supervisor.resize(rows, columns)
                    self._hearer.resized(rows, columns)

    def close_stdin(self) -> None:
        """Closes standard input, and lets go of what keeps it open without us.

        Raises: Conflict where nothing does, or the program has ended.
        """
        with self._lock:
            if not self._ours and self._status is None:
                self._require_hold()
                self._supervisor.end_input()
        _close(self.stdin)

    def close(self) -> None:
        """Kills the program if it runs and is ours, waits for its end and closes the streams.

        In a forked child it is the parent's: only the child's copies are closed.
        """
        if self._made_by != os.getpid():
            self._supervisor.close()
            self._close_streams()
            return
        if not self._ours:
            if not self._let_go and self._goes_on():
                self._hearer.let_go()
            self._let_go = True
            self._supervisor.detach()
            self._close_streams()
            return
        try:
            if self.poll() is None:
                with self._lock, contextlib.suppress(Conflict):  # it ends by itself at this moment
                    self._supervisor.signal(signal.SIGKILL, everyone=True)
                # What nobody has read keeps the supervisor from its end for as long as somebody might.
                self._close_streams()
                finish(self.wait())
        finally:
            self._supervisor.close()
            self._close_streams()

    def _goes_on(self) -> bool:
        try:
            return self.poll() is None
        except (StageError, Unavailable):  # it never ran, or nobody knows
            return False

    def _require_hold(self) -> None:
        if self._let_go:
            raise Conflict(f"{' '.join(self.argv)!r} has been let go of, and goes on by itself")

    def _close_streams(self) -> None:
        for stream in (self.stdin, self.stdout, self.stderr):
            _close(stream)

    def _finish(self) -> None:
        after, self._after = self._after, None
        if after is not None:
            self._supervisor.finished()
            after()


class _NoInput(io.FileIO):
    """Standard input that nobody reads: a pipe whose other end is closed."""

    def __init__(self, reason: str) -> None:
        reading, writing = os.pipe2(os.O_CLOEXEC)
        os.close(reading)
        super().__init__(writing, "wb")
        self._reason = reason

    def write(self, data: Buffer, /) -> int:  # noqa: ARG002 - FileIO's
        raise BrokenPipeError(errno.EPIPE, self._reason)


class _Output(io.FileIO):
    """The reading end of a pipe or terminal."""

    def readinto(self, buffer: Buffer) -> int:
        view = memoryview(buffer).cast("B")
        data = read_or_end(self.fileno(), len(view))
        view[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        return b"".join(iter(lambda: read_or_end(self.fileno(), io.DEFAULT_BUFFER_SIZE), b""))


def _close(stream: BinaryIO) -> None:
    try:
        stream.close()
    except BrokenPipeError:
        return  # what the program did not read before its end
