"""Typed Python over `_native`: no CData leaves this module, and a negative answer becomes an OSError."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import threading
from collections.abc import Sequence

try:
    from containerlib import _native
except ImportError as error:
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120 - hot path
    is_clone = os.path.isfile(f"{package}/../pyproject.toml")  # noqa: PTH113
    if error.name != "containerlib" or not is_clone:  # another name: it is there, and cannot be loaded
        raise
    raise ImportError(
        f"this containerlib is the source folder {package}, which has no compiled _native: Python looks in the "
        "working directory first, before it finds the installed package. Start Python in another directory or as "
        "`python -P`, or install the clone with `pip install -e .`",
        name=error.name,
        path=error.path,
    ) from error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

ffi = _native.ffi
lib = _native.lib
_SIGKILL = 9

HELPER_FILE = f"{os.path.dirname(_native.__file__)}/_libexec/containerlib-helper"  # noqa: PTH120 - hot path
if TYPE_CHECKING:
    HELPER: Path
else:

    def __getattr__(name):
        """`HELPER`: the same as a path; pathlib is 6 ms of a command's start."""
        if name != "HELPER":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from pathlib import Path  # noqa: PLC0415

        return Path(HELPER_FILE)


class Child:
    """A child process by its pidfd. The descriptor is in here from the instant that it exists: an interrupt between
    the call that makes it and the next line loses nothing."""

    def __init__(self) -> None:
        self._pidfd = ffi.new("int *", -1)
        self._lock = threading.Lock()

    @property
    def pidfd(self) -> int:
        """-1 before the start and after the reaping."""
        return int(self._pidfd[0])

    def spawn(self, executable: int, control: int, null: int) -> None:
        """Starts the helper behind the descriptor `executable`.

        `control` becomes its descriptor 3, `null` its stdio. The caller's memory is not copied, whatever its size.

        Raises: OSError.
        """
        error = ffi.new("struct clib_error *")
        if lib.clib_spawn(executable, control, null, self._pidfd, error) < 0:
            raise OSError(error.err, os.strerror(error.err))

    def signal(self, number: int) -> None:
        """Sends a signal; a child that has been reaped gets none."""
        with self._lock, contextlib.suppress(ProcessLookupError):
            if self.pidfd >= 0:
                pidfd_signal(self.pidfd, number)

    def reap(self, patience: float | None = 0.0) -> bool:
        """Reaps it if it has ended or does within `patience` seconds (None: however long); whether it is gone."""
        if not self._lock.acquire(blocking=patience != 0.0):
            return False  # somebody else waits for it
        try:
            if self.pidfd < 0:
                return True
            poll = select.poll()
            poll.register(self.pidfd, select.POLLIN)
            if not poll.poll(None if patience is None else patience * 1000):
                return False
            self._bury()
            return True
        finally:
            self._lock.release()

    def _bury(self) -> None:
        """It has ended: its descriptor is no more, in one call that no interrupt comes between."""
        lib.clib_pidfd_reap(self._pidfd)


class Holder(Child):
    """A child that does nothing but be in new namespaces, for somebody to map and enter them. End it."""

    def __init__(self) -> None:
        super().__init__()
        self.pid = 0

    def start(self, flags: int) -> None:
        """In namespaces of these kinds (CLONE_NEW*). Raises: OSError."""
        self.pid = _checked(lib.clib_hold(flags, self._pidfd))

    def end(self) -> None:
        """It is gone, where it was there."""
        self.signal(_SIGKILL)
        self.reap(None)


def join(descriptor: int, flags: int) -> None:
    """setns(2): this thread moves into other namespaces; a user namespace takes a process of one thread.

    Raises: OSError.
    """
    _checked(lib.clib_join(descriptor, flags))


def own_mounts(source: str | None, target: str) -> None:
    """This thread gets a mount namespace of its own, with the file `source` on the file `target`, which is made.

    Without a source: a tmpfs on the directory. It stays there: for a thread that ends. Raises: OSError.
    """
    path = ffi.NULL if source is None else os.fsencode(source)
    _checked(lib.clib_own_mounts(path, os.fsencode(target)), target)


def pidfd_open(pid: int) -> int:
    """A descriptor of process `pid`. Raises: ProcessLookupError."""
    return _checked(lib.clib_pidfd_open(pid))


def pidfd_signal(pidfd: int, signal: int) -> None:
    """Sends `signal` to the process behind `pidfd`. Raises: ProcessLookupError."""
    _checked(lib.clib_pidfd_signal(pidfd, signal))


def socket_in(pidfd: int, family: int) -> socket.socket:
    """A TCP socket, not blocking, in the network namespace of the process behind `pidfd`. Raises: OSError."""
    return socket.socket(family, socket.SOCK_STREAM, fileno=_checked(lib.clib_socket_in(pidfd, family)))


