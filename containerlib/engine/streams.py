"""Pipes to a program in a container, and the loop that feeds and drains them."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import time
from collections.abc import Collection, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from containerlib._sys import forks
from containerlib._sys.steps import Ready, Steps
from containerlib.errors import Timeout, printable
from containerlib.runtime import Stdio, Supervisor
from containerlib.spec.status import ExitStatus

if TYPE_CHECKING:
    from containerlib.engine.streaming import OnOutput

__all__ = ["Pipes", "communicate", "log_tail", "read_or_end"]

_CHUNK = 65536
_CAPACITY = 1 << 20
_TAIL_LINES = 10


class Pipes:
    """Both ends of a program's standard streams. Whatever is still open is closed at the end of the block.

    Without `stdin` the program reads from /dev/null. The ends are -1 where there is none, or none any more.
    """

    def __init__(self, *, stdin: bool) -> None:
        self.stdin = self.stdout = self.stderr = -1
        self._child = [-1, -1, -1]
        try:
            with forks.no_fork:
                forks.close_in_child(self)
                if stdin:
                    self._child[0], self.stdin = os.pipe2(os.O_CLOEXEC)
                self.stdout, self._child[1] = os.pipe2(os.O_CLOEXEC)
                self.stderr, self._child[2] = os.pipe2(os.O_CLOEXEC)
        except BaseException:
            self.close()
            raise

    @property
    def child(self) -> Stdio:
        """The program's ends, for a launch to borrow."""
        stdin, stdout, stderr = self._child
        return Stdio(stdin=None if stdin < 0 else stdin, stdout=stdout, stderr=stderr)

    def close_child(self) -> None:
        """Closes the program's ends here: only then does its end show as the end of the streams."""
        with forks.no_fork:
            for index, descriptor in enumerate(self._child):
                self._child[index] = -1
                if descriptor >= 0:
                    os.close(descriptor)

    def use_terminal(self, master: int) -> None:
        """Puts a terminal (borrowed) in the place of the pipes; standard error stays empty."""
        self.close()
        with forks.no_fork:
            forks.close_in_child(self)
            self.stderr, unused = os.pipe2(os.O_CLOEXEC)
            os.close(unused)
            self.stdin = fcntl.fcntl(master, fcntl.F_DUPFD_CLOEXEC, 3)
            self.stdout = fcntl.fcntl(master, fcntl.F_DUPFD_CLOEXEC, 3)

    def use_input(self, writing: int) -> None:
        """Takes over a writing end of the program's standard input, which others write to as well."""
        try:  # O_NONBLOCK is for each of them to say
            self.stdin = os.open(f"/proc/self/fd/{writing}", os.O_WRONLY | os.O_CLOEXEC)
        finally:
            os.close(writing)

    def take(self, name: str) -> int:
        """Hands over one of our ends ("stdin", "stdout", "stderr"): the caller closes it."""
        descriptor: int = getattr(self, name)
        setattr(self, name, -1)
        return descriptor

    def close(self) -> None:
        """Closes every end that is still here."""
        with forks.no_fork:
            forks.let_go(self)
            self.close_child()
            for name in ("stdin", "stdout", "stderr"):
                if (descriptor := self.take(name)) >= 0:
                    os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def communicate(
    supervisor: Supervisor,
    pipes: Pipes,
    data: bytes | None,
    deadline: float | None,
    late: str,
    *,
    on_output: OnOutput | None = None,
) -> Steps[tuple[ExitStatus, bytes, bytes]]:
    """Writes `data`, reads both streams to their end and waits for the program's: one loop, no thread.

    `deadline` is on time.monotonic()'s clock, and `late` what is said when it is over. `on_output` gets each piece of
    output as it comes.

    Raises: Timeout, with the last lines that were written, and what `on_output` raises; the program still runs then.
    """
    pump = _Pump(supervisor, pipes, data, on_output)
    while pump.is_busy:
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            raise Timeout(late, log_tail=log_tail(*pump.output))
        pump.attend((yield pump.wants(left)))
    assert pump.status is not None  # noqa: S101 - for the type checker: busy until then
    stdout, stderr = pump.output
    return pump.status, stdout, stderr


