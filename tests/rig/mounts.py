"""Mounts that a test needs, taken down again."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def mounted_tmpfs(path: Path, *, size: str) -> Iterator[Path]:
    path.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", str(path)], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", str(path)], check=True)


@contextmanager
def mounted_erofs(image: Path, path: Path) -> Iterator[Path]:
    from containerlib._sys.erofs import mount_erofs

    mount = mount_erofs(str(image))
    try:
        move_mount(mount, path)
    finally:
        os.close(mount)
    try:
        yield path
    finally:
        subprocess.run(["umount", str(path)], check=True)


def move_mount(mount: int, path: Path) -> None:
    """Gives the detached mount behind a descriptor a place: move_mount(2)."""
    number, from_empty_path = 429, 4
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(number, mount, b"", -100, os.fsencode(path), from_empty_path):
        raise OSError(ctypes.get_errno(), "move_mount", str(path))


def check_erofs(image: Path) -> None:
    """The opinion of erofs-utils, where they are installed."""
    if shutil.which("fsck.erofs"):
        checked = subprocess.run(["fsck.erofs", str(image)], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stdout + checked.stderr
