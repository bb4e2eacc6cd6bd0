"""Directories and files of a cgroup tree: made, removed, read and written as the kernel wants it."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterator, Sequence

from containerlib._sys import native
from containerlib.errors import Conflict, StageError, Timeout

__all__ = [
    "CgroupFiles",
    "attempts",
    "children",
    "gone",
    "read",
    "read_or",
    "refuse_in_use",
    "stage",
    "write",
]


_CHUNK = 1 << 16


class CgroupFiles:
    """What a container's groups need of the file system. A fake makes the files that the kernel makes in `mkdir`."""

    def mkdir(self, directory: str) -> None:
        os.mkdir(directory, 0o755)  # noqa: PTH102 - hot path

    def make_each(self, directories: Sequence[str]) -> int:
        """mkdir of one after the other, at once, until one cannot be made so: how many were."""
        return native.make_directories(directories, 0o755)

    def rmdir(self, directory: str) -> None:
        os.rmdir(directory)  # noqa: PTH106 - hot path

    def make(self, directory: str, *, take_over: bool = True) -> bool:
        """mkdir, with missing parents; whether it was made. One that is there already is empty, or else a Conflict:
        it is removed and made anew, or without `take_over` used as it is.

        Raises: Conflict where that is in use; StageError.
        """
        for _ in range(100):  # the parent may be removed by another process between two steps
            try:
                self.mkdir(directory)
            except FileNotFoundError:
                parent, _, name = directory.rpartition("/")
                if not name or parent in ("", directory):
                    raise StageError("cgroup", errno.ENOENT, directory) from None
                with contextlib.suppress(FileExistsError):
                    self._make_parent(parent)
            except FileExistsError:
                if not take_over:
                    refuse_in_use(directory)
                    return False
                self.remove_tree(directory, time.monotonic())
            except OSError as error:
                raise StageError("cgroup", error.errno or 0, directory, advice=_advice(error)) from error
            else:
                return True
        raise StageError("cgroup", errno.EAGAIN, directory)

    def _make_parent(self, directory: str) -> None:
        try:
            self.mkdir(directory)
        except FileNotFoundError:
            self._make_parent(directory.rpartition("/")[0])
            self.mkdir(directory)

    def remove_tree(self, directory: str, limit: float) -> None:
        """rmdir of `directory` and of those in it, again and again until `limit` (time.monotonic) while it is busy.

        Raises: Conflict, StageError.
        """
        delay = 0.0001
        while True:
            try:
                self.rmdir(directory)
            except FileNotFoundError:
                return
            except OSError as error:
                if error.errno not in (errno.EBUSY, errno.ENOTEMPTY):
                    raise StageError("cgroup", error.errno or 0, directory) from error
            else:
                return
            for child in children(directory):
                self.remove_tree(child, limit)
            if time.monotonic() > limit:
                raise Conflict(
                    f"processes are still in the cgroup {directory}: end them first", state="running"
                )
            time.sleep(delay)
            delay = min(delay * 2, 0.01)


def refuse_in_use(directory: str) -> None:
    """A group that others made is used where it is empty and not frozen: a process would not start in it.

    Spec: runtime-spec config-linux.md#control-groups. Raises: Conflict, StageError.
    """
    with stage(directory):
        if read(f"{directory}/cgroup.procs").strip():
            raise Conflict(f"the cgroup {directory} has processes: name another cgroupsPath", state="running")
        for name, thawed in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):
            with contextlib.suppress(FileNotFoundError):
                if read(f"{directory}/{name}").strip() != thawed:
                    raise Conflict(f"the cgroup {directory} is frozen: thaw it first", state="paused")


def children(directory: str) -> Sequence[str]:
    """The groups in a group; none where it is gone."""
    try:
        with os.scandir(directory) as entries:
            return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return ()


def _advice(error: OSError) -> str:
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "making groups needs root, or a delegated and writable cgroup mount"
    return ""


@contextlib.contextmanager
def stage(detail: str) -> Iterator[None]:
    """Names what the kernel refused."""
    try:
        yield
    except OSError as error:
        if isinstance(error, StageError | Timeout):
            raise
        raise StageError("cgroup", error.errno or 0, detail) from error


@contextlib.contextmanager
def gone() -> Iterator[None]:
    """Passes over a group that was removed before (ENOENT) or after (ENODEV) its file was opened."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENODEV):
            raise


def attempts(timeout: float) -> Iterator[None]:
    """Once at once, then after growing pauses until `timeout` seconds are over."""
    limit, delay = time.monotonic() + timeout, 0.0001
    while True:
        yield
        if time.monotonic() > limit:
            return
        time.sleep(delay)
        delay = min(delay * 2, 0.01)


def read(path: str) -> str:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return b"".join(iter(lambda: os.read(descriptor, _CHUNK), b"")).decode("ascii")
    finally:
        os.close(descriptor)


def read_or(path: str, otherwise: str = "") -> str:
    """What the file says, or `otherwise` where the kernel or this group has no such file."""
    try:
        return read(path)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENODEV, errno.EOPNOTSUPP):
            raise
        return otherwise


def write(path: str, text: str) -> None:
    """One write(2), as every file of a cgroup wants it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode(errors="surrogateescape"))
    finally:
        os.close(descriptor)