def keep_network(path: str) -> None:
    """Mounts a new network namespace on the file `path`, which lasts as long as that. Raises: OSError."""
    _checked(lib.clib_network_keep(os.fsencode(path)), path)


def let_go_of_network(path: str) -> None:
    """Raises: OSError."""
    _checked(lib.clib_network_let_go(os.fsencode(path)), path)


def become_subreaper() -> None:
    """Makes this process adopt the orphans among its descendants (PR_SET_CHILD_SUBREAPER). Raises: OSError."""
    _checked(lib.clib_become_subreaper())


def open_in_root(directory: int, path: str, flags: int, mode: int = 0, resolve: int = 0) -> int:
    """openat2(2) with RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | `resolve`. Raises: OSError."""
    return _checked(lib.clib_open_in_root(directory, os.fsencode(path), flags, mode, resolve), path)


def make_directories(paths: Sequence[str], mode: int) -> int:
    """mkdir(2) of each until one cannot be made: how many were. That one is the caller's, to hear why."""
    return int(lib.clib_make_directories(_terminated(paths), len(paths), mode))


def write_files(files: Sequence[tuple[str, str]]) -> int:
    """One write(2) for each path and its text, until one is refused: how many were written. As `make_directories`."""
    return int(lib.clib_write_files(_terminated([text for pair in files for text in pair]), len(files)))


def remove_level(top: int, name: str, aside: str, *, deep: int = 0) -> tuple[int, int]:
    """Removes what is in the directory `name` of `top`, and `deep` levels below that; what is deeper moves into `top`.

    Directories with something in them, that is: they are called `aside` and a number, from 0 on.

    Returns how many, and the bytes of the files that are no more. Raises: OSError.
    """
    size = ffi.new("uint64_t *")
    moved = _checked(lib.clib_remove_level(top, os.fsencode(name), os.fsencode(aside), deep, size), name)
    return moved, int(size[0])


def has_capability(number: int) -> bool:
    """Whether this thread has the capability of that number in force."""
    return bool(_checked(lib.clib_has_capability(number)))


def watch_growth(path: str) -> int:
    """A non-blocking descriptor that is readable when a file in the directory `path` has grown, or come.

    Raises: OSError.
    """
    return _checked(lib.clib_watch_growth(os.fsencode(path)), path)


def cgroup_device_load(instructions: Sequence[int]) -> int:
    """A descriptor of an eBPF device filter. Raises: OSError."""
    program = ffi.new("uint64_t[]", [word & 0xFFFFFFFFFFFFFFFF for word in instructions])
    return _checked(lib.clib_cgroup_device_load(program, len(instructions)))


def cgroup_device_find(cgroup: int) -> int | None:
    """A new descriptor of the filter that was loaded so and is attached to the cgroup v2 directory `cgroup`.

    Raises: OSError.
    """
    answer = lib.clib_cgroup_device_find(cgroup)
    return None if answer == -errno.ENOENT else _checked(answer)


def cgroup_device_attach(cgroup: int, program: int, replaced: int | None = None) -> None:
    """Attaches a filter beside those of others, at once in the place of `replaced`. Raises: OSError."""
    _checked(lib.clib_cgroup_device_attach(cgroup, program, -1 if replaced is None else replaced))


def cgroup_device_detach(cgroup: int, program: int) -> None:
    """Raises: OSError."""
    _checked(lib.clib_cgroup_device_detach(cgroup, program))


def filesystem_known(kind: str) -> bool:
    """Whether fsopen(2) knows that file system. Raises: OSError."""
    answer = lib.clib_filesystem_known(os.fsencode(kind))
    if answer == -errno.ENODEV:
        return False
    _checked(answer, kind)
    return True


def mount_memory(*, large: bool) -> int:
    """A tmpfs that is attached nowhere: it is gone with its last descriptor. Raises: OSError.

    `large`: large files have large pages, where the kernel has any.
    """
    return _checked(lib.clib_mount_memory(large))


def exchange(one: str, other: str) -> None:
    """Gives each of two paths what the other has, in one step. Raises: OSError."""
    _checked(lib.clib_exchange(os.fsencode(one), os.fsencode(other)), one)


def _terminated(texts: Sequence[str]) -> bytes:
    data = os.fsencode("\0".join(texts)) + b"\0"
    if data.count(0) != max(1, len(texts)):
        raise ValueError("embedded null byte")  # as Python's own calls have it
    return data


def _checked(answer: int, path: str | None = None) -> int:
    if answer < 0:
        raise OSError(-answer, os.strerror(-answer), path)
    return int(answer)
