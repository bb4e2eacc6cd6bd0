"""Word of the kernel's OOM killer in a container: a descriptor to poll, and a count.

    with cgroup.watch_oom() as watch:
        select.select([watch], [], [])         # or an event loop: it has fileno()
        for _ in range(watch.poll()): ...      # one for each process that was killed since the last call
        watch.ended                            # the group is gone: nothing more will come

On v1 the kernel signals an eventfd that was registered through cgroup.event_control, also once when the group is
removed; on v2 inotify tells that memory.events was written to.

Spec: kernel admin-guide/cgroup-v1/memory.rst section 9 and 10, cgroup-v2.rst (memory.events, cgroup.events)
"""

from __future__ import annotations

import contextlib
import os
import select
import time
from types import TracebackType

from containerlib._sys import native
from containerlib.errors import StageError
from containerlib.runtime.cgroups.files import attempts, read_or, stage, write

__all__ = ["OomWatch"]

_KILL_SECONDS = 0.1


class OomWatch:
    """Owns its descriptors until `close`. Not for two threads at once."""

    def __init__(self, directory: str, *, unified: bool) -> None:
        """`directory`: the memory group. Raises: StageError where it is not there, or may not be watched."""
        self._directory, self._unified = directory, unified
        self._file = f"{directory}/{'memory.events' if unified else 'memory.oom_control'}"
        self._oom_control = -1
        with stage(self._file):
            self._descriptor = native.watch_growth(self._file) if unified else self._register()
        self._seen = self.counter()

    def fileno(self) -> int:
        """Readable when `poll` has something to say."""
        return self._descriptor

    def poll(self, timeout: float = 0.0) -> int:
        """How many processes were killed since the last call; waits up to `timeout` seconds for the first.

        Where none is killed, because the OOM killer is disabled or the kernel does not count (v1 before Linux 4.13):
        how often the limit was reached.
        """
        poller = select.poll()
        poller.register(self._descriptor, select.POLLIN)
        limit = time.monotonic() + timeout
        while poller.poll(max(0.0, limit - time.monotonic()) * 1000):
            reached = self._drain()
            for _ in attempts(0.0 if self._unified else _KILL_SECONDS):  # v1 signals before it kills
                if (killed := self._killed()) or self.ended:
                    return killed
            if not self._unified:
                return reached
        return self._killed()

    def _killed(self) -> int:
        now = self.counter()
        if now is None or self._seen is None:
            return 0
        killed, self._seen = now - self._seen, now
        return killed

    def counter(self) -> int | None:
        """Processes killed since the group was made; None where the kernel does not count, or the group is gone."""
        for line in read_or(self._file).splitlines():
            name, _, value = line.partition(" ")
            if name == "oom_kill":
                return int(value)
        return None

    @property
    def ended(self) -> bool:
        return not read_or(self._file)

    def close(self) -> None:
        for descriptor in (self._descriptor, self._oom_control):
            if descriptor >= 0:
                os.close(descriptor)
        self._descriptor = self._oom_control = -1

    def __enter__(self) -> OomWatch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _register(self) -> int:
        event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        try:
            self._oom_control = os.open(self._file, os.O_RDONLY | os.O_CLOEXEC)
            write(f"{self._directory}/cgroup.event_control", f"{event} {self._oom_control}")
        except OSError as error:
            os.close(event)
            if self._oom_control >= 0:
                os.close(self._oom_control)
            raise StageError("cgroup", error.errno or 0, self._file) from error
        return event

    def _drain(self) -> int:
        """How often the kernel signalled. An eventfd's count, or an inotify queue, whose entries are not told apart."""
        with contextlib.suppress(BlockingIOError):
            if not self._unified:
                return os.eventfd_read(self._descriptor)
            os.read(self._descriptor, 4096)
        return 1
