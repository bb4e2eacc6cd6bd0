"""What a configuration needs to know of this machine, as one value that is passed in.

`HostFacts.current()` reads it once per process; tests make their own.
"""

from __future__ import annotations

import functools
import os
import stat
from pathlib import Path

from attrs import frozen

from containerlib.bundles.capabilities import names_of
from containerlib.runtime.kernel import release
from containerlib.spec.runtime import Device

__all__ = ["HostFacts", "device_at", "host_devices"]

_GO_ARCHITECTURES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "armv7l": "arm",
    "armv6l": "arm",
    "i686": "386",
    "ppc64le": "ppc64le",
    "s390x": "s390x",
    "riscv64": "riscv64",
    "loongarch64": "loong64",
}
_MADE_ANYWAY = frozenset({"console", "ptmx"})
"""A container has its own."""
_LAST_GROUP = 2**31 - 1
"""The last that the kernel takes in a range."""
_SKIPPED_DIRECTORIES = frozenset({"pts", "shm", "fd", "mqueue"})


@frozen
class HostFacts:
    """Facts that do not change while a process lives.

    `bounding` is the process's own capability bounding set: the kernel gives no container more than that.
    `architecture` is in OCI's words ("amd64"), `kernel` is (major, minor).
    """

    bounding: frozenset[str]
    architecture: str
    kernel: tuple[int, int]
    shielded: bool = False
    """Whether this process is spared by the OOM killer (a negative score): its containers must not inherit that."""
    last_group: int = _LAST_GROUP
    """Of the groups from 0 on, without a gap, that there are in this process's user namespace."""

    @classmethod
    @functools.cache
    def current(cls) -> HostFacts:
        machine = os.uname().machine
        return cls(
            bounding=names_of(_bounding_mask(Path("/proc/self/status").read_text())),
            architecture=_GO_ARCHITECTURES.get(machine, machine),
            kernel=release(),
            shielded=int(Path("/proc/self/oom_score_adj").read_text()) < 0,
            last_group=_last(Path("/proc/self/gid_map").read_text()),
        )


def _bounding_mask(status: str) -> int:
    for line in status.splitlines():
        if line.startswith("CapBnd:"):
            return int(line.split()[1], 16)
    return 0


def host_devices(directory: str = "/dev") -> list[Device]:
    """Every block and character device below `directory` but pseudo-terminals: a privileged container's."""
    found: list[Device] = []
    for current, directories, files in os.walk(directory):
        directories[:] = sorted(
            d for d in directories if d not in _SKIPPED_DIRECTORIES and not d.startswith(".")
        )
        for name in sorted(files):
            device = device_at(f"{current}/{name}")
            if device is not None and name not in _MADE_ANYWAY:
                found.append(device)
    return found


def device_at(path: str) -> Device | None:
    """The block or character device at `path`, None where there is none; a link is not followed."""
    try:
        status = os.lstat(path)
    except OSError:  # gone since it was listed
        return None
    if not stat.S_ISBLK(status.st_mode) and not stat.S_ISCHR(status.st_mode):
        return None
    return {
        "path": path,
        "type": "b" if stat.S_ISBLK(status.st_mode) else "c",
        "major": os.major(status.st_rdev),
        "minor": os.minor(status.st_rdev),
        "fileMode": stat.S_IMODE(status.st_mode),
        "uid": status.st_uid,
        "gid": status.st_gid,
    }


def _last(gid_map: str) -> int:
    following = 0
    for first, _, count in sorted(tuple(map(int, line.split())) for line in gid_map.splitlines()):
        if first == following:
            following += count
    return min(following - 1, _LAST_GROUP)
