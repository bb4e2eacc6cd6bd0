"""Checkpoints: a container's processes as files, and containers that go on from them. By CRIU, over its RPC.

    criu = find_criu()                                              # Unsupported where there is none that can
    description = dump(criu, directory, images, spec=spec, options=Options(leave_running=True), still=copy_files)

    # here or elsewhere, once or several times: a directory, a root with the same files, groups, networks, limits
    supervisor = restore(criu, images, bundle, directory=other, root=root, cgroup=cgroup, owned=True, spec=spec)
    supervisor.wait()                                               # as of any container

What was connected to the outside is given anew: streams and terminal are the new supervisor's, mounts have the sources
that `spec` says, the network namespace is the one that `spec` and `links` make, processes are in the new groups.
"""

from __future__ import annotations

from containerlib.runtime.checkpoint.criu import Criu, find_criu
from containerlib.runtime.checkpoint.description import Description, read_description
from containerlib.runtime.checkpoint.dump import await_memory, dump
from containerlib.runtime.checkpoint.options import Options
from containerlib.runtime.checkpoint.requests import DUMP_LOG
from containerlib.runtime.checkpoint.restore import packed_restore, restore

__all__ = [
    "DUMP_LOG",
    "Criu",
    "Description",
    "Options",
    "await_memory",
    "dump",
    "find_criu",
    "packed_restore",
    "read_description",
    "restore",
]
