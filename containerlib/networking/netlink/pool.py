"""Sockets to nf_tables for supervisors, of which this process has copies.

The kernel waits at the close of one for all that was removed lately, some 15 ms in which nobody can change anything. A
container's end is when something is removed: so its supervisor's is not closed then, but is the next container's.

    sockets = FilterSockets()
    descriptor = sockets.take(container_id)          # for its supervisor, and nobody else while that lives
    sockets.give_back(container_id)                  # it is gone
"""

from __future__ import annotations

import contextlib
import os
import socket

from containerlib._sys.forks import Lock, close_in_child, no_fork

__all__ = ["FilterSockets"]

_NETFILTER = 12
_MOST = 128
"""Descriptors of either kind."""


class FilterSockets:
    """Usable from several threads. A socket is of the network namespace that the calling thread is in."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._taken: dict[str, tuple[int, socket.socket]] = {}
        self._free: list[tuple[int, socket.socket]] = []
        close_in_child(self)

    def take(self, container_id: str) -> int:
        """A descriptor, which stays this object's; -1 where there are too many."""
        here = os.stat("/proc/thread-self/ns/net").st_ino  # noqa: PTH116 - hot path
        with self._lock:
            if container_id not in self._taken and len(self._taken) == _MOST:
                return -1
            known = self._taken.pop(container_id, None)
            if known is None or known[0] != here:
                self._drop(known)
                known = (here, self._one(here))
            self._taken[container_id] = known
            return known[1].fileno()

    def _one(self, here: int) -> socket.socket:
        for index, (namespace, _) in enumerate(self._free):
            if namespace == here:
                return self._free.pop(index)[1]
        return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETFILTER)

    def give_back(self, container_id: str) -> None:
        """Its supervisor has ended, or there is none that has it."""
        with self._lock:
            known = self._taken.pop(container_id, None)
            if known is None:
                return
            if len(self._free) == _MOST:
                self._drop(known)
                return
            with contextlib.suppress(BlockingIOError):  # what a supervisor has not read that was killed
                while known[1].recv(1 << 16, socket.MSG_DONTWAIT):
                    pass
            self._free.append(known)

    @staticmethod
    def _drop(known: tuple[int, socket.socket] | None) -> None:
        if known is not None:
            known[1].close()

    def close(self) -> None:
        """Supervisors keep theirs."""
        with no_fork:
            known = [*self._taken.values(), *self._free]
            self._taken.clear()
            self._free.clear()
            for each in known:
                self._drop(each)
