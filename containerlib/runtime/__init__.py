"""The OCI runtime: a bundle's path to a process in namespaces and cgroups, and back to its exit status.

    cgroup = ContainerCgroup("/containerlib/<id>")
    cgroup.create(spec["linux"]["resources"])
    supervisor = create(bundle, directory=directory, root=OverlayRoot(lowers, upper, work), cgroup=cgroup, owned=True)
    supervisor.wait()

    connect(directory)          # from another process, later
    execute(directory, spec, process, cgroup=cgroup)
    state(directory)

Knows bundles, never images. Needs root and Linux 5.12 for now.
"""

from containerlib.runtime.cgroups import ContainerCgroup
from containerlib.runtime.launch import Stdio, create, execute
from containerlib.runtime.records import exit_status, read_record
from containerlib.runtime.roots import BindRoot, OverlayRoot, Root
from containerlib.runtime.supervisor import Supervisor, connect
from containerlib.runtime.truth import state

__all__ = [
    "BindRoot",
    "ContainerCgroup",
    "OverlayRoot",
    "Root",
    "Stdio",
    "Supervisor",
    "connect",
    "create",
    "execute",
    "exit_status",
    "read_record",
    "state",
]
