"""The plan of a container whose process another OCI runtime makes. Pure, as plan/container.py is.

    before     a private mount namespace, in it the view of cgroups and the root, then `create`
    started    `start`
    after      what every container's end has, then `delete`

Nothing is mounted on the host: the shim's mount namespace is where the runtime works, and it ends with the shim.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from attrs import frozen

from containerlib._sys.native import lib
from containerlib.runtime.cgroups.layout import Layout
from containerlib.runtime.plan import ops
from containerlib.runtime.plan.container import after_ops, log_ops
from containerlib.runtime.plan.groups import Groups
from containerlib.runtime.plan.labels import labelled_mounts
from containerlib.runtime.plan.late import NOTHING, Late, late_mounts
from containerlib.runtime.plan.mount_options import RDONLY
from containerlib.runtime.plan.op import Op, Plan
from containerlib.runtime.plan.root_mounts import foreign_root_mount_ops
from containerlib.runtime.plan.roots import Root
from containerlib.spec.log import ALL_IN_ONE, LogOptions
from containerlib.spec.runtime import Linux

__all__ = ["CGROUP_ROOT", "PID_FILE", "Command", "foreign_exec_plan", "foreign_plan"]

CGROUP_ROOT = "/sys/fs/cgroup"
PID_FILE = "runtime.pid"
"""In the directory of a launch: the runtime writes there what it made."""

_CLONE_NEWNS = 0x00020000
_MS_SLAVE = 1 << 19
_NULL = "/dev/null"
_PATIENCE = 60.0
"""Seconds for one command; the slowest of the known ones takes 0.3."""


@frozen
class Command:
    """The runtime's command line: `words` with its program, what comes before the verb, and an environment."""

    words: tuple[str, ...]
    env: tuple[str, ...] = ()

    def op(self, verb: str, *arguments: str, makes_process: bool = False) -> Op:
        """A run of one verb; `makes_process`: what it leaves running is the container's (or exec's) process."""
        args = (*self.words, verb, *arguments)
        return Op(
            lib.CLIB_OP_RUNTIME,
            f"{os.path.basename(args[0])} {verb}",  # noqa: PTH119 - a str
            (len(args), len(self.env), int(_PATIENCE * 1000)),
            (args[0], PID_FILE if makes_process else None),
            (*args, *self.env),
        )


def foreign_plan(
    command: Command,
    create: Sequence[str],
    *,
    root: Root,
    rootfs: str,
    groups: Groups,
    layout: Layout,
    container_id: str,
    join: bool,
    hold: bool,
    log: LogOptions = ALL_IN_ONE,
    late: Late = NOTHING,
    place: str = "",
    linux: Linux | None = None,
) -> Plan:
    """A container's. `create`: the arguments of that verb before the id. `place`: the directory of what is `late`.

    `linux`: of its configuration, whose label what is made gets.

    `join`: the runtime is put into the container's groups, as it does not place its processes itself.
    """
    before = [
        *private_host(layout, rootfs),
        # paths of the host: from the root on they are the container's
        *labelled_mounts(late_mounts(late.found, place), linux or {}),
        *foreign_root_mount_ops(rootfs, root),
        *(ops.cgroup_join(file) for file in (_every_join_file(groups) if join else ())),
        command.op("create", *create, container_id, makes_process=True),
        *([ops.lend(late.lends)] if late.lends else []),
        *([ops.hold("", "")] if hold else []),
    ]
    after = (*after_ops(groups), *log_ops(log), command.op("delete", "--force", container_id))
    return Plan(tuple(before), after, started=(command.op("start", container_id),))


def foreign_exec_plan(
    command: Command, arguments: Sequence[str], rootfs: str, layout: Layout, *, container_id: str
) -> Plan:
    """Another process's. `arguments`: those of `exec` before the id."""
    execute = command.op("exec", *arguments, container_id, makes_process=True)
    return Plan((*private_host(layout, rootfs), execute))


def private_host(layout: Layout, place: str) -> Iterator[Op]:
    """A mount namespace of its own, in which /sys/fs/cgroup has the hierarchies that this library uses, and no others.

    A runtime makes groups in whatever it finds: systemd's own hierarchy and a v2 tree beside v1 would keep what nobody
    removes, and crun refuses such a pair. `place`: a directory where the new view is put together.
    """
    yield ops.unshare(_CLONE_NEWNS, "a mount namespace for the runtime")
    yield ops.propagation(_MS_SLAVE)
    # crun gives the standard streams to the container's user: the host's null device must not be given away
    yield ops.bind(_NULL, _NULL, f"a read-only {_NULL}", attributes=RDONLY)
    if layout.unified:
        return
    mounts = sorted({m for m in layout.v1.values() if os.path.dirname(m) == CGROUP_ROOT})  # noqa: PTH120
    origin = f"the runtime's view of {CGROUP_ROOT}"
    yield ops.mount("tmpfs", place, origin, options=(("mode", "0755"),))
    for mount in mounts:
        name = os.path.basename(mount)  # noqa: PTH119
        yield ops.bind(mount, f"{place}/{name}", origin)
    for controller, mount in sorted(layout.v1.items()):
        name = os.path.basename(mount)  # noqa: PTH119
        if mount in mounts and controller != name:
            yield ops.symlink(name, f"{place}/{controller}")
    yield _unmount(CGROUP_ROOT, origin)
    yield ops.bind(place, CGROUP_ROOT, origin, flags=ops.MOUNT_RECURSIVE)
    yield _unmount(place, origin)


def _unmount(path: str, origin: str) -> Op:
    return Op(lib.CLIB_OP_UNMOUNT, origin, texts=(path, None))


def _every_join_file(groups: Groups) -> Sequence[str]:
    name = "cgroup.procs" if groups.hierarchies is None else "tasks"
    return tuple(f"{directory}/{name}" for directory in groups.directories)
