"""What a helper is given, and its start: a plan, descriptors by what they are for, and flags.

    supervisor = start_helper(plan, {Launch.DIRECTORY: fd}, Order(Launch.LOG), directory, wait=True)
    run_chores(hooks)           # without any container

The conversation that begins with it is drawn in wire.h.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Sequence

from containerlib._sys import forks, native
from containerlib._sys.helper import Helper
from containerlib._sys.wire import Kind, Launch, Message, send
from containerlib._sys.writing import memory
from containerlib.runtime.plan.op import Op, Plan
from containerlib.runtime.supervisor import Supervisor
from containerlib.spec.values import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from containerlib.spec.runtime import Process

__all__ = [
    "Order",
    "Stdio",
    "open_directory",
    "owner_fd",
    "run_chores",
    "start_helper",
    "stdio_fds",
    "supervise",
    "terminal_size",
]


@frozen
class Stdio:
    """Descriptors for the program's standard streams, borrowed during the call; None: /dev/null.

    Of a container they get a copy of what goes to the log (write ends of pipes); an exec has them themselves.
    `input`: a writing end of `stdin`, which a container's supervisor keeps open for those who attach.
    """

    stdin: int | None = None
    stdout: int | None = None
    stderr: int | None = None
    input: int | None = None


@frozen
class Order:
    """The part of a LAUNCH that is not descriptors by their flags."""

    flags: int
    terminal: tuple[int, int] | None = None
    preserve: Sequence[int] = ()
    layers: Sequence[int] = ()


def start_helper(
    plan: Plan,
    fds: dict[Launch, int],
    order: Order,
    directory: str | None,
    *,
    wait: bool,
    kind: type[Supervisor] = Supervisor,
    first: Plan | None = None,
) -> Supervisor:
    """Starts a helper and with `wait` hears of what came of it. `fds` are borrowed, and the plan is put among them.

    `directory`: the container that it is the shim of, None for no container's. `first`: the plan of the first run,
    where that is another one. Raises: StageError.
    """
    rows, columns = order.terminal or (0, 0)
    flags = order.flags | (Launch.TERMINAL if order.terminal else 0)
    flags |= (Launch.PRESERVE if order.preserve else 0) | (Launch.LAYERS if order.layers else 0)
    packed = plan.pack()
    helper, pair = Helper(directory), _Pair()
    supervisor = kind(pair.ours, directory=directory, helper=helper, plan=(first or plan).ops)
    try:
        with pair, contextlib.ExitStack() as stack:
            fds[Launch.PLAN] = stack.enter_context(memory("containerlib-plan", packed))
            if first is not None:
                fds[Launch.RESTORE] = stack.enter_context(memory("containerlib-plan", first.pack()))
            ordered = sorted(fds)
            value = (sum(ordered) | flags, rows, columns, len(order.preserve))
            # before the helper starts: it finds its order there and does not wait for this process to run again
            given = [*(fds[flag] for flag in ordered), *order.preserve, *order.layers]
            send(pair.ours, Message(Kind.LAUNCH, value, (len(order.layers), 0)), given)
            helper.start(pair.theirs.fileno())
        return supervisor.launched() if wait else supervisor
    except BaseException:  # an interrupt may come right after the start, before anybody knows of it
        supervisor.abandon()
        raise


def run_chores(chores: Sequence[Op]) -> None:
    """Has a helper run what needs no container: hooks, and another runtime's commands. Raises: StageError."""
    with start_helper(Plan((), tuple(chores)), {}, Order(Launch.CHORES), None, wait=False) as supervisor:
        try:
            supervisor.done()
        finally:
            supervisor.finished()


def supervise(
    plan: Plan,
    *,
    directory: str,
    subject: str | None,
    owned: bool,
    stdio: Stdio | None,
    flags: int,
    terminal: tuple[int, int] | None,
    layers: Sequence[int] = (),
    kind: type[Supervisor] = Supervisor,
) -> Supervisor:
    """Starts a helper with `plan`, for a driver that has its own. `subject`: the container that it is the shim of.

    `directory` takes what the helper and the plan's commands write. Raises: StageError.
    """
    with contextlib.ExitStack() as stack:
        fds = {
            Launch.DIRECTORY: open_directory(stack, directory),
            **owner_fd(stack, owned),
            **stdio_fds(stdio),
        }
        return start_helper(plan, fds, Order(flags, terminal, layers=layers), subject, wait=True, kind=kind)


def terminal_size(process: Process, size: tuple[int, int] | None) -> tuple[int, int] | None:
    """Rows and columns, where the process has a terminal: those asked for, the config's, or the VT100's."""
    if not process.get("terminal"):
        return None
    console = process.get("consoleSize", {})
    return size or (console.get("height", 24), console.get("width", 80))


class _Pair:
    """Both ends of the conversation with a helper. Its own is closed here at the end of the block, and in a forked
    child at once: only then is the helper's death the end of the conversation.
    """

    def __init__(self) -> None:
        with forks.no_fork:
            forks.close_in_child(self)
            self.ours, self.theirs = socket.socketpair(
                socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC
            )

    def close(self) -> None:
        self.theirs.close()

    def __enter__(self) -> None:
        return

    def __exit__(self, *_: object) -> None:
        with forks.no_fork:
            forks.let_go(self)
            self.close()


def open_directory(stack: contextlib.ExitStack, path: str) -> int:
    """A descriptor for as long as `stack` is open."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    stack.callback(os.close, fd)
    return fd


def owner_fd(stack: contextlib.ExitStack, owned: bool) -> dict[Launch, int]:
    """This process, where the container is to die with it; for as long as `stack` is open."""
    if not owned:
        return {}
    fd = native.pidfd_open(os.getpid())
    stack.callback(os.close, fd)
    return {Launch.OWNER: fd}


def stdio_fds(stdio: Stdio | None) -> dict[Launch, int]:
    """Those of them that are given."""
    if stdio is None:
        return {}
    streams = (
        (Launch.STDIN, stdio.stdin),
        (Launch.STDOUT, stdio.stdout),
        (Launch.STDERR, stdio.stderr),
        (Launch.INPUT, stdio.input),
    )
    return {flag: fd for flag, fd in streams if fd is not None}
