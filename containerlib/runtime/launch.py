"""The two ways in which a process comes into a container: as its first one, and as another.

    supervisor = create(bundle, directory=..., root=..., cgroup=..., owned=True)
    execute(directory, spec, process, cgroup=...)

A container may also be left to whoever adopts orphans, as a command's caller does: see `unsupervised`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence

from containerlib._sys import native
from containerlib._sys.privilege import in_user_namespace
from containerlib._sys.processes import is_alive
from containerlib._sys.wire import Kind, Launch
from containerlib.errors import Conflict
from containerlib.runtime.cgroups.cgroup import ContainerCgroup
from containerlib.runtime.config.read import read_config
from containerlib.runtime.kernel import HOST_FILES, KernelFiles, layers_one_by_one, require_kernel
from containerlib.runtime.linking import write_links
from containerlib.runtime.order import (
    Order,
    Stdio,
    open_directory,
    owner_fd,
    start_helper,
    stdio_fds,
    terminal_size,
)
from containerlib.runtime.plan.container import Manner, container_plan, exec_plan
from containerlib.runtime.plan.groups import Groups
from containerlib.runtime.plan.labels import require_labels
from containerlib.runtime.plan.late import NOTHING, Late
from containerlib.runtime.plan.links import NO_LINKS, Links
from containerlib.runtime.plan.resctrl import ResctrlGroup, assign, find_resctrl, group_of
from containerlib.runtime.plan.roots import OverlayRoot, Root, shared_mounts
from containerlib.runtime.plan.user import Mapper
from containerlib.runtime.records import read_record
from containerlib.runtime.seccomp import filters as seccomp
from containerlib.runtime.supervisor import Supervisor
from containerlib.runtime.unsupervised import own_environment
from containerlib.spec.lifecycle import State
from containerlib.spec.log import ALL_IN_ONE, LogOptions
from containerlib.spec.values import evolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    from containerlib.runtime.plan.restored import Restored
    from containerlib.spec.runtime import Process, Spec

    _R = TypeVar("_R", bound=Root)

__all__ = [
    "COMING",
    "create",
    "execute",
    "forget",
    "groups_of",
    "mountable",
    "packed_exec",
    "require_running",
]


COMING = "lazy-pages.socket"
"""What CRIU's reader listens at, which is there until all memory has come: see _native/shim/pages.c."""
_LATER_RECORDS = ("restarts", "failed", "ends", "health", "stopped", COMING)


