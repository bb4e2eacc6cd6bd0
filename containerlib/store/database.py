"""One SQLite file that threads and processes share.

    database = Database(path)
    with database.transaction() as cursor:       # BEGIN IMMEDIATE ... COMMIT, or ROLLBACK on any exception
        cursor.execute(...)
    rows = database.query("SELECT ...", ...)

WAL with synchronous=NORMAL: a commit is one write and no fsync; a power cut may lose the newest commits,
never the file. There is one connection in a process, under a lock; a forked child opens its own, because
SQLite forbids to carry one over.

The child's copy is closed first. SQLite counts the locks on a file in one table for the whole process, and that is
copied as well: a connection beside the copy would take the parent's locks, which the kernel does not give the child,
for its own, and write into a log of changes that others take away. So nothing is under way at a fork, and the copy
is closed where it is: fcntl(2)'s locks are a process's own, and the parent keeps those that it has.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from errno import EIO, ENOSPC
from typing import Any

from containerlib.errors import StageError, Unavailable, Unsupported
from containerlib.store.schema import MIGRATIONS

__all__ = ["Database"]

_BUSY_TIMEOUT = 60.0
_FORK_PATIENCE = 5.0
"""Seconds that a fork waits for the end of a transaction."""
_abandoned: list[sqlite3.Connection] = []
_open_here: weakref.WeakSet[Database] = weakref.WeakSet()
_held: list[Database] = []
"""Those whose lock is held for a fork that is under way."""


class Database:
    """The connection; opened and migrated when it is made, and again after a fork."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._pid = 0
        self._connection: sqlite3.Connection | None = None
        with self._lock:
            self._open()
        _open_here.add(self)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Cursor]:
        """A write transaction, alone among all threads and processes; nested ones join the outer."""
        with self._locked() as connection:
            if connection.in_transaction:
                yield connection.cursor()
                return
            cursor = connection.execute("BEGIN IMMEDIATE")
            try:
                yield cursor
                connection.commit()
            except BaseException:
                connection.rollback()
                raise

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Every row of a SELECT."""
        with self._locked() as connection:
            return connection.execute(sql, parameters).fetchall()

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """One statement that is its own transaction (or part of the open one); the count of changed rows."""
        with self._locked() as connection:
            return connection.execute(sql, parameters).rowcount

    def close(self) -> None:
        """Closes the connection; the next use would open it again."""
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None and self._pid == os.getpid():
                connection.close()

    def hold(self) -> bool:
        """Keeps everybody out until `release`; whether there is nothing under way by now."""
        return self._lock.acquire(timeout=_FORK_PATIENCE)

    def release(self) -> None:
        """Lets them in again."""
        self._lock.release()

    def disown(self) -> None:
        """In a forked child: closes the copy of a connection on which nothing is under way."""
        self._lock = threading.RLock()
        if self._connection is not None and not self._connection.in_transaction:
            self._connection.close()
            self._connection = None

    @contextmanager
    def _locked(self) -> Iterator[sqlite3.Connection]:
        if self._pid != os.getpid():
            # The lock's holder, if there was one, is a thread that this process does not have.
            self._lock = threading.RLock()
        with self._lock:
            connection = self._connection
            if connection is None or self._pid != os.getpid():
                connection = self._open()
            try:
                yield connection
            except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
                raise
            except sqlite3.DatabaseError as error:
                raise _typed(error, self.path) from error

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None:
            _abandoned.append(self._connection)  # closing it here would drop the parent's locks
        self._connection, self._pid = None, os.getpid()
        try:
            connection = sqlite3.connect(
                self.path, timeout=_BUSY_TIMEOUT, isolation_level=None, check_same_thread=False
            )
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("PRAGMA foreign_keys=ON")
            _migrate(connection, self.path)
        except sqlite3.DatabaseError as error:
            raise _typed(error, self.path) from error
        self._connection = connection
        return connection


def _migrate(connection: sqlite3.Connection, path: str) -> None:
    """Brings the schema to the newest version: each migration once, in order, in one transaction.

    Raises: Unsupported where a newer release has been here.
    """
    newest = len(MIGRATIONS)
    if connection.execute("PRAGMA user_version").fetchone()[0] == newest:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS migrations (version INTEGER PRIMARY KEY, applied_at TEXT)"
        )
        done = connection.execute("SELECT coalesce(max(version), 0) FROM migrations").fetchone()[0]
        if done > newest:
            raise Unsupported(
                f"{path} has schema {done}, and this release knows {newest}: use a newer release"
            )
        for version, statements in enumerate(MIGRATIONS[done:], done + 1):
            for statement in statements:
                connection.execute(statement)
            connection.execute("INSERT INTO migrations VALUES (?, datetime('now'))", (version,))
        connection.execute(f"PRAGMA user_version = {newest}")
        connection.commit()
    except BaseException:
        connection.rollback()
        raise


def _typed(error: sqlite3.DatabaseError, path: str) -> Exception:
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return Unavailable(f"{path} has been locked by another process for {_BUSY_TIMEOUT:.0f} s: try again")
    if not isinstance(error, sqlite3.OperationalError):
        return Unavailable(
            f"{path} is damaged or not a database ({error}): move it away, and pull the images again"
        )
    full = name == "SQLITE_FULL" or (name.startswith("SQLITE_IOERR") and _is_full(path))
    advice = "free some space and try again" if full else str(error)
    return StageError("state", ENOSPC if full else EIO, path, advice=advice)


def _is_full(path: str) -> bool:
    try:
        return os.statvfs(os.path.dirname(path)).f_bavail == 0  # noqa: PTH120
    except OSError:
        return False


def _before_fork() -> None:
    _held.extend(database for database in tuple(_open_here) if database.hold())


def _after_fork_in_parent() -> None:
    while _held:
        _held.pop().release()


def _after_fork_in_child() -> None:
    while _held:
        _held.pop().disown()


os.register_at_fork(
    before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
)
