"""Who makes a container's process: containerlib itself, or another OCI runtime that is installed.

    driver = find_driver("runc")                    # or "native", "crun", "runsc", "/a/path"
    supervisor = driver.create(bundle, directory=directory, root=root, cgroup=cgroup, owned=True)
    driver.execute(directory, spec, process, cgroup=cgroup)
    driver.start(supervisor, directory, spec)       # of one that was created with `hold`

With either the shim is ours: it holds the streams, writes the log and the exit record, and ends what its owner leaves
behind. Only the container's processes are another program's, and what that cannot do is an Unsupported that names it.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Protocol

from containerlib.runtime import launch
from containerlib.runtime.cgroups.cgroup import ContainerCgroup
from containerlib.runtime.order import Stdio
from containerlib.runtime.plan.late import NOTHING, Late
from containerlib.runtime.plan.links import NO_LINKS, Links
from containerlib.runtime.plan.roots import OverlayRoot, Root
from containerlib.runtime.supervisor import Supervisor
from containerlib.spec.log import ALL_IN_ONE, LogOptions
from containerlib.spec.runtime import Process, Spec

__all__ = ["NATIVE", "Driver", "NativeDriver", "find_driver"]

NATIVE = "native"


class Driver(Protocol):
    """Makes containers and processes in them. Raises what `runtime.create` and `runtime.execute` raise."""

    @property
    def name(self) -> str:
        """What `find_driver` knows it by."""

    @property
    def every_group(self) -> bool:
        """Whether a container has a group in every hierarchy of cgroup v1, and not only in those that it needs."""

    def create(
        self,
        bundle: str,
        *,
        directory: str,
        root: Root,
        cgroup: ContainerCgroup,
        owned: bool,
        spec: Spec,
        stdio: Stdio | None = None,
        hold: bool = False,
        seccomp_cache: str | None = None,
        wait: bool = True,
        log: LogOptions | None = ALL_IN_ONE,
        reaper: bool = False,
        late: Late = NOTHING,
        images: Sequence[tuple[str, OverlayRoot]] = (),
        links: Links = NO_LINKS,
        kept: Sequence[int] = (),
        is_first: bool = False,
    ) -> Supervisor:
        """A container, as `runtime.create` makes it."""

    def execute(
        self,
        directory: str,
        spec: Spec,
        process: Process,
        *,
        cgroup: ContainerCgroup,
        stdio: Stdio | None = None,
        owned: bool = True,
        seccomp_cache: str | None = None,
        wait: bool = True,
    ) -> Supervisor:
        """One more process, as `runtime.execute` starts it."""

    def exec_plan(
        self,
        directory: str,
        spec: Spec,
        process: Process,
        *,
        cgroup: ContainerCgroup,
        seccomp_cache: str | None = None,
    ) -> bytes:
        """The same to come, packed for the container's shim, which runs it as often as it has to."""

    def start(self, supervisor: Supervisor, directory: str, spec: Spec) -> None:
        """Lets the created container of `directory` run."""

    def files_of(self, pid: int, directory: str) -> str:
        """A host path of the files that the container with that first process sees, where `.` is its root."""


class NativeDriver:
    """containerlib's own runtime."""

    name = NATIVE
    every_group = False

    create = staticmethod(launch.create)
    execute = staticmethod(launch.execute)
    exec_plan = staticmethod(launch.packed_exec)

    def start(self, supervisor: Supervisor, directory: str, spec: Spec) -> None:  # noqa: ARG002 - Driver's
        supervisor.start()

    def files_of(self, pid: int, directory: str) -> str:  # noqa: ARG002 - Driver's
        return f"/proc/{pid}/root/."


_native: Driver = NativeDriver()


def find_driver(name: str) -> Driver:
    """The driver of that name: `"native"`, a program on PATH, or the absolute path of one.

    Raises: NotFound where there is no such program, with what to install; Unsupported where it is no OCI runtime.
    """
    return _native if name == NATIVE else _external(name)


@functools.lru_cache(32)
def _external(name: str) -> Driver:
    from containerlib.runtime.drivers.external import find_external  # noqa: PLC0415 - not on the native way

    return find_external(name)
