"""The helper's executable, where no container can write it, and its start.

It is executed from a sealed memfd: a container that gets hold of /proc/PID/exe holds a private, immutable copy and not
the host's file (CVE-2019-5736). The copy is made once for each process.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import stat
from collections.abc import Iterator

from containerlib._sys import native
from containerlib._sys.forks import Lock, close_in_child, no_fork
from containerlib._sys.writing import write_whole
from containerlib.errors import StageError, Unsupported

__all__ = ["Helper", "reap"]

_MFD_EXEC = 0x10
_NULL_DEVICE = os.makedev(1, 3)
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


class _Executable:
    """Descriptors that are made once: the sealed helper and /dev/null."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._fds: tuple[int, int] | None = None

    def fds(self) -> tuple[int, int]:
        if self._fds is None:
            with self._lock:
                if self._fds is None:
                    self._fds = _make_fds()
        return self._fds


_executable = _Executable()


def _make_fds() -> tuple[int, int]:
    with contextlib.ExitStack() as undo:
        helper = _make_memory()
        undo.callback(os.close, helper)
        with open(native.HELPER_FILE, "rb", buffering=0) as file:
            write_whole(helper, file.readall())
        fcntl.fcntl(helper, fcntl.F_ADD_SEALS, _SEALS)
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        undo.pop_all()
        return helper, null


def _check_null_device() -> None:
    """Streams and masks of containers need it. Raises: StageError(stage="null device")."""
    status = os.stat(os.devnull)  # noqa: PTH116
    if not stat.S_ISCHR(status.st_mode) or status.st_rdev != _NULL_DEVICE:
        raise StageError(
            "null device",
            errno.ENODEV,
            os.devnull,
            advice=f"it is no null device: make it again with rm -f {os.devnull} && mknod -m 666 {os.devnull} c 1 3",
        )


def _make_memory() -> int:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        return os.memfd_create("containerlib-helper", flags | _MFD_EXEC)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        # before Linux 6.3 every memfd is executable and the flag unknown
        return os.memfd_create("containerlib-helper", flags)


class Helper(native.Child):
    """A helper that this process starts. `subject`: what it supervises."""

    def __init__(self, subject: str | None) -> None:
        super().__init__()
        self.subject = subject

    def start(self, control: int) -> None:
        """Starts it, controlled through the socket `control`. Interrupted, it may have been started: see `pidfd`.

        It need not be reaped: when another one is started, those that have ended are. Raises: StageError, Unsupported.
        """
        _check_null_device()
        _helpers.sweep()
        _helpers.add(self)
        try:
            executable, null = _executable.fds()
            self.spawn(executable, control, null)
        except OSError as error:
            _helpers.discard(self)
            if isinstance(error, PermissionError):
                raise Unsupported(
                    "the helper cannot be executed from memory: is the sysctl vm.memfd_noexec 2? It must be 0 or 1"
                ) from error
            raise StageError("spawn", error.errno or 0, "the container's supervisor") from error

    def _bury(self) -> None:
        with _helpers.burial(self):
            super()._bury()


class _Helpers:
    """All that are still to be reaped: known before they are started, so that no interrupt can lose one.

    Who has ended is asked of all of them at once: a start costs the same whatever number of them lives.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._new: set[Helper] = set()
        self._watched: dict[int, Helper] = {}
        self._epoll: select.epoll | None = None

    def add(self, helper: Helper) -> None:
        with self._lock:
            self._new.add(helper)

    def sweep(self, subject: str | None = None, patience: float = 0.0) -> None:
        """Reaps those that have ended, and waits up to `patience` seconds for those of `subject`."""
        with self._lock:
            self._watch()
            ready = self._epoll.poll(0) if self._epoll else ()
            ended = [self._watched[number] for number, _ in ready if number in self._watched]
            started = [*self._watched.values(), *self._new] if subject else ()
        for helper in ended:
            helper.reap()
        for helper in started:
            if helper.subject == subject and helper.pidfd >= 0:
                helper.reap(patience)

    def discard(self, helper: Helper) -> None:
        with self._lock:
            self._new.discard(helper)

    @contextlib.contextmanager
    def burial(self, helper: Helper) -> Iterator[None]:
        """The time in which its descriptor is closed: a forked child has a copy, which would be watched for ever."""
        with self._lock:
            self._new.add(helper)
            self._watched.pop(helper.pidfd, None)
            if self._epoll:
                with contextlib.suppress(FileNotFoundError):
                    self._epoll.unregister(helper.pidfd)
            yield
            self._new.discard(helper)

    def _watch(self) -> None:
        for helper in [one for one in self._new if one.pidfd >= 0]:
            try:
                self._events().register(helper.pidfd, select.EPOLLIN)
            except FileExistsError:  # an interrupt came right after it
                pass
            except OSError:  # this process has too many descriptors: when the next one starts
                return
            self._watched[helper.pidfd] = helper
            self._new.discard(helper)

    def _events(self) -> select.epoll:
        if self._epoll is None:
            with no_fork:
                close_in_child(self)
                self._epoll = select.epoll()
        return self._epoll

    def close(self) -> None:
        """In a forked child: its parent's go on as they are."""
        epoll, self._epoll = self._epoll, None
        if epoll is not None:
            epoll.close()
        self._new.update(self._watched.values())
        self._watched.clear()


_helpers = _Helpers()


def reap(subject: str) -> None:
    """Reaps the helper of `subject` where it is a child of this process; it is on its way out."""
    _helpers.sweep(subject, patience=1.0)
