"""What a plan needs to know of a container's cgroups: host paths, and nothing that does I/O."""

from __future__ import annotations

from collections.abc import Mapping

from containerlib.spec.values import frozen

__all__ = ["Groups"]


@frozen
class Groups:
    """A container's cgroups, as far as a plan needs them. `hierarchies`: v1 controllers to host directories."""

    join_files: tuple[str, ...] = ()
    directories: tuple[str, ...] = ()
    oom_file: str | None = None
    hierarchies: Mapping[str, str] | None = None
    """None: cgroup v2."""
    task_files: tuple[str, ...] = ()
    """Of resctrl: its class of service and its monitoring group."""
    classes: tuple[str, ...] = ()
    """Directories of resctrl that end with the container."""
