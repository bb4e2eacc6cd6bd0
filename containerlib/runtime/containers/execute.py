"""Another process in a running container: no verb of the specification, but of every runtime."""

from __future__ import annotations

import os

from containerlib.runtime.config.validate import validate_process
from containerlib.runtime.containers.bundle import warn_of_capabilities
from containerlib.runtime.containers.groups import place
from containerlib.runtime.containers.home import add_home
from containerlib.runtime.containers.ids import RESERVED
from containerlib.runtime.containers.rootless import mapper_of_caller
from containerlib.runtime.containers.warning import silent
from containerlib.runtime.launch import execute as launch
from containerlib.runtime.plan.roots import BindRoot
from containerlib.spec.lifecycle import State

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from containerlib.runtime.cgroups.cgroup import ContainerCgroup
    from containerlib.runtime.containers.containers import Container
    from containerlib.runtime.order import Stdio
    from containerlib.runtime.supervisor import Supervisor
    from containerlib.spec.runtime import Process

__all__ = ["check_running", "execute"]


def check_running(container: Container, *, ignore_paused: bool = False) -> State:
    """The state, in which something can be executed in `container`: also before its start. Raises: Conflict."""
    if ignore_paused and (state := container.status()) is State.PAUSED:
        return state
    return container.check("exec", also=(State.CREATED,))


def execute(
    container: Container,
    process: Process,
    *,
    stdio: Stdio | None = None,
    terminal: tuple[int, int] | None = None,
    preserve: Sequence[int] = (),
    groups: Sequence[str] = (),
    detach: bool = False,
    ignore_paused: bool = False,
    warn: Callable[[str], None] = silent,
) -> Supervisor:
    """Starts `process`, and returns when its program runs.

    `detach`: nobody waits for its end here, it is the child of who adopts orphans, and the answer is only good for its
    `pid`, `start_time` and `terminal_fd`. `groups`: it starts in these below the container's, each "PATH" or, on v1,
    "CONTROLLER,...:PATH". `ignore_paused`: in a paused container it waits, frozen, and this call with it, until
    somebody resumes that; if the caller ends meanwhile it is never run. `warn` hears of capabilities that it will not
    have.

    Raises: Conflict; InvalidArgument; Unsupported; StageError where it could not be executed.
    """
    paused = check_running(container, ignore_paused=ignore_paused) is State.PAUSED
    for warning in validate_process(process):
        warn(warning)
    spec = container.spec()
    warn_of_capabilities(process, spec, warn)
    process = {**process}
    add_home(process, f"/proc/{container.record.pid}/root")
    supervisor = launch(
        container.directory,
        spec,
        process,
        cgroup=_group(container, groups),
        stdio=stdio,
        terminal=terminal,
        owned=paused,
        unsupervised=detach,
        preserve=preserve,
        keyring=container.record.keyring,
        seccomp_cache=os.path.join(os.path.dirname(container.directory), RESERVED),
        mapper=mapper_of_caller(),
        target=(container.record.pid, container.record.start_time),
        ignore_paused=ignore_paused,
        root=BindRoot(container.record.rootfs),
    )
    if detach:
        supervisor.finished()  # the process is not the adopter's child before
    return supervisor


def _group(container: Container, groups: Sequence[str]) -> ContainerCgroup | None:
    if not groups:
        return container.cgroup()
    from containerlib.runtime.containers.subgroups import SubGroups, below

    return SubGroups(place(container), below(groups))
