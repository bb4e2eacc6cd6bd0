"""The groups of one container as they are: where, who is in them, and what they say. Nothing here changes them."""

from __future__ import annotations

import os
from collections.abc import Mapping

from containerlib.errors import InvalidArgument, Unsupported
from containerlib.runtime.cgroups.files import gone, read, stage
from containerlib.runtime.cgroups.layout import Layout
from containerlib.runtime.cgroups.processes import processes_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from containerlib.runtime.cgroups.oom import OomWatch
    from containerlib.runtime.cgroups.stats import CgroupStats

__all__ = ["FoundGroups"]


class FoundGroups:
    """At `path` below every hierarchy of `layout` that has them. `tracked`: systemd looks after them."""

    def __init__(self, path: str, layout: Layout, *, tracked: bool) -> None:
        if not path.startswith("/") or path.startswith("//") or os.path.normpath(path) != path or path == "/":
            raise InvalidArgument(f"{path!r} is not an absolute, normalised path", field="cgroupsPath")
        self.path = path
        self._layout = layout
        self._is_tracked = tracked
        self._hierarchies: dict[str, str] | None = None

    @property
    def hierarchies(self) -> Mapping[str, str]:
        """The directory of each group by its controllers as they are mounted ("cpu,cpuacct"); on v2 by ""."""
        if self._hierarchies is None:
            self._hierarchies = {n: d for n, d in self._candidates().items() if os.path.isdir(d)}  # noqa: PTH112
        return self._hierarchies

    @property
    def directories(self) -> tuple[str, ...]:
        """Host directories of the groups that exist."""
        return (*self.hierarchies.values(), *self._tracked())

    @property
    def join_files(self) -> tuple[str, ...]:
        """Host files that take "0" from the single-threaded process that joins."""
        name = "cgroup.procs" if self._layout.unified else "tasks"
        tracked = (f"{directory}/cgroup.procs" for directory in self._tracked())
        return (*(f"{directory}/{name}" for directory in self.hierarchies.values()), *tracked)

    @property
    def v2_directory(self) -> str | None:
        """The directory for CLONE_INTO_CGROUP; None where v1 controllers are in use."""
        return f"{self._layout.unified}{self.path}" if self._layout.unified else None

    @property
    def oom_file(self) -> str | None:
        """The file with an `oom_kill N` line; None for a container without a memory limit."""
        if self._layout.unified:
            path = f"{self.v2_directory}/memory.events"
            return path if os.path.exists(path) else None  # noqa: PTH110 - hot path
        directory = self._of("memory")
        return f"{directory}/memory.oom_control" if directory else None

    def stats(self) -> CgroupStats:
        """What the container has used, of every controller that it has a group of. Raises: StageError."""
        from containerlib.runtime.cgroups.stats_read import v1_stats, v2_stats  # noqa: PLC0415 - not on the way to a start

        with stage(self.path):
            if self.v2_directory:
                return v2_stats(self.v2_directory)
            return v1_stats({name: d for names, d in self.hierarchies.items() for name in names.split(",")})

    def watch_oom(self) -> OomWatch:
        """Tells of each process that the OOM killer ends. The caller closes it.

        Raises: Unsupported for a container without a memory group; StageError.
        """
        from containerlib.runtime.cgroups.oom import OomWatch  # noqa: PLC0415 - not on the way to a start

        file = self.oom_file
        if file is None:
            raise Unsupported(f"{self.path} has no memory group: word of the OOM killer needs a memory limit")
        return OomWatch(os.path.dirname(file), unified=self.v2_directory is not None)  # noqa: PTH120 - str paths

    def pids(self) -> tuple[int, ...]:
        """Processes of the container, those in groups that it made itself included."""
        directory = self._main()
        return processes_of(directory) if directory else ()

    @property
    def frozen(self) -> bool:
        """Whether the container is frozen, or on its way there."""
        state = "THAWED"
        with gone():
            if self._layout.unified:
                state = "THAWED" if read(f"{self.v2_directory}/cgroup.freeze").strip() == "0" else "FROZEN"
            elif (
                "freezer" in self._layout.v1
            ):  # not by way of every hierarchy: whoever lists containers asks each
                state = read(f"{self._directory('freezer')}/freezer.state").strip()
        return state != "THAWED"

    def _candidates(self) -> dict[str, str]:
        if self._layout.unified:
            return {"": f"{self._layout.unified}{self.path}"}
        together: dict[str, list[str]] = {}
        for controller, mount in self._layout.v1.items():
            together.setdefault(mount, []).append(controller)
        return {",".join(names): f"{mount}{self.path}" for mount, names in together.items()}

    def _tracked(self) -> tuple[str, ...]:
        """Where systemd on v1 looks whether its unit has processes: groups that it makes and removes itself."""
        if not self._is_tracked or self._layout.unified:
            return ()
        mounts = (mount for mount in (self._layout.systemd, self._layout.v2) if mount)
        return tuple(d for mount in mounts if os.path.isdir(d := f"{mount}{self.path}"))  # noqa: PTH112 - str paths

    def _of(self, controller: str) -> str | None:
        return next((d for n, d in self.hierarchies.items() if controller in n.split(",")), None)

    def _directory(self, controller: str) -> str:
        return self.v2_directory or f"{self._layout.v1[controller]}{self.path}"

    def _main(self) -> str | None:
        """The group that every process of the container is in."""
        return self.v2_directory or self._of("devices") or next(iter(self.directories), None)
