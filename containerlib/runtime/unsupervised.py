"""A container that is left to whoever adopts orphans, as a command's caller does: no helper stays with it.

create(bundle, ..., owned=False, hold=True, unsupervised=True)      # the helper ends when it is created
start_unsupervised(directory, spec)
run_hooks("poststop", spec, container_id=..., bundle=...)
"""

from __future__ import annotations

import os
import socket

from containerlib._sys.wire import Kind, Message, receive, send
from containerlib.errors import Conflict
from containerlib.runtime.failures import failure
from containerlib.runtime.order import run_chores
from containerlib.runtime.plan.container import late_ops
from containerlib.runtime.plan.hooks import hook_ops
from containerlib.runtime.supervisor import connect_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from containerlib.spec.runtime import Spec

__all__ = ["own_environment", "run_hooks", "start_unsupervised"]


def start_unsupervised(directory: str, spec: Spec) -> None:
    """Lets the created container of `directory` run, whose helper has ended. Its poststart hooks are the caller's.

    Raises: Conflict where it is not created; StageError where its program cannot be started.
    """
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    with channel:
        try:
            connect_in(channel, directory, "start.sock")
            send(channel, Message(Kind.START))
        except OSError as error:
            raise Conflict("the container is not waiting to be started: it runs, or has ended") from error
        try:
            answer = receive(channel)
        except ConnectionResetError:
            raise Conflict("the container ended when it was to be started") from None
    if answer is not None:
        message, fds = answer
        for fd in fds:
            os.close(fd)
        late = late_ops(spec)
        raise failure(message, late, first=message.number[0] - len(late))


def run_hooks(kind: str, spec: Spec, *, container_id: str, bundle: str, pid: int | None = None) -> None:
    """Runs the "poststart" or "poststop" hooks of a container that no shim stays with, one after the other.

    Raises: StageError for the first that fails.
    """
    hooks = tuple(
        hook_ops(spec, kind, container_id=container_id, bundle=bundle, pid=pid, inherited=own_environment())
    )
    if hooks:
        run_chores(hooks)


def own_environment() -> tuple[str, ...]:
    """This process's, which hooks on the host have where they are given none of their own."""
    return tuple(f"{name}={value}" for name, value in os.environ.items())
