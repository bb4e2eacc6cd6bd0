"""One verb at a time works on a container: a lock on its directory, which ends with the process that holds it.

What only looks, and what must get through to a container that is stuck (kill), takes none.
"""

from __future__ import annotations

import fcntl
import os
import time

from containerlib.errors import Conflict, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Lock", "is_locked"]

PATIENCE = 30.0
_STEP = 0.01


class Lock:
    """`with Lock(directory):` keeps other commands out for as long. Waits for them, `PATIENCE` seconds at most.

    Raises: Conflict, NotFound where the container was removed meanwhile.
    """

    def __init__(self, directory: str, *, patience: float = PATIENCE) -> None:
        self._directory = directory
        self._patience = patience
        self._fd = -1

    def __enter__(self) -> Lock:
        limit = time.monotonic() + self._patience
        while not self._take():
            if time.monotonic() > limit:
                raise Conflict(f"another command works on {self._directory}: wait for it, or end it")
            time.sleep(_STEP)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self._fd)

    def _take(self) -> bool:
        fd = _open(self._directory)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held, named = os.fstat(fd), os.stat(self._directory)
        except FileNotFoundError as error:
            os.close(fd)
            raise _missing(self._directory) from error
        except BlockingIOError:
            os.close(fd)
            return False
        if (held.st_dev, held.st_ino) != (
            named.st_dev,
            named.st_ino,
        ):  # removed, and another made in its place
            os.close(fd)
            return False
        self._fd = fd
        return True


def is_locked(directory: str) -> bool:
    """Whether some command works on the container now."""
    fd = _open(directory)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def _open(directory: str) -> int:
    try:
        return os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise _missing(directory) from error


def _missing(directory: str) -> NotFound:
    root, _, container_id = directory.rpartition("/")
    return NotFound(f"container does not exist: {container_id!r}, below {root}")
