"""The OCI runtime: a bundle's path to a process in namespaces and cgroups, and back to its exit status.

    cgroup = ContainerCgroup("/containerlib/<id>")
    cgroup.create(spec["linux"]["resources"])
    supervisor = create(bundle, directory=directory, root=OverlayRoot(lowers, upper, work), cgroup=cgroup, owned=True)
    supervisor.wait()

    connect(directory)          # from another process, later
    execute(directory, spec, process, cgroup=cgroup)
    state(directory)

Knows bundles, never images. Needs Linux 5.12, and root or a user namespace. Each name is loaded when it is first used:
a command that sends a signal needs none of what makes a container.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from containerlib.runtime.cgroups.cgroup import ContainerCgroup
    from containerlib.runtime.connections import connect, connecting
    from containerlib.runtime.drivers.driver import NATIVE, Driver, find_driver
    from containerlib.runtime.launch import create, execute
    from containerlib.runtime.order import Stdio
    from containerlib.runtime.plan.roots import BindRoot, FuseRoot, OverlayRoot, Root
    from containerlib.runtime.records import exit_status, read_record
    from containerlib.runtime.supervisor import Supervisor
    from containerlib.runtime.truth import state

__all__ = [
    "NATIVE",
    "BindRoot",
    "ContainerCgroup",
    "Driver",
    "FuseRoot",
    "OverlayRoot",
    "Root",
    "Stdio",
    "Supervisor",
    "connect",
    "connecting",
    "create",
    "execute",
    "exit_status",
    "find_driver",
    "read_record",
    "state",
]

if not TYPE_CHECKING:  # a type checker sees the imports above, and would take any name for granted with this
    _HOMES = {
        "cgroups.cgroup": "ContainerCgroup",
        "connections": "connect connecting",
        "drivers.driver": "NATIVE Driver find_driver",
        "launch": "create execute",
        "order": "Stdio",
        "records": "exit_status read_record",
        "plan.roots": "BindRoot FuseRoot OverlayRoot Root",
        "supervisor": "Supervisor",
        "truth": "state",
    }

    def __getattr__(name: str) -> object:
        from importlib import import_module  # noqa: PLC0415 - nothing is loaded before it is used

        for home, names in _HOMES.items():
            if name in names.split():
                value = getattr(import_module(f"{__name__}.{home}"), name)
                globals()[name] = value
                return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
