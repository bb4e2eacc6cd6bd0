"""Checkpoints of containers that are commands' own: no verbs of the specification, but runc's.

A container goes on from a checkpoint as another one is created and started, in one.
"""

from __future__ import annotations

from containerlib.errors import StageError, Unsupported
from containerlib.runtime.checkpoint import Options, find_criu
from containerlib.runtime.checkpoint import dump as dump_processes
from containerlib.runtime.checkpoint import restore as restore_processes
from containerlib.runtime.containers.create import create
from containerlib.runtime.containers.kill import end
from containerlib.runtime.containers.lock import Lock
from containerlib.runtime.containers.rootless import is_rootless
from containerlib.runtime.unsupervised import run_hooks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from containerlib.runtime.containers.containers import Container, Containers
    from containerlib.runtime.supervisor import Supervisor

__all__ = ["checkpoint", "restore"]

_PATIENCE = 10.0


def checkpoint(
    container: Container,
    images: str,
    *,
    criu: str,
    options: Options,
    work: str | None = None,
    pre: bool = False,
    ready: Callable[[], object] | None = None,
) -> None:
    """Writes its processes to the directory `images`; see `dump`, which raises the same.

    `criu`: the program. `ready` is called when memory may be asked for, with `options.lazy_pages`.
    """
    _require_root()
    with Lock(container.directory):
        container.check("checkpoint", locked=True)
        record = container.record
        dump_processes(
            find_criu(criu),
            container.directory,
            images,
            spec=container.spec(),
            cgroup=container.cgroup(),
            options=options,
            work=work,
            pre=pre,
            target=(record.pid, record.start_time),
            ready=ready,
        )


def restore(
    containers: Containers,
    container_id: str,
    bundle: str,
    images: str,
    *,
    criu: str,
    options: Options,
    work: str | None = None,
    **words: Any,
) -> Container:
    """Makes the container of `bundle` as `create` does, with its `words`; it goes on from `images`, and runs.

    Raises: as `create`; NotFound, InvalidArgument and Unsupported for the checkpoint.
    """
    _require_root()
    program = find_criu(criu)

    def go_on(bundle: str, **given: Any) -> Supervisor:
        return restore_processes(program, images, bundle, options=options, work=work, **given)

    container = create(containers, container_id, bundle, launcher=go_on, **words)
    with Lock(container.directory):
        try:
            run_hooks(
                "poststart",
                container.spec(),
                container_id=container.id,
                bundle=container.record.bundle,
                pid=container.record.pid,
            )
        except StageError:
            end(container, patience=_PATIENCE)
            raise
    return container


def _require_root() -> None:
    if is_rootless():
        raise Unsupported("checkpoints are made and restored by root alone: CRIU needs its capabilities")
