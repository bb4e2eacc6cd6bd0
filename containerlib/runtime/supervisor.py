"""A connection to the shim of one container or exec: the caller's end of the conversation in wire.h."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Sequence
from types import TracebackType

from containerlib._sys import native
from containerlib._sys.helper import Helper, reap
from containerlib._sys.native import lib
from containerlib._sys.wire import AttachFlag, Kind, Message, receive, send
from containerlib._sys.writing import memory
from containerlib.errors import Conflict, Error, StageError, Timeout, Unavailable, Unsupported
from containerlib.runtime.failures import failure
from containerlib.runtime.plan.op import Op, Plan
from containerlib.runtime.records import exit_status, read_record
from containerlib.spec.lifecycle import State
from containerlib.spec.status import ExitStatus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

__all__ = ["LOST", "REPLY_TIMEOUT", "Supervisor", "connect_in", "has_shim", "tells_that_it_runs"]

REPLY_TIMEOUT = 30.0
"""Seconds; a shim answers at once, so what takes longer is a stopped (SIGSTOP) one."""


class Supervisor:
    """One container or exec, by the shim that holds it. Closing the connection ends nothing.

    Usable from several threads, one call at a time.
    """

    def __init__(
        self,
        channel: socket.socket,
        *,
        directory: str | None = None,
        helper: Helper | None = None,
        plan: Sequence[Op] = (),
    ) -> None:
        self.pid = 0
        self.start_time = 0
        self.terminal_fd: int | None = None
        self._given: int | None = None
        self._channel = channel
        self._directory = directory
        self._helper = helper
        self._plan = plan
        self._status: ExitStatus | None = None
        self._failure: Error | None = None
        self._lock = threading.RLock()

    # ---- what a container does ----

    def launched(self) -> Self:
        """Waits for the first report. Raises: StageError."""
        self._await_running(timeout=None)
        return self

    def done(self) -> None:
        """Waits for the end of chores. Raises: StageError."""
        while self._receive(None, "its chores").kind != Kind.DONE:
            pass

    def abandon(self) -> None:
        """Kills what is being started or has been started, if it lives; waits for its end and closes the connection."""
        if self._status is None and self._failure is None:
            try:
                self.signal(signal.SIGKILL, everyone=True, final=True, keep=True)
            except (Error, OSError):
                if self._helper is not None:
                    self._helper.signal(signal.SIGKILL)
        self.finished()
        self.close()

    def start(self) -> None:
        """Lets a created container run. Raises: Conflict, StageError."""
        with self._lock:
            self._request(Message(Kind.START))
            self._await_running(REPLY_TIMEOUT)

    def signal(self, number: int, *, everyone: bool = False, final: bool = False, keep: bool = False) -> None:
        """Sends a signal to the container's first process; `everyone`: SIGKILL goes to all of its processes.

        `final`: whatever its policy says, it is not started again. `keep`: its directory is the caller's to remove.
        With 0 that is all. Raises: Conflict where it has ended.
        """
        flags = (lib.CLIB_SIGNAL_FINAL if final else 0) | (lib.CLIB_SIGNAL_KEEP if keep else 0)
        self._done(Message(Kind.SIGNAL, (number, int(everyone), flags, 0)))

    def await_exit(self) -> None:
        """From now on `wait` returns at the program's next end, though the container may be started again."""
        with self._lock:
            if self._status is None:
                self._request(Message(Kind.WAIT, (1, 0, 0, 0)))

    def resize(self, rows: int, columns: int) -> None:
        """Tells the container's terminal its size. Raises: Conflict where it has none or has ended."""
        if self.terminal_fd is not None:
            import termios  # noqa: PLC0415 - only for terminals

            termios.tcsetwinsize(self.terminal_fd, (rows, columns))
            return
        self._done(Message(Kind.RESIZE, (rows, columns, 0, 0)))

    def traced_by(self, pid: int) -> None:
        """Process `pid`, which is alive, makes a checkpoint of the container: see tracer.c. Raises: Conflict."""
        pidfd = native.pidfd_open(pid)
        try:
            self._done(Message(Kind.TRACED), (pidfd,))
        finally:
            os.close(pidfd)

    def relink(self, plan: Plan) -> None:
        """Has it change what connects the container: see links.c.

        Raises: StageError(stage="network"); Conflict where it has ended.
        """
        with memory("containerlib-links", plan.pack()) as descriptor:
            answer, _ = self._answer(Message(Kind.LINKS), (descriptor,))
        error, failed = answer.value[:2]
        if error:
            subject = plan.before[failed - 1].origin if 0 < failed <= len(plan.before) else "links"
            raise StageError("network", error, subject)

    def attach(self, *, stdin: bool, stdout: int | None, stderr: int | None) -> int | None:
        """From now on the program's output also goes to these writing ends of pipes (borrowed), until `detach`.

        With `stdin` the answer is a writing end of its standard input, which is the caller's; None: nobody keeps that
        open. Raises: Conflict where it has ended; Unsupported.
        """
        ends = {AttachFlag.STDOUT: stdout, AttachFlag.STDERR: stderr}
        given = {flag: end for flag, end in ends.items() if end is not None}
        wanted = sum(given) + (AttachFlag.STDIN if stdin else 0)
        return self._done(Message(Kind.ATTACH, (wanted, 0, 0, 0)), tuple(given.values()))

    def end_input(self) -> None:
        """Lets go of the program's standard input, which ends when those who have attached do so too.

        Raises: Conflict where it is not kept open, or has ended.
        """
        self._done(Message(Kind.END_INPUT))

    def detach(self) -> None:
        """Ends the connection, and what was attached by it, also where a child of ours has a copy of all that."""
        with contextlib.suppress(OSError):  # the other end is gone already
            self._channel.shutdown(socket.SHUT_RDWR)
        self.close()

    def wait(self, timeout: float | None = None) -> ExitStatus:
        """Blocks until the end, `timeout` seconds at most. Raises: Timeout; StageError where it was not started."""
        with self._lock:
            deadline = None if timeout is None else time.monotonic() + timeout
            while self._status is None:
                self._receive(deadline, "it to end")
            return self._status

    def poll(self) -> ExitStatus | None:
        """The end where it is known, without blocking. Raises: StageError where it was not started."""
        with self._lock:
            while self._status is None and self._readable(0):
                self._receive(None, "a report")
            return self._status

    def finished(self) -> None:
        """Waits until the shim itself is gone, and the container's cgroups with it; reaps it if it is our child."""
        with self._lock:
            if self._helper is not None:
                self._helper.reap(patience=None)
                return
            while receive_quietly(self._channel):
                pass
            if self._directory is not None:
                reap(self._directory)

    def fileno(self) -> int:
        """A descriptor that is readable when `poll` has something new."""
        return self._channel.fileno()

    def close(self) -> None:
        """Closes the connection. The container goes on."""
        self._channel.close()
        if self.terminal_fd is not None:
            os.close(self.terminal_fd)
            self.terminal_fd = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # ---- the conversation ----

    def _await_running(self, timeout: float | None) -> None:
        deadline = None if timeout is None else time.monotonic() + timeout
        while not tells_that_it_runs(self._receive(deadline, "it to start")):
            pass

    def _done(self, message: Message, fds: Sequence[int] = ()) -> int | None:
        """Asks for it and waits until it is done; the descriptor that the answer brings is the caller's."""
        answer, given = self._answer(message, fds)
        if answer.value[0]:
            raise _refusal(answer.value[0])
        return given

    def _answer(self, message: Message, fds: Sequence[int] = ()) -> tuple[Message, int | None]:
        with self._lock:
            self._request(message, fds)
            deadline = time.monotonic() + REPLY_TIMEOUT
            while self._status is None:
                answer = self._receive(deadline, "an answer")
                if answer.kind == Kind.DONE:
                    given, self._given = self._given, None
                    return answer, given
            raise self._ended()

    def _request(self, message: Message, fds: Sequence[int] = ()) -> None:
        try:
            send(self._channel, message, fds)
        except BlockingIOError as error:
            raise Timeout("waited in vain for the supervisor to take a request") from error
        except OSError as error:
            raise self._ended() from error

    def _ended(self) -> Conflict:
        return Conflict("it has ended", state=State.STOPPED.value)

    def _readable(self, timeout: float | None) -> bool:
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        return bool(poll.poll(None if timeout is None else max(0, int(timeout * 1000 + 0.999))))

    def _receive(self, deadline: float | None, purpose: str) -> Message:
        """The next message, with what it means for this object already taken in."""
        if self._failure is not None:
            raise self._failure
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and not self._readable(max(left, 0)):
            raise Timeout(f"waited in vain for {purpose}")
        received = self._next()
        if received is None:
            return self._take_record()
        message, fds = received
        if message.kind == Kind.TERMINAL and len(fds) == 1:
            self.terminal_fd = fds.pop()
        elif message.kind == Kind.DONE and len(fds) == 1:
            self._given = fds.pop()
        elif message.kind == Kind.FAILED:
            self._failure = failure(message, self._plan)
            raise self._failure
        elif message.kind in (Kind.CREATED, Kind.STARTED):
            self.pid, self.start_time = message.value[0], message.number[0]
        elif message.kind == Kind.EXITED:
            self._status = exit_status(message)
        for fd in fds:
            os.close(fd)
        return message

    def _next(self) -> tuple[Message, list[int]] | None:
        """None: there is nothing more. A shim that left a request unread is said to be gone before what it had sent."""
        for _ in range(2):
            with contextlib.suppress(ConnectionResetError):
                return receive(self._channel)
        return None

    def _take_record(self) -> Message:
        """The shim is gone: what it wrote last says how the container ended."""
        record = read_record(self._directory, "exit") if self._directory else None
        if record is not None and record.kind == Kind.EXITED:
            self._status = exit_status(record)
            return record
        if record is not None and record.kind == Kind.FAILED:
            self._failure = failure(record, self._plan)
            raise self._failure
        if self._directory and (
            read_record(self._directory, "started") or not os.path.isdir(self._directory)  # noqa: PTH112
        ):  # the shim was killed, or the container was removed with its records
            self._status = LOST
            return Message(Kind.EXITED)
        raise Unavailable("the container's supervisor ended before it reported anything: was it killed?")


