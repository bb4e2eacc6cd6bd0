"""The processes of a container, by their pids as its creator sees them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from containerlib.runtime.containers.containers import Container

__all__ = ["pids"]


def pids(container: Container) -> tuple[int, ...]:
    """All of them, in the order of the kernel; none of a stopped container."""
    cgroup = container.cgroup()
    if cgroup is None:
        return (container.pid,) if container.pid else ()
    return cgroup.pids()
