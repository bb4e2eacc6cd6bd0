"""mount(2) and umount2(2) for volumes that are a file system of their own.

    mount_on("/root/volumes/www", source="/dev/vdb1", fstype="ext4", flags=MS_NODEV, data="")
    is_mounted("/root/volumes/www")        # True
    unmount("/root/volumes/www")

The old calls, for what a volume's options say is in their words: a `data` that the file system itself reads.
"""

from __future__ import annotations

import contextlib
import errno
import os

from containerlib._sys.filesystem import unescaped

__all__ = ["MS_BIND", "MS_RDONLY", "MS_REC", "is_mounted", "mount_on", "unmount"]

MS_RDONLY = 1
MS_BIND = 1 << 12
MS_REC = 1 << 14
_MS_REMOUNT = 1 << 5
_MNT_DETACH = 2
_UMOUNT_NOFOLLOW = 8


def mount_on(place: str, *, source: str, fstype: str, flags: int, data: str) -> None:
    """Mounts over the directory `place`; of a bind, further flags than MS_REC are given to it by a second call.

    All of it or nothing. Raises: OSError.
    """
    import ctypes  # noqa: PLC0415 - 5 ms, for volumes with options only

    libc = ctypes.CDLL(None, use_errno=True)

    def call(source: str | None, fstype: str, flags: int, data: str) -> None:
        texts = (None if text is None else os.fsencode(text) for text in (source, place, fstype))
        if libc.mount(*texts, ctypes.c_ulong(flags), os.fsencode(data) or None):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), source)

    more = flags & ~(MS_BIND | MS_REC) if flags & MS_BIND else 0
    call(source, fstype, flags & ~more, data)
    if more:
        try:
            call(None, "", more | MS_BIND | _MS_REMOUNT, "")
        except BaseException:
            unmount(place)
            raise


def unmount(place: str) -> None:
    """Takes away all that is mounted on the directory; who uses it goes on until he is done. Nothing there is fine.

    Raises: OSError.
    """
    import ctypes  # noqa: PLC0415

    libc = ctypes.CDLL(None, use_errno=True)
    while libc.umount2(os.fsencode(place), _MNT_DETACH | _UMOUNT_NOFOLLOW) == 0:
        pass
    if ctypes.get_errno() not in (errno.EINVAL, errno.ENOENT):  # no mount; nothing at all
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), place)


def is_mounted(place: str) -> bool:
    """Whether something is mounted on that very directory, as this process sees it. Spec: proc_pid_mountinfo(5)"""
    with contextlib.suppress(OSError):
        wanted = os.path.realpath(place)
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            return any(unescaped(line.split(" ", 5)[4]) == wanted for line in file)
    return False