def log_tail(stdout: bytes, stderr: bytes) -> Sequence[str]:
    """The last lines of what a program wrote, on standard error if there is anything."""
    text = (stderr or stdout)[-4096:].decode(errors="replace")
    return [printable(line) for line in text.splitlines()[-_TAIL_LINES:]]


class _Pump:
    """The state of one `communicate`: what is still open, what has been read, how it ended."""

    def __init__(
        self, supervisor: Supervisor, pipes: Pipes, data: bytes | None, on_output: OnOutput | None
    ) -> None:
        self.status: ExitStatus | None = None
        self._supervisor = supervisor
        self._pipes = pipes
        self._on_output = on_output
        self._unsent = memoryview(data or b"")
        self._read: dict[int, list[bytes]] = {pipes.stdout: [], pipes.stderr: []}
        self._streams = (pipes.stdout, pipes.stderr)
        self._open = set(self._streams)
        self._sizes = dict.fromkeys(self._streams, _CHUNK)
        self._start_feeding()

    @property
    def is_busy(self) -> bool:
        return self.status is None or bool(self._open)

    @property
    def output(self) -> tuple[bytes, bytes]:
        stdout, stderr = (b"".join(self._read[stream]) for stream in self._streams)
        return stdout, stderr

    def wants(self, timeout: float | None) -> Ready:
        """What may happen next."""
        reading = [*self._open] if self.status is not None else [*self._open, self._supervisor.fileno()]
        return Ready(reading, [self._pipes.stdin] if self._unsent else (), timeout)

    def attend(self, ready: Collection[int]) -> None:
        """Sees to what has happened."""
        for descriptor in ready:
            if descriptor in self._open:
                self._drain(descriptor)
            elif descriptor == self._pipes.stdin:
                self._feed()
            else:
                self.status = self._supervisor.poll()

    def _start_feeding(self) -> None:
        if self._pipes.stdin < 0:
            return
        if not self._unsent:
            self._stop_feeding()
            return
        os.set_blocking(self._pipes.stdin, False)
        if len(self._unsent) > _CHUNK:
            _widen(self._pipes.stdin)

    def _feed(self) -> None:
        try:
            self._unsent = self._unsent[_write(self._pipes.stdin, self._unsent[:_CAPACITY]) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            # The program does not want the rest: as in a shell pipe, that is its business.
            self._unsent = self._unsent[:0]
        if not self._unsent:
            self._stop_feeding()

    def _stop_feeding(self) -> None:
        with forks.no_fork:
            os.close(self._pipes.take("stdin"))

    def _drain(self, stream: int) -> None:
        if not (data := read_or_end(stream, self._sizes[stream])):
            self._open.discard(stream)
            return
        self._read[stream].append(data)
        if len(data) == _CHUNK:  # the pipe was full: the program waits for us, and shall not have to so often
            self._sizes[stream] = _CAPACITY
            _widen(stream)
        if self._on_output is not None:
            self._on_output("stdout" if stream == self._pipes.stdout else "stderr", data)


def _write(pipe: int, data: memoryview) -> int:
    """os.write, also where the caller lets SIGPIPE end it, as a command does that is itself in a shell's pipe."""
    if signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN:
        return os.write(pipe, data)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPIPE})
    try:
        return os.write(pipe, data)
    except BrokenPipeError:
        signal.sigtimedwait({signal.SIGPIPE}, 0)
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def read_or_end(stream: int, size: int) -> bytes:
    """os.read of a pipe or terminal. One that no program has open fails with EIO: that is its end."""
    try:
        return os.read(stream, size)
    except OSError as error:
        if error.errno == errno.EIO:
            return b""
        raise


def _widen(pipe: int) -> None:
    try:
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _CAPACITY)
    except OSError:
        return  # over pipe-user-pages-soft: the pipe works as it is
