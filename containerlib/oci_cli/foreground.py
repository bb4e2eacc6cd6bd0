"""A command that stays while its process runs: it passes signals on, serves the terminal, and ends as the process does.

with Foreground() as foreground:             # from here on signals are collected
    ...                                      # the process is started
    status = foreground.wait(pid, ended)     # `ended` says its exit status once its descriptor is readable
"""

from __future__ import annotations

import contextlib
import os
import select
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from containerlib.oci_cli.terminal import Terminal

__all__ = ["Foreground"]

_OWN = frozenset(
    (
        signal.SIGKILL,
        signal.SIGSTOP,
        signal.SIGURG,
        signal.SIGPIPE,
        signal.SIGSEGV,
        signal.SIGBUS,
        signal.SIGFPE,
        signal.SIGILL,
        signal.SIGTRAP,
        signal.SIGABRT,
        signal.SIGSYS,
    )
)
"""Left alone: what cannot be caught, and what is about this process itself."""


class Foreground:
    """Collects this process's signals while it lives. One at a time, in the main thread."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._before: dict[int, object] = {}
        self.terminal: Terminal | None = None

    def __enter__(self) -> Foreground:
        for number in range(1, signal.NSIG):
            if number not in _OWN:
                with contextlib.suppress(OSError, ValueError):  # the C library keeps a few for itself
                    self._before[number] = signal.signal(number, _collected)
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        signal.set_wakeup_fd(-1)
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal returned
        if self.terminal is not None:
            self.terminal.close()
        os.close(self._reader)
        os.close(self._writer)

    def adopt_terminal(self, master: int) -> None:
        """Takes a copy of the master of the process's terminal, and serves it from this process's."""
        from containerlib.oci_cli.terminal import Terminal

        self.terminal = Terminal(os.dup(master))

    def wait(self, pidfd: int, ended: int, status: Callable[[], int | None]) -> int:
        """Serves until `status` says the end: it is asked when `ended` is readable, or a child has ended."""
        poll = select.poll()
        poll.register(self._reader, select.POLLIN)
        poll.register(ended, select.POLLIN)
        if self.terminal is not None:
            self.terminal.register(poll)
        while True:
            ready = dict(poll.poll())
            asked = ended in ready
            if self._reader in ready:
                asked = self._pass_on(pidfd) or asked
            if self.terminal is not None:
                self.terminal.serve(ready, poll)
            if asked and (code := status()) is not None:
                if self.terminal is not None:
                    self.terminal.drain()
                return code

    def _pass_on(self, pidfd: int) -> bool:
        """Whether a child has ended."""
        numbers = os.read(self._reader, 4096)
        for number in numbers:
            if number == signal.SIGCHLD:
                continue
            if number == signal.SIGWINCH:
                if self.terminal is not None:
                    self.terminal.resize()
            else:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(pidfd, number)
        return signal.SIGCHLD in numbers


def _collected(number: int, frame: object) -> None:
    """Its number is in the pipe already."""
