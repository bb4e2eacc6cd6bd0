"""Leases: which temporary names belong to somebody who lives.

    with Lease(directory, table) as lease:
        lease.keep([("blob", digest), ("snapshot", chain_id)])    # safe from collection, there or to come
        temporary = lease.temporary(snapshots)                     # <snapshots>/tmp-<lease>-0

The lease is a file that its holder keeps locked. The kernel drops the lock when the holder dies, however it
dies, so whoever can lock the file knows that the names are free to be cleared away.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from itertools import count
from types import TracebackType

from containerlib._sys import forks
from containerlib.errors import Error, StageError
from containerlib.store import Content, ImageTable

__all__ = ["Lease", "lease_of", "sweep"]

_TEMPORARY = "tmp-"


class Lease:
    """Held from construction to `release` (or the end of `with`). Safe to use from several threads."""

    def __init__(self, directory: str, table: ImageTable) -> None:
        self._table = table
        self._fd = -1
        self._numbers = count()
        while True:
            self.id = secrets.token_hex(8)
            self._path = os.path.join(directory, self.id)
            try:
                with forks.no_fork:
                    forks.close_in_child(self)
                    self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise StageError("state", error.errno or 0, self._path) from error
            with suppress(BlockingIOError):
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(self._fd).st_nlink:  # else a sweep took the file before it was locked
                    return
            self.close()

    def keep(self, contents: Iterable[Content]) -> None:
        """Keeps `contents` from collection until the lease ends."""
        self._table.lease(self.id, contents)

    def temporary(self, directory: str) -> str:
        """A new path in `directory` that is this lease's; nothing is made."""
        return os.path.join(directory, f"{_TEMPORARY}{self.id}-{next(self._numbers)}")

    def release(self) -> None:
        """Ends the lease. What fails is left to the next sweep, which knows that the lease is over."""
        try:
            self._table.release(self.id)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(self._path)
            self.close()

    def close(self) -> None:
        """Lets go of the file, and leaves all else as it is."""
        with forks.no_fork:
            forks.let_go(self)
            descriptor, self._fd = self._fd, -1
            if descriptor >= 0:
                os.close(descriptor)

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.release()
        except Error as failure:
            if error is None:
                raise
            error.add_note(f"and its lease could not be ended: {failure}")


def lease_of(name: str) -> str | None:
    """The lease that the temporary name belongs to; None for a name that is not temporary."""
    return name.split("-")[1] if name.startswith(_TEMPORARY) and name.count("-") == 2 else None


def sweep(directory: str, table: ImageTable) -> set[str]:
    """Ends the leases whose holders died, and returns those that live."""
    names = set(os.listdir(directory))
    live = {name for name in names if not _ended(os.path.join(directory, name), name, table)}
    for lease in table.leases() - set(os.listdir(directory)):
        table.release(lease)
    return live


def _ended(path: str, lease: str, table: ImageTable) -> bool:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        table.release(lease)
        with suppress(FileNotFoundError):
            os.unlink(path)
        return True
    finally:
        os.close(fd)
