"""Typed Python over `_native`: no CData leaves this module, and a negative answer becomes an OSError."""

from __future__ import annotations

import os
import select
from collections.abc import Sequence
from pathlib import Path

from containerlib import _native

ffi = _native.ffi
lib = _native.lib

HELPER = Path(_native.__file__).parent / "_libexec" / "containerlib-helper"


def spawn(executable: int, control: int, null: int) -> int:
    """Starts the helper behind the descriptor `executable` and returns a pidfd, which is the caller's to close.

    `control` becomes its descriptor 3, `null` its stdio. The caller's memory is not copied, whatever its size.

    Raises: OSError.
    """
    pidfd = ffi.new("int *", -1)
    error = ffi.new("struct clib_error *")
    if lib.clib_spawn(executable, control, null, pidfd, error) < 0:
        raise OSError(error.err, os.strerror(error.err))
    return int(pidfd[0])


def pidfd_open(pid: int) -> int:
    """A descriptor of process `pid`. Raises: ProcessLookupError."""
    return _checked(lib.clib_pidfd_open(pid))


def pidfd_signal(pidfd: int, signal: int) -> None:
    """Sends `signal` to the process behind `pidfd`. Raises: ProcessLookupError."""
    _checked(lib.clib_pidfd_signal(pidfd, signal))


def pidfd_ended(pidfd: int, timeout: float) -> bool:
    """Whether the process behind `pidfd` has ended, or does within `timeout` seconds."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(timeout * 1000))


def pidfd_reap(pidfd: int, *, wait: bool = False) -> bool:
    """Reaps the child behind `pidfd`; True when it is gone, also when someone else reaped it."""
    answer = lib.clib_pidfd_reap(pidfd, 0 if wait else 1)
    return bool(answer)


def open_in_root(directory: int, path: str, flags: int, mode: int = 0, resolve: int = 0) -> int:
    """openat2(2) with RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | `resolve`. Raises: OSError."""
    return _checked(lib.clib_open_in_root(directory, os.fsencode(path), flags, mode, resolve), path)


def watch_growth(path: str) -> int:
    """A non-blocking descriptor that is readable when the file `path` has grown. Raises: OSError."""
    return _checked(lib.clib_watch_growth(os.fsencode(path)), path)


def cgroup_device_attach(cgroup: int, instructions: Sequence[int]) -> None:
    """Loads an eBPF device filter and attaches it to the cgroup v2 directory `cgroup`. Raises: OSError."""
    program = ffi.new("uint64_t[]", [word & 0xFFFFFFFFFFFFFFFF for word in instructions])
    _checked(lib.clib_cgroup_device_attach(cgroup, program, len(instructions)))


def _checked(answer: int, path: str | None = None) -> int:
    if answer < 0:
        raise OSError(-answer, os.strerror(-answer), path)
    return int(answer)
