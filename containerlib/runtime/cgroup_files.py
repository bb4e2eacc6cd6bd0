"""Directories and files of a cgroup tree: made, removed, read and written as the kernel wants it."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterator

from containerlib.errors import Conflict, StageError, Timeout

__all__ = ["attempts", "make", "read", "remove_tree", "stage", "write"]


@contextlib.contextmanager
def stage(detail: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if isinstance(error, StageError | Timeout):
            raise
        raise StageError("cgroup", error.errno or 0, detail) from error


def make(directory: str) -> None:
    """mkdir, with parents where they are missing; an empty left-over of the same name is taken over anew."""
    for _ in range(100):  # the parent may be removed by another process between two steps
        try:
            os.mkdir(directory, 0o755)  # noqa: PTH102 - hot path
        except FileNotFoundError:
            with stage(directory):
                os.makedirs(os.path.dirname(directory), 0o755, exist_ok=True)  # noqa: PTH103, PTH120
        except FileExistsError:
            remove_tree(directory, time.monotonic())
        except OSError as error:
            raise StageError("cgroup", error.errno or 0, directory, advice=_advice(error)) from error
        else:
            return
    raise StageError("cgroup", errno.EAGAIN, directory)


def _advice(error: OSError) -> str:
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "making groups needs root, or a delegated and writable cgroup mount"
    return ""


def remove_tree(directory: str, limit: float) -> None:
    delay = 0.0001
    while True:
        try:
            os.rmdir(directory)  # noqa: PTH106 - hot path
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno not in (errno.EBUSY, errno.ENOTEMPTY):
                raise StageError("cgroup", error.errno or 0, directory) from error
        else:
            return
        with contextlib.suppress(FileNotFoundError), os.scandir(directory) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    remove_tree(entry.path, limit)
        if time.monotonic() > limit:
            raise Conflict(f"processes are still in the cgroup {directory}: end them first", state="running")
        time.sleep(delay)
        delay = min(delay * 2, 0.01)


def attempts(timeout: float) -> Iterator[None]:
    limit, delay = time.monotonic() + timeout, 0.0001
    while True:
        yield
        if time.monotonic() > limit:
            return
        time.sleep(delay)
        delay = min(delay * 2, 0.01)


def read(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read()


def write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
