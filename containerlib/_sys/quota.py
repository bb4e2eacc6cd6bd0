"""Project quotas: how much the files below one directory may take, whoever writes them.

    project = free_project(top)
    set_project(directory, project)          # it, and all that is made in it
    set_limit(directory, project, 1 << 30)
    set_limit(directory, project, 0)         # none: the project is free again

ext4 and XFS have them where they were made, or mounted, so. A write beyond the limit is EDQUOT, of XFS ENOSPC. ext4
bounds nobody who has CAP_SYS_RESOURCE, which a container has only where it was given that.

Spec: quotactl(2), ioctl_xfs_fsgetxattr(2)
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import struct

from containerlib.errors import StageError, Unsupported

__all__ = ["free_project", "is_free", "set_limit", "set_project"]

_QUOTACTL_FD = 443
_PROJECT_QUOTA = 2
_Q_GETQUOTA = 0x800007
_Q_SETQUOTA = 0x800008
_Q_XGETQSTATV = ord("X") << 8 | 8
_ENFORCED = 1 << 5
"""FS_QUOTA_PDQ_ENFD."""
_DQBLK = struct.Struct("<8QI4x")
"""struct if_dqblk; its limits are in KiB."""
_BLOCK_LIMITS = 1
_FS_IOC_FSGETXATTR = 0x801C581F
_FS_IOC_FSSETXATTR = 0x401C5820
_FSXATTR = struct.Struct("<5I8s")
_INHERITED = 0x200
"""FS_XFLAG_PROJINHERIT."""
_FIRST, _LAST = 1 << 20, 1 << 31
"""Above those that people give out by hand, in /etc/projid."""
_NONE = frozenset({errno.ESRCH, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL})
_TRIES = 64


def free_project(directory: str) -> int:
    """A project that has neither files nor limits on the file system of `directory`.

    By chance, so that nobody else who looks for one at this moment finds the same.

    Raises: Unsupported where that enforces no limits for projects; StageError(stage="quota").
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _require(descriptor, directory)
        for _ in range(_TRIES):
            project = _FIRST + secrets.randbelow(_LAST - _FIRST)
            if _is_free(descriptor, project):
                return project
    except OSError as error:
        raise StageError("quota", error.errno or 0, directory) from error
    finally:
        os.close(descriptor)
    raise StageError("quota", errno.EUSERS, directory)


def is_free(directory: str, project: int) -> bool:
    """Whether the project has neither files nor limits. Raises: OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return _is_free(descriptor, project)
    finally:
        os.close(descriptor)


def set_project(directory: str, project: int) -> None:
    """The directory, which is empty, and all that will be in it, is of that project.

    Raises: StageError(stage="quota").
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        flags, *rest = _FSXATTR.unpack(fcntl.ioctl(descriptor, _FS_IOC_FSGETXATTR, bytes(_FSXATTR.size)))
        rest[2] = project
        fcntl.ioctl(descriptor, _FS_IOC_FSSETXATTR, _FSXATTR.pack(flags | _INHERITED, *rest))
    except OSError as error:
        raise StageError("quota", error.errno or 0, directory) from error
    finally:
        os.close(descriptor)


def set_limit(directory: str, project: int, size_bytes: int) -> None:
    """What the project may take on the file system of `directory`, rounded up to KiB; 0: as much as there is.

    Raises: StageError(stage="quota").
    """
    blocks = -(-size_bytes // 1024)
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _call(descriptor, _Q_SETQUOTA, project, _DQBLK.pack(blocks, blocks, *[0] * 6, _BLOCK_LIMITS))
    except OSError as error:
        raise StageError("quota", error.errno or 0, directory) from error
    finally:
        os.close(descriptor)


def _is_free(descriptor: int, project: int) -> bool:
    return not any(_DQBLK.unpack(_call(descriptor, _Q_GETQUOTA, project, bytes(_DQBLK.size)))[:6])


def _require(descriptor: int, directory: str) -> None:
    """An ext4 may count what projects take, and enforce nothing."""
    try:
        state = _call(descriptor, _Q_XGETQSTATV, 0, bytes([1]) + bytes(255))
    except OSError as error:
        if error.errno not in _NONE:
            raise
        state = bytes(4)
    if not struct.unpack_from("<H", state, 2)[0] & _ENFORCED:
        raise Unsupported(
            f"the file system of {directory} enforces no project quotas, which bound a volume's size: mount it with "
            "prjquota (XFS, or ext4 made with -O quota,project; Linux 5.14), or bound a file system of the volume's own"
        )


def _call(descriptor: int, command: int, project: int, data: bytes) -> bytes:
    """quotactl_fd(2), which needs no name of a device."""
    import ctypes  # noqa: PLC0415 - 5 ms, for volumes with a size only

    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(data, len(data))
    number = ctypes.c_uint(command << 8 | _PROJECT_QUOTA)
    if libc.syscall(_QUOTACTL_FD, descriptor, number, ctypes.c_uint(project), buffer):
        code = ctypes.get_errno()
        if command == _Q_GETQUOTA and code in (errno.ESRCH, errno.ENOENT):  # nothing is known of it
            return data
        raise OSError(code, os.strerror(code))
    return buffer.raw