def tells_that_it_runs(message: Message) -> bool:
    """Or that it did. Raises: Conflict where it was not as it should be."""
    if message.kind == Kind.DONE:
        raise Conflict("it has been started already, or has ended")
    return message.kind in (Kind.CREATED, Kind.STARTED, Kind.EXITED)


def _refusal(number: int) -> Error:
    if number == errno.EPROTO:
        return Unsupported(
            "its supervisor was started by an older containerlib, and does not know of this: start it again with "
            "this one"
        )
    return Conflict(f"not possible now: {_REFUSALS.get(number) or os.strerror(number)}")


_REFUSALS = {
    errno.EUSERS: "as many as can be are attached already",
    errno.EPIPE: "its standard input is not kept open, or has been closed for good; recipe.stdin() keeps it",
    errno.ENXIO: r"a terminal's end of file is a key: write b'\x04' to stdin",
    errno.EOPNOTSUPP: "its streams do not go through its supervisor",
}

LOST = ExitStatus(exit_code=137, signal=9, supervisor_killed=True)
"""What is known of a container whose shim was killed: the kernel killed it too."""


def receive_quietly(channel: socket.socket) -> bool:
    """Takes one message and forgets it; False at the end."""
    try:
        received = receive(channel)
    except OSError:
        return False
    for fd in received[1] if received else ():
        os.close(fd)
    return received is not None


def has_shim(directory: str) -> bool:
    """Whether the container in `directory` has a shim, however busy that is."""
    channel = socket.socket(
        socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    )
    with channel:
        try:
            connect_in(channel, directory, "shim.sock")
        except BlockingIOError:  # many wait for it
            return True
        except OSError:
            return False
    return True


def connect_in(channel: socket.socket, directory: str, name: str) -> None:
    """A socket's address is short (107 bytes), a path may be long: the way goes through a descriptor."""
    fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        channel.connect(f"/proc/self/fd/{fd}/{name}")
    finally:
        os.close(fd)
