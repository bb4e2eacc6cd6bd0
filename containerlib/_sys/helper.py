"""The helper's executable, where no container can write it, and its start.

It is executed from a sealed memfd: a container that gets hold of /proc/PID/exe holds a private, immutable copy and not
the host's file (CVE-2019-5736). The copy is made once for each process.
"""

from __future__ import annotations

import fcntl
import os
import threading

from containerlib._sys import native
from containerlib.errors import StageError, Unsupported

__all__ = ["reap_later", "reap_now", "spawn_helper"]

_MFD_EXEC = 0x10
_F_ADD_SEALS = 1033
_SEALS = 0x1 | 0x2 | 0x4 | 0x8
"""F_SEAL_SEAL, SHRINK, GROW, WRITE"""


class _Executable:
    """Descriptors that are made once: the sealed helper and /dev/null."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fds: tuple[int, int] | None = None

    def fds(self) -> tuple[int, int]:
        if self._fds is None:
            with self._lock:
                if self._fds is None:
                    self._fds = _seal_helper(), os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        return self._fds


_executable = _Executable()


def _seal_helper() -> int:
    image = native.HELPER.read_bytes()
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        fd = os.memfd_create("containerlib-helper", flags | _MFD_EXEC)
    except OSError:  # before Linux 6.3 every memfd is executable and the flag unknown
        fd = os.memfd_create("containerlib-helper", flags)
    os.write(fd, image)
    fcntl.fcntl(fd, _F_ADD_SEALS, _SEALS)
    return fd


class _Children:
    """Helpers that this process started and has still to reap: pidfds, and what each one supervises."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._subjects: dict[int, str | None] = {}

    def add(self, pidfd: int, subject: str | None) -> None:
        with self._lock:
            self._subjects[pidfd] = subject
            ended = [known for known in self._subjects if native.pidfd_ended(known, 0.0)]
            for known in ended:
                del self._subjects[known]
        for known in ended:
            _reap(known)

    def wait_for(self, subject: str, patience: float) -> None:
        with self._lock:
            awaited = [pidfd for pidfd, known in self._subjects.items() if known == subject]
            for pidfd in awaited:
                del self._subjects[pidfd]
        for pidfd in awaited:
            if native.pidfd_ended(pidfd, patience):
                _reap(pidfd)
            else:
                self.add(pidfd, subject)


def _reap(pidfd: int) -> None:
    native.pidfd_reap(pidfd)
    os.close(pidfd)


_children = _Children()


def spawn_helper(control: int) -> int:
    """Starts a helper that is controlled through the socket `control`; returns its pidfd, which is the caller's.

    Hand it to `reap_later` when nobody will wait for it. Raises: StageError.
    """
    executable, null = _executable.fds()
    try:
        return native.spawn(executable, control, null)
    except PermissionError as error:
        raise Unsupported(
            "the helper cannot be executed from memory: is the sysctl vm.memfd_noexec 2? containerlib needs 0 or 1"
        ) from error
    except OSError as error:
        raise StageError("spawn", error.errno or 0, "the container's supervisor") from error


def reap_later(pidfd: int, subject: str | None) -> None:
    """Takes over `pidfd`: its process is reaped when it has ended, by a later call here or for its `subject`."""
    _children.add(pidfd, subject)


def reap_now(subject: str) -> None:
    """Reaps the helper of `subject` where it is a child of this process; it is on its way out."""
    _children.wait_for(subject, patience=1.0)
