"""Mounts that a test needs, taken down again; mounts of a bundle, and how they are in the container.

made = look(rack, with_mounts(entry("/new", "tmpfs", "tmpfs", "ro")))["/new"]
assert "ro" in made.options
"""

from __future__ import annotations

import ctypes
import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rig.bundles import Done, Rack

Change = Callable[[dict[str, Any]], None]
"""Edits a config.json."""
FORBIDDEN = "nosuid,nodev,noexec,noatime,nodiratime,nosymfollow"
"""All that a mount's attributes can forbid but writing."""


@contextmanager
def mounted_tmpfs(path: Path, *, size: str) -> Iterator[Path]:
    path.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", str(path)], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", str(path)], check=True)


@contextmanager
def without_room(disk: Path) -> Iterator[None]:
    """Nothing can be written on the disk."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass
    try:
        yield
    finally:
        filler.unlink()


@dataclass(frozen=True)
class Mounted:
    """A line of mountinfo. Spec: proc_pid_mountinfo(5)"""

    root: str
    options: frozenset[str]
    propagation: frozenset[str]
    """Without the numbers of the groups."""
    fstype: str
    source: str
    superblock: frozenset[str]


def mounts_of(mountinfo: str) -> dict[str, Mounted]:
    """By mount point, the uppermost of each."""
    found = {}
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        fields, (fstype, source, superblock) = left.split(), right.split()
        groups = frozenset(field.partition(":")[0] for field in fields[6:])
        found[fields[4]] = Mounted(
            fields[3],
            frozenset(fields[5].split(",")),
            groups,
            fstype,
            source,
            frozenset(superblock.split(",")),
        )
    return found


def entry(destination: str, kind: str, source: str, *options: str, **more: Any) -> dict[str, Any]:
    return {"destination": destination, "type": kind, "source": source, "options": list(options), **more}


def with_mounts(*mounts: dict[str, Any], **linux: Any) -> Change:
    def change(spec: dict[str, Any]) -> None:
        spec["mounts"] += mounts
        spec["linux"].update(linux)

    return change


def without(*destinations: str) -> Change:
    def change(spec: dict[str, Any]) -> None:
        spec["mounts"] = [m for m in spec["mounts"] if m["destination"] not in destinations]

    return change


def both(*changes: Change) -> Change:
    def change(spec: dict[str, Any]) -> None:
        for each in changes:
            each(spec)

    return change


def look(rack: Rack, *changes: Change, **words: Any) -> dict[str, Mounted]:
    done = rack.run("cat", "/proc/self/mountinfo", change=both(*changes), **words)
    return mounts_of(done.stdout.decode())


def shell(rack: Rack, script: str, *mounts: dict[str, Any], **words: Any) -> Done:
    return rack.run("sh", "-c", script, change=with_mounts(*mounts), **words)


def mount(*arguments: str | Path) -> None:
    subprocess.run(["mount", *arguments], check=True)


@functools.cache
def mounts_erofs() -> bool:
    """Whether this process can mount the EROFS files that it writes: tried once, with an empty one."""
    from containerlib._sys.erofs import ErofsWriter, mount_erofs
    from containerlib.errors import StageError, Unsupported

    with tempfile.TemporaryDirectory(prefix="containerlib-erofs-") as directory:
        path = f"{directory}/probe"
        with ErofsWriter(path) as writer:
            writer.finish()
        try:
            os.close(mount_erofs(path))
        except (Unsupported, StageError):
            return False
    return True


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
