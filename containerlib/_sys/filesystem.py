"""What the kernel offers for whole file systems, and Python's os module does not."""

from __future__ import annotations

import errno
import os
import re

from containerlib.errors import StageError

__all__ = ["exchange", "knows", "sync_filesystem", "type_of", "unescaped"]

_ESCAPED = re.compile(r"\\([0-7]{3})")


def sync_filesystem(path: str) -> None:
    """Has all that was written to the file system of `path` on disk: one syncfs(2), however many files.

    Raises: StageError(stage="sync") where some of it could not be written.
    """
    import ctypes  # noqa: PLC0415 - 5 ms, for pulls only

    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.syncfs(fd) != 0:
            raise StageError("sync", ctypes.get_errno(), path)
    finally:
        os.close(fd)


def exchange(one: str, other: str) -> bool:
    """Gives each of two paths what the other has, and nobody sees a moment between. False where that cannot be done.

    On NFS and a few others it cannot. Raises: OSError for another reason than that.

    Spec: renameat2(2), RENAME_EXCHANGE
    """
    from containerlib._sys import native  # noqa: PLC0415 - loads the extension

    try:
        native.exchange(one, other)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
            return False
        raise
    return True


def knows(kind: str) -> bool:
    """Whether the kernel has that type of file system; its module is loaded for that. Takes CAP_SYS_ADMIN.

    Raises: OSError for another reason than that.
    """
    from containerlib._sys import native  # noqa: PLC0415 - loads the extension

    return native.filesystem_known(kind)


def type_of(path: str) -> str:
    """The type of the file system that the directory `path` is on, as /proc/filesystems has it; "" where unknown.

    Spec: proc_pid_mountinfo(5)
    """
    device = os.stat(path).st_dev  # noqa: PTH116 - a str
    wanted = f"{os.major(device)}:{os.minor(device)}"
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
        for line in file:
            left, _, right = line.partition(" - ")
            if left.split()[2] == wanted:
                return right.split()[0]
    return ""


def unescaped(path: str) -> str:
    """A path as it is, of one that mountinfo has: with blanks and backslashes as octal numbers.

    Spec: proc_pid_mountinfo(5)
    """
    return _ESCAPED.sub(lambda match: chr(int(match[1], 8)), path) if "\\" in path else path
