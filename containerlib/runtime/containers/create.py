"""A new container, up to OCI's "created". Spec: runtime-spec runtime.md#create

The steps are such that whoever is killed between two of them leaves what `delete --force` finds: first the directory,
which is the claim on the id, then the record of where the groups will be, then the groups, then the process in them.
"""

from __future__ import annotations

import errno
import os

from containerlib.errors import AlreadyExists, Conflict, Error, StageError
from containerlib.runtime.containers.bundle import load_bundle, rootfs_of
from containerlib.runtime.containers.containers import Container, Containers
from containerlib.runtime.containers.delete import remove
from containerlib.runtime.containers.groups import freezer_file, make_groups, place_of
from containerlib.runtime.containers.home import add_home
from containerlib.runtime.containers.ids import RESERVED
from containerlib.runtime.containers.lock import Lock
from containerlib.runtime.containers.record import Record, now
from containerlib.runtime.containers.rootless import check_namespace, is_rootless, mapper_of_caller
from containerlib.runtime.containers.warning import silent
from containerlib.runtime.launch import create as launch
from containerlib.runtime.plan.roots import BindRoot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from containerlib.runtime.cgroups.cgroup import ContainerCgroup
    from containerlib.runtime.order import Stdio
    from containerlib.runtime.supervisor import Supervisor
    from containerlib.spec.runtime import Spec

__all__ = ["create"]

_OTHER_ROOT = "choose another place with --root"


def create(
    containers: Containers,
    container_id: str,
    bundle: str,
    *,
    stdio: Stdio | None = None,
    terminal: tuple[int, int] | None = None,
    on_terminal: Callable[[int], None] | None = None,
    spec: Spec | None = None,
    preserve: Sequence[int] = (),
    env: Sequence[str] = (),
    notify: bool = False,
    systemd: bool = False,
    groups: bool = True,
    rootless: bool | None = None,
    warn: Callable[[str], None] = silent,
    pivot: bool = True,
    keyring: bool = True,
    launcher: Callable[..., Supervisor] | None = None,
) -> Container:
    """Makes the container of `bundle`, whose configuration may be at hand (`spec`); its program waits for `start`.

    It inherits `stdio`, or has a terminal of `terminal`'s size, whose master `on_terminal` is lent. `preserve` are its
    descriptors from 3 on, `env` is added to its environment. `rootless`: it goes without what a caller without
    privileges cannot give it (None: if this is one), and `warn` hears of that. `pivot`: False where "/" is the initial
    ramdisk, which pivot_root(2) does not take; `keyring`: it has a session keyring of its own. `launcher`: makes its
    processes in place of `launch.create`, as programs that run already. `groups`: False for a container without
    control groups, and `warn` hears of the limits that it will not have.

    Its first process is a child of the nearest process that adopts orphans (a subreaper), which is to be the caller's
    monitor.

    Raises: AlreadyExists; NotFound, InvalidArgument and Unsupported for its configuration; StageError.
    """
    directory = containers.directory(container_id)
    bundle = os.path.abspath(bundle)
    spec = spec or load_bundle(bundle, warn)
    rootless = is_rootless() if rootless is None else rootless
    check_namespace(spec)
    place = place_of(spec, container_id, systemd=systemd, rootless=rootless, groups=groups, warn=warn)
    _claim(containers, container_id)
    with Lock(directory):
        container = Container(directory, _record(spec, container_id, bundle, place), made_here=True)
        container.record.notify, container.record.rootless = notify, rootless
        container.record.keyring = keyring
        container.record.restored = launcher is not None
        try:
            container.write_spec(spec, first=True)
            container.record.write(directory)
            _make(
                container,
                _with_additions(container, spec, env),
                stdio=stdio,
                terminal=terminal,
                on_terminal=on_terminal,
                preserve=preserve,
                pivot=pivot,
                launcher=launcher or launch,
            )
        except BaseException as error:
            try:
                remove(container)
            except (Error, OSError) as cleanup:
                error.add_note(f"what was made of {container_id} could not be removed again: {cleanup}")
            raise
    return container


def _claim(containers: Containers, container_id: str) -> None:
    """The directory is made at once or is there already: of two that want an id only one gets it."""
    directory = containers.directory(container_id)
    try:
        if not os.path.isdir(containers.root):
            os.makedirs(containers.root, 0o711, exist_ok=True)
        os.mkdir(directory, 0o711)
    except FileExistsError as error:
        if not os.path.isdir(directory):
            raise StageError("state", errno.ENOTDIR, containers.root, advice=_OTHER_ROOT) from error
        raise AlreadyExists(
            f"container with given ID already exists: {_other(containers, container_id)}"
        ) from error
    except OSError as error:
        raise StageError("state", error.errno or 0, directory, advice=_OTHER_ROOT) from error


def _other(containers: Containers, container_id: str) -> str:
    try:
        state = containers.get(container_id).status().value
    except (Error, OSError):
        return f"{container_id!r} was never made whole; remove what is left of it with delete --force"
    return f"{container_id!r} is {state}; take another id, or delete it first"


def _record(spec: Spec, container_id: str, bundle: str, place: dict[str, Any] | None) -> Record:
    namespaces = spec.get("linux", {}).get("namespaces") or ()
    return Record(
        container_id,
        bundle,
        rootfs_of(spec, bundle),
        created=now(),
        annotations=spec.get("annotations") or {},
        cgroup=place,
        freezer=None if place is None else freezer_file(place),
        own_pids=any(n.get("type") == "pid" and not n.get("path") for n in namespaces),
    )


def _with_additions(container: Container, spec: Spec, env: Sequence[str]) -> Spec:
    """`spec` with what is for the first process alone, and not for one that is executed later."""
    process = spec["process"]
    spec = {**spec, "process": {**process, "env": [*(process.get("env") or ()), *env]}}
    add_home(spec["process"], container.record.rootfs)
    if container.record.notify:
        from containerlib.runtime.containers.notify import add_notify

        add_notify(spec, container.directory)
    return spec


def _make_groups(container: Container, cgroup: ContainerCgroup, spec: Spec) -> None:
    """Groups that are in use are another container's: the removal of this one must not end what is in them."""
    try:
        make_groups(cgroup, spec)
    except Conflict:
        container.record.cgroup = None
        container.record.write(container.directory)
        raise


def _make(
    container: Container,
    spec: Spec,
    *,
    stdio: Stdio | None,
    terminal: tuple[int, int] | None,
    on_terminal: Callable[[int], None] | None,
    preserve: Sequence[int],
    pivot: bool,
    launcher: Callable[..., Supervisor],
) -> None:
    record = container.record
    cgroup = container.cgroup()
    if cgroup is not None:
        _make_groups(container, cgroup, spec)
        if cgroup.adopted:
            record.adopted = list(cgroup.adopted)
            record.write(container.directory)
    supervisor = launcher(
        record.bundle,
        directory=container.directory,
        root=BindRoot(record.rootfs),
        cgroup=cgroup,
        owned=False,
        stdio=stdio,
        log=None,
        terminal=terminal,
        hold=True,
        spec=spec,
        unsupervised=True,
        preserve=preserve,
        pivot=pivot,
        keyring=record.keyring,
        seccomp_cache=os.path.join(os.path.dirname(container.directory), RESERVED),
        mapper=mapper_of_caller(),
    )
    with supervisor:
        record.note_process(container.directory, supervisor.pid, supervisor.start_time)
        if supervisor.terminal_fd is not None and on_terminal is not None:
            on_terminal(supervisor.terminal_fd)
        supervisor.finished()
    if cgroup is not None:
        cgroup.settle()
