"""A new container, up to OCI's "created". Spec: runtime-spec runtime.md#create

The steps are such that whoever is killed between two of them leaves what `delete --force` finds: first the directory,
which is the claim on the id, then the record of where the groups will be, then the groups, then the process in them.
"""

from __future__ import annotations

import errno
import json
import os

from containerlib.errors import AlreadyExists, Error, StageError, Unsupported
from containerlib.runtime.containers.bundle import load_bundle, rootfs_of, silent
from containerlib.runtime.containers.containers import Container, Containers
from containerlib.runtime.containers.delete import remove
from containerlib.runtime.containers.groups import freezer_file, make_groups, place_of
from containerlib.runtime.containers.home import add_home
from containerlib.runtime.containers.ids import RESERVED
from containerlib.runtime.containers.lock import Lock
from containerlib.runtime.containers.record import CONFIG, Record, now, write_aside
from containerlib.runtime.containers.rootless import check_namespace, is_rootless, mapper_of_caller
from containerlib.runtime.launch import create as launch
from containerlib.runtime.plan.roots import BindRoot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from containerlib.runtime.launch import Stdio
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
    rootless: bool | None = None,
    warn: Callable[[str], None] = silent,
    pivot: bool = True,
    keyring: bool = True,
) -> Container:
    """Makes the container of `bundle`, whose configuration may be at hand (`spec`); its program waits for `start`.

    It inherits `stdio`, or has a terminal of `terminal`'s size, whose master `on_terminal` is lent. `preserve` are its
    descriptors from 3 on, `env` is added to its environment. `rootless`: it goes without what a caller without
    privileges cannot give it (None: if this is one), and `warn` hears of that.

    Its first process is a child of the nearest process that adopts orphans (a subreaper), which is to be the caller's
    monitor.

    Raises: AlreadyExists; NotFound, InvalidArgument and Unsupported for its configuration; StageError.
    """
    if not pivot:
        raise Unsupported("--no-pivot: a root on an initial ramdisk is not supported; leave the flag out")
    directory = containers.directory(container_id)
    bundle = os.path.abspath(bundle)
    spec = spec or load_bundle(bundle, warn)
    rootless = is_rootless() if rootless is None else rootless
    check_namespace(spec)
    place = place_of(spec, container_id, systemd=systemd, rootless=rootless, warn=warn)
    _claim(containers, container_id)
    with Lock(directory):
        container = Container(directory, _record(spec, container_id, bundle, place))
        container.record.notify, container.record.rootless = notify, rootless
        container.record.keyring = keyring
        try:
            _write(container, spec)
            _add(container, spec, env)
            _make(
                container,
                spec,
                stdio=stdio,
                terminal=terminal,
                on_terminal=on_terminal,
                preserve=preserve,
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
        own_pids=any(n.get("type") == "pid" and not n.get("path") for n in namespaces),
    )


def _write(container: Container, spec: Spec) -> None:
    write_aside(f"{container.directory}/{CONFIG}", json.dumps(spec).encode())
    container.record.write(container.directory)


def _add(container: Container, spec: Spec, env: Sequence[str]) -> None:
    """What is for the first process alone, and not for one that is executed later."""
    if env:
        spec["process"]["env"] = [*(spec["process"].get("env") or ()), *env]
    add_home(spec["process"], container.record.rootfs)
    if container.record.notify:
        from containerlib.runtime.containers.notify import add_notify

        add_notify(spec, container.directory)


def _make(
    container: Container,
    spec: Spec,
    *,
    stdio: Stdio | None,
    terminal: tuple[int, int] | None,
    on_terminal: Callable[[int], None] | None,
    preserve: Sequence[int],
) -> None:
    record = container.record
    cgroup = container.cgroup()
    if cgroup is not None:
        make_groups(cgroup, spec)
        record.adopted = list(cgroup.adopted)
        record.write(container.directory)
    supervisor = launch(
        record.bundle,
        directory=container.directory,
        root=BindRoot(record.rootfs),
        cgroup=cgroup,
        owned=False,
        stdio=stdio,
        log=False,
        terminal=terminal,
        hold=True,
        spec=spec,
        unsupervised=True,
        preserve=preserve,
        keyring=record.keyring,
        seccomp_cache=os.path.join(os.path.dirname(container.directory), RESERVED),
        mapper=mapper_of_caller(),
    )
    with supervisor:
        record.pid, record.start_time = supervisor.pid, supervisor.start_time
        record.freezer = None if cgroup is None else freezer_file(cgroup)
        record.write(container.directory)
        if supervisor.terminal_fd is not None and on_terminal is not None:
            on_terminal(supervisor.terminal_fd)
        supervisor.finished()
    if cgroup is not None:
        cgroup.settle()
