"""The container's control groups as it sees them: a mount of type "cgroup", which on v1 is several.

Spec: runtime-spec config-linux.md#cgroup-ownership; cgroup_namespaces(7)
"""

from __future__ import annotations

from collections.abc import Iterator

from containerlib.runtime.plan import ops
from containerlib.runtime.plan.groups import Groups
from containerlib.runtime.plan.mount_options import RDONLY
from containerlib.runtime.plan.op import Op

__all__ = ["cgroup_mounts"]


def cgroup_mounts(
    target: str, origin: str, attributes: int, groups: Groups, *, private: bool
) -> Iterator[Op]:
    """v2: one mount. v1: a tmpfs with a directory for each hierarchy in which the container has a group.

    With a cgroup namespace a new mount shows the container's own group as its root; without one, the group's directory
    is bound.
    """
    if groups.hierarchies is None:
        if private:
            yield ops.mount("cgroup2", target, origin, options=[("source", "cgroup")], attributes=attributes)
        else:
            yield from (ops.bind(path, target, origin, attributes=attributes) for path in groups.directories)
        return
    small = [("source", "tmpfs"), ("mode", "755"), ("size", "64k")]
    yield ops.mount("tmpfs", target, origin, options=small, attributes=attributes & ~RDONLY)
    for controllers, directory in groups.hierarchies.items():
        place = f"{target}/{controllers}"
        if private:
            names = [(name, "") for name in controllers.split(",")]
            yield ops.mount(
                "cgroup", place, origin, options=[("source", "cgroup"), *names], attributes=attributes
            )
        else:
            yield ops.bind(directory, place, origin, attributes=attributes)
    if attributes & RDONLY:
        yield ops.readonly(target, origin)