def create(
    bundle: str,
    *,
    directory: str,
    root: Root,
    cgroup: ContainerCgroup | None,
    owned: bool,
    stdio: Stdio | None = None,
    log: LogOptions | None = ALL_IN_ONE,
    terminal: tuple[int, int] | None = None,
    hold: bool = False,
    bare: bool = False,
    spec: Spec | None = None,
    seccomp_cache: str | None = None,
    wait: bool = True,
    unsupervised: bool = False,
    preserve: Sequence[int] = (),
    pivot: bool = True,
    keyring: bool = True,
    reaper: bool = False,
    late: Late = NOTHING,
    images: Sequence[tuple[str, OverlayRoot]] = (),
    is_first: bool = False,
    links: Links = NO_LINKS,
    kept: Sequence[int] = (),
    mapper: Mapper | None = None,
    files: KernelFiles = HOST_FILES,
    restored: Restored | None = None,
) -> Supervisor:
    """Makes the container of `bundle` and starts its program, or with `hold` stops at OCI's "created".

    Without `wait` it returns when the supervisor has its plan: what comes of that is heard with the next call.

    `directory` takes its socket, log and records. `cgroup` exists, or is None for a container without groups of its
    own; the shim removes it when the container has ended, also when this call fails. `owned`: the container dies with
    this process. `bare`: with `hold`, it is never started. `log`: None for a program whose streams are those of `stdio`
    themselves. `terminal`: rows and columns. `spec` saves reading config.json. `unsupervised`: the helper ends with
    this call, the process is for others to reap, and its streams are those of `stdio`. `preserve`: the program's
    descriptors from 3 on. `pivot`: False where "/" is the initial ramdisk. `keyring`: it gets a session keyring.
    `reaper`: its first process is an init of ours that hands signals on and reaps; the program is the init's child.
    `late`: what paths in `spec` stand for, and what is nowhere else; it goes by the plan, in memory alone.
    `images`: more roots that are mounted, read-only, on these paths. `is_first`: `directory` is new, and has no records
    of an earlier run. `links`: what connects its network namespace; `kept`: descriptors that the supervisor keeps open
    meanwhile. `mapper`: who maps a user namespace for a caller without privilege. `restored`: its first run goes on
    from a checkpoint. Needs root, or a user namespace; Linux 5.12.

    Raises: StageError, Unsupported, InvalidArgument, NotFound.
    """
    require_kernel()
    spec = spec or read_config(f"{bundle}/config.json")
    require_labels(spec["process"], spec.get("linux", {}), sys=files.sys)
    container_id = os.path.basename(directory)  # noqa: PTH119 - hot path
    with contextlib.ExitStack() as stack, contextlib.ExitStack() as undo:
        manner = Manner(
            hold=hold,
            bare=bare,
            supervised=not unsupervised,
            pivot=pivot,
            keyring=keyring,
            reaper=reaper,
            late=late,
            links=tuple(op.origin for op in links.plan().before),
            images=tuple((at, mountable(image)) for at, image in images),
            bundle=bundle,
            mapper=mapper,
            log=log or ALL_IN_ONE,
            environ=own_environment() if unsupervised else (),
            all_cpus=unsupervised,
            nested=in_user_namespace(),
        )
        rootfs = os.path.join(bundle, spec.get("root", {}).get("path", "rootfs"))
        groups = groups_of(cgroup, _class_of_service(spec, container_id, files, undo))
        plan = container_plan(
            spec,
            rootfs,
            mountable(root),
            groups,
            container_id=container_id,
            seccomp=_filter(spec, seccomp_cache),
            manner=manner,
        )
        first = None
        if restored is not None:
            from containerlib.runtime.plan.restored import restored_plan  # noqa: PLC0415 - no start needs it

            first = restored_plan(
                spec,
                rootfs,
                mountable(root),
                groups,
                restored,
                container_id=container_id,
                manner=manner,
            )
        if not is_first:
            forget(directory)
        if links != NO_LINKS or not is_first:
            write_links(directory, links)
        fds = {
            Launch.DIRECTORY: open_directory(stack, directory),
            **owner_fd(stack, owned),
            **stdio_fds(stdio),
        }
        if cgroup is not None and cgroup.v2_directory:
            fds[Launch.CGROUP] = open_directory(stack, cgroup.v2_directory)
        flags = Launch.LOG if log is not None and not unsupervised else 0
        if links.filter >= 0:
            flags, kept = flags | Launch.FILTER, (*kept, links.filter)
        size = terminal_size(spec["process"], terminal)
        order = Order(flags | _unsupervised(unsupervised), size, preserve, (*shared_mounts(root), *kept))
        supervisor = start_helper(plan, fds, order, directory, wait=wait, first=first)
        undo.pop_all()
        return supervisor


def execute(
    directory: str,
    spec: Spec,
    process: Process,
    *,
    cgroup: ContainerCgroup | None,
    stdio: Stdio | None = None,
    terminal: tuple[int, int] | None = None,
    owned: bool = True,
    seccomp_cache: str | None = None,
    wait: bool = True,
    unsupervised: bool = False,
    preserve: Sequence[int] = (),
    keyring: bool = True,
    target: tuple[int, int] | None = None,
    ignore_paused: bool = False,
    root: Root | None = None,
    mapper: Mapper | None = None,
    files: KernelFiles = HOST_FILES,
) -> Supervisor:
    """Starts `process` in the running container of `directory`, whose config is `spec`.

    It gets the descriptors of `stdio` themselves. With `terminal` its pseudo-terminal is `supervisor.terminal_fd`.
    `target`: pid and start time of the container's first process, where no supervisor has recorded them.
    `ignore_paused`: in a paused container it waits until that is resumed. `root`: the container's, for one without a
    mount namespace. The rest: as in `create`.

    Raises: Conflict where the container does not run, or is paused and that is not ignored; StageError.
    """
    linux = spec.get("linux", {})
    require_labels(process, linux, sys=files.sys)
    container_id = os.path.basename(directory)  # noqa: PTH119 - hot path
    rdt = linux.get("intelRdt")
    group = group_of(rdt, container_id, files.resctrl or find_resctrl()) if rdt is not None else None
    plan = exec_plan(
        spec,
        process,
        groups_of(cgroup, group),
        container_id=container_id,
        seccomp=_filter(spec, seccomp_cache),
        manner=Manner(
            supervised=not unsupervised,
            keyring=keyring,
            bundle=directory,
            mapper=mapper,
            all_cpus=target is not None,
        ),
        root=root,
    )
    supervisor: Supervisor | None = None
    try:
        with contextlib.ExitStack() as stack:
            fds = {
                Launch.TARGET: _target(
                    stack, target or _recorded_target(directory), None if ignore_paused else cgroup
                ),
                **owner_fd(stack, owned),
                **stdio_fds(stdio),
            }
            # one that begins on other CPUs goes into its cgroup by itself
            walks = (process.get("execCPUAffinity") or {}).get("initial")
            if cgroup is not None and cgroup.v2_directory and not walks:
                fds[Launch.CGROUP] = open_directory(stack, cgroup.v2_directory)
            order = Order(_unsupervised(unsupervised), terminal_size(process, terminal), preserve)
            supervisor = start_helper(plan, fds, order, None, wait=wait)
            return supervisor  # noqa: RET504 - who is interrupted needs it
    except BaseException:  # an interrupt may come while the descriptors are closed
        if supervisor is not None:
            supervisor.abandon()
        raise


