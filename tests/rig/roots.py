"""Runs a command where "/" is no file system that pivot_root(2) could exchange.

    python -m rig.roots ramdisk COMMAND...           # the initial ramdisk, as on machines that have no other root
    python -m rig.roots jail DIRECTORY COMMAND...    # a directory in a mount, as after a chroot(2)

For the first the machine's own root is taken away in a mount namespace, and what was in it is bound into the ramdisk,
which is below on every machine. The directories that are made there for it are removed again.

Spec: kernel filesystems/ramfs-rootfs-initramfs.rst, pivot_root(2)
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import sys
from pathlib import Path

CLONE_NEWNS, MS_REC, MS_PRIVATE, MS_BIND, MNT_DETACH = 0x20000, 0x4000, 1 << 18, 0x1000, 2
AT_FDCWD, AT_RECURSIVE, OPEN_TREE_CLONE, EMPTY_PATH = -100, 0x8000, 1, 4
OPEN_TREE, MOVE_MOUNT = 428, 429  # on every architecture
ALL = Path("/all-of-it")


def call(name: str, *arguments: object) -> int:
    """A function of the C library that sets errno."""
    result: int = getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{name}{arguments}")
    return result


def leave_the_hosts_mounts() -> None:
    call("unshare", CLONE_NEWNS)
    call("mount", None, b"/", None, MS_REC | MS_PRIVATE, None)


def unmount(path: Path) -> None:
    call("umount2", str(path).encode(), MNT_DETACH)


def is_lowest(proc: int) -> bool:
    """Whether what is "/" now is on nothing."""
    with open(os.open("self/mountinfo", os.O_RDONLY, dir_fd=proc)) as mountinfo:
        number, parent, *_ = next(line for line in mountinfo if line.split()[4] == "/").split()
    return number == parent


def furnish(source: Path, target: Path) -> list[Path]:
    """Binds what is in `source` to where it is in `target`. Returns what had to be made for it."""
    made = []
    for entry in source.iterdir():
        place = target / entry.name
        with contextlib.suppress(FileExistsError):
            if entry.is_symlink():
                place.symlink_to(entry.readlink())
            elif entry.is_dir():
                place.mkdir()
            else:
                continue
            made.append(place)
        if entry.is_dir() and not entry.is_symlink():
            call("mount", str(entry).encode(), str(place).encode(), None, MS_BIND | MS_REC, None)
    return made


def ramdisk(command: list[str]) -> int:
    proc, place = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY), Path.cwd()
    leave_the_hosts_mounts()
    tree = call("syscall", OPEN_TREE, AT_FDCWD, b"/", OPEN_TREE_CLONE | AT_RECURSIVE | os.O_CLOEXEC)
    namespace = os.open("self/ns/mnt", os.O_RDONLY, dir_fd=proc)
    while not is_lowest(proc):
        unmount(Path("/"))
        call("setns", namespace, CLONE_NEWNS)
    made = [ALL]
    try:
        ALL.mkdir()
        call("syscall", MOVE_MOUNT, tree, b"", AT_FDCWD, str(ALL).encode(), EMPTY_PATH)
        made += furnish(ALL, Path("/"))
        unmount(ALL)
        return subprocess.run(command, cwd=place, check=False).returncode
    finally:
        for path in made:
            if path.is_symlink():
                path.unlink()
                continue
            with contextlib.suppress(OSError):
                unmount(path)
            path.rmdir()


def jail(directory: Path, command: list[str]) -> None:
    place = Path.cwd()
    leave_the_hosts_mounts()
    call("mount", b"jail", str(directory).encode(), b"tmpfs", 0, None)
    inside = directory / "inside"
    inside.mkdir()
    furnish(Path("/"), inside)
    os.chroot(inside)
    os.chdir(place)
    os.execvp(command[0], command)  # noqa: S606 - as an argument list


if __name__ == "__main__":
    if sys.argv[1] == "ramdisk":
        sys.exit(ramdisk(sys.argv[2:]))
    jail(Path(sys.argv[2]), sys.argv[3:])
