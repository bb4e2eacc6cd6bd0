"""Which cgroup hierarchies this machine has, and where: v1, v2, or both (hybrid).

Read from mountinfo, because neither the names of directories nor their existence says what is mounted there.

Spec: kernel Documentation/admin-guide/cgroup-v1/cgroups.rst, cgroup-v2.rst; proc(5) on mountinfo
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Mapping

from containerlib._sys.filesystem import unescaped
from containerlib.spec.values import field, frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

__all__ = ["Layout"]

_V1_CONTROLLERS = frozenset(
    {
        "blkio",
        "cpu",
        "cpuacct",
        "cpuset",
        "devices",
        "freezer",
        "hugetlb",
        "memory",
        "misc",
        "net_cls",
        "net_prio",
        "perf_event",
        "pids",
        "rdma",
    }
)


@frozen
class Layout:
    """`v1`: the directory of each mounted v1 controller, which several may share; `v2`: cgroup2's.

    A container is placed in v1 wherever a v1 controller is mounted; a v2 tree beside it is left alone
    (hybrid).
    """

    v1: Mapping[str, str] = field(factory=dict)
    v2: str | None = None
    roots: Mapping[str, str] = field(factory=dict)
    """Which group each mount's directory is, where it is not the hierarchy's root: a bind mount, or one made in a
    container."""
    systemd: str | None = None
    """The v1 hierarchy without controllers in which systemd keeps its units."""

    @property
    def version(self) -> Literal["v1", "v2", "hybrid", "none"]:
        if self.v1:
            return "hybrid" if self.v2 else "v1"
        return "v2" if self.v2 else "none"

    @property
    def unified(self) -> str | None:
        """The v2 directory where v2 is all that there is."""
        return None if self.v1 else self.v2

    def children(self, path: str) -> set[str]:
        """Names of the groups below the group `path` in any hierarchy."""
        names: set[str] = set()
        for mount in {*self.v1.values(), *([self.v2] if self.v2 else [])}:
            with contextlib.suppress(FileNotFoundError), os.scandir(f"{mount}{path}") as entries:
                names.update(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
        return names

    @classmethod
    def detect(cls, mountinfo: str, root: str = "/sys/fs/cgroup") -> Layout:
        """What a /proc/PID/mountinfo shows, at or below `root`; later mounts hide earlier ones."""
        v1: dict[str, str] = {}
        roots: dict[str, str] = {}
        v2 = systemd = None
        for line in mountinfo.splitlines():
            before, _, after = line.partition(" - ")
            fields, tail = before.split(" "), after.split(" ")
            if len(fields) < 5 or len(tail) < 3 or tail[0] not in ("cgroup", "cgroup2"):
                continue
            directory = unescaped(fields[4])
            if directory != root and not directory.startswith(f"{root}/"):
                continue
            roots.pop(directory, None)
            if fields[3] != "/":
                roots[directory] = unescaped(fields[3])
            if tail[0] == "cgroup2":
                v2 = directory
            elif "name=systemd" in tail[2].split(","):
                systemd = directory
            else:
                v1.update((name, directory) for name in tail[2].split(",") if name in _V1_CONTROLLERS)
        return cls(v1, v2, roots, systemd)

    @classmethod
    @functools.cache
    def host(cls) -> Layout:
        """This machine's layout, read once per process."""
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            return cls.detect(file.read())