def packed_exec(
    directory: str,
    spec: Spec,
    process: Process,
    *,
    cgroup: ContainerCgroup,
    seccomp_cache: str | None = None,
) -> bytes:
    """The plan of `execute`, for a shim to run whenever it has to. Raises: InvalidArgument, Unsupported."""
    plan = exec_plan(
        spec,
        process,
        groups_of(cgroup),
        container_id=os.path.basename(directory),  # noqa: PTH119
        seccomp=_filter(spec, seccomp_cache),
        manner=Manner(bundle=directory),
    )
    return plan.pack()


def require_running(directory: str, cgroup: ContainerCgroup) -> None:
    """Raises Conflict where the container of `directory` does not run, or is paused."""
    with contextlib.ExitStack() as stack:
        _target(stack, _recorded_target(directory), cgroup)


def _unsupervised(wanted: bool) -> int:
    return Launch.UNSUPERVISED if wanted else 0


def _filter(spec: Spec, cache: str | None) -> bytes | None:
    profile = spec.get("linux", {}).get("seccomp")
    return seccomp.compiled(profile, cache) if profile else None


def mountable(root: _R) -> _R:
    """`root` as this kernel can mount it."""
    if isinstance(root, OverlayRoot) and not layers_one_by_one():
        return evolve(root, classic=True)
    return root


def _class_of_service(
    spec: Spec, container_id: str, files: KernelFiles, undo: contextlib.ExitStack
) -> ResctrlGroup | None:
    """Of the caches that `spec` asks for; `undo` takes it back."""
    rdt = spec.get("linux", {}).get("intelRdt")
    if rdt is None:
        return None
    group = assign(rdt, container_id, root=files.resctrl, mkdir=files.mkdir)
    if group:
        undo.callback(group.remove)
    return group


def groups_of(cgroup: ContainerCgroup | None, group: ResctrlGroup | None = None) -> Groups:
    """What a plan needs to know of `cgroup`, and of the container's class of service."""
    task_files, classes = (group.task_files, group.own) if group else ((), ())
    if cgroup is None:
        return Groups(task_files=task_files, classes=classes)
    unified = cgroup.v2_directory is not None
    return Groups(
        task_files=task_files,
        classes=classes,
        join_files=() if unified else cgroup.join_files,
        directories=cgroup.directories,
        oom_file=cgroup.oom_file,
        hierarchies=None if unified else cgroup.hierarchies,
    )


def forget(directory: str) -> None:
    """Removes the records of an earlier run: they would be taken for this one's."""
    for name in ("started", "exit", *_LATER_RECORDS):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{directory}/{name}")  # noqa: PTH108 - hot path


def _recorded_target(directory: str) -> tuple[int, int]:
    record = read_record(directory, "started")
    if record is None:
        raise _not_running(State.STOPPED)
    if record.kind != Kind.STARTED:
        raise _not_running(State.CREATED)
    return record.value[0], record.number[0]


def _target(stack: contextlib.ExitStack, target: tuple[int, int], cgroup: ContainerCgroup | None) -> int:
    """A pidfd of the container's first process, and of no other that has its number by now."""
    try:
        fd = native.pidfd_open(target[0])
    except ProcessLookupError as error:
        raise _not_running(State.STOPPED) from error
    stack.callback(os.close, fd)
    if not is_alive(*target):
        raise _not_running(State.STOPPED)
    if cgroup is not None and cgroup.frozen:
        raise _not_running(State.PAUSED)
    return fd


def _not_running(state: State) -> Conflict:
    return Conflict(f"the container is {state.value}, and must be running", state=state.value)
