"""Another process in a container that runs."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, cast

from attrs import frozen

from containerlib import runtime
from containerlib._sys.steps import Steps, Work
from containerlib.bundles.capabilities import capability_set
from containerlib.bundles.host import HostFacts
from containerlib.bundles.users import resolve_user
from containerlib.engine import history
from containerlib.engine.attached import Attached, Hearer
from containerlib.engine.completed import Completed, checked
from containerlib.engine.instance import Instance
from containerlib.engine.streams import Pipes, communicate
from containerlib.engine.undo import clean_up
from containerlib.errors import Conflict, InvalidArgument, StageError, Unavailable
from containerlib.runtime import Supervisor
from containerlib.runtime.connections import patience_of
from containerlib.runtime.supervisor import REPLY_TIMEOUT
from containerlib.spec.lifecycle import State, check
from containerlib.spec.runtime import Capabilities, Process, User
from containerlib.spec.status import ExitStatus

if TYPE_CHECKING:
    from containerlib.engine.streaming import OnOutput

__all__ = ["ENDED", "ExecOptions", "execute", "spawn", "spawn_detached"]

ENDED = (errno.ESRCH, errno.EOWNERDEAD)
"""What a start comes to where the container ends at this moment."""


@frozen
class ExecOptions:
    """A command for a container that runs. None or empty: as the container's own first process has it."""

    argv: tuple[str, ...]
    user: str | None = None
    workdir: str | None = None
    env: tuple[tuple[str, str], ...] = ()
    tty: bool = False
    privileged: bool = False
    is_probe: bool = False
    """Run again and again to see whether something is ready: no event."""


def execute(
    instance: Instance,
    options: ExecOptions,
    *,
    stdin: bytes | None = None,
    must_succeed: bool = True,
    timeout: float | None = None,
    on_output: OnOutput | None = None,
) -> Steps[Completed]:
    """Runs the command to its end.

    Raises: ExitError where `must_succeed` and the exit code is not 0; Timeout after `timeout` seconds, when
    the command is killed; Conflict where the container does not run; StageError where the command cannot be
    started; what `on_output` raises, when the command is killed.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    late = f"{' '.join(options.argv)!r} in {instance.subject} did not end within {timeout} s, and was killed"
    with _naming(instance), Pipes(stdin=stdin is not None) as pipes:
        teller = _Teller(instance, options)
        patience = patience_of(timeout)
        start = partial(_start, instance, options, pipes, teller, wait=False, patience=patience)
        try:
            supervisor = yield Work(start)
            status, stdout, stderr = yield from communicate(
                supervisor, pipes, stdin, deadline, late, on_output=on_output
            )
            supervisor.finished()
            teller.ended(status)
        except BaseException as error:
            if (begun := teller.supervisor) is not None:
                clean_up(error, lambda: _kill(instance, begun), partial(teller.failed, error, begun))
            raise
        finally:
            if teller.supervisor is not None:
                teller.supervisor.close()
    return checked(Completed(status.exit_code, stdout, stderr, status), options.argv, check=must_succeed)


def spawn(instance: Instance, options: ExecOptions) -> Attached:
    """Starts the command with pipes on its standard streams.

    Raises: as `execute`.
    """
    with _naming(instance), Pipes(stdin=True) as pipes:
        teller = _Teller(instance, options)
        return Attached(_start(instance, options, pipes, teller), pipes, argv=options.argv, hearer=teller)


def spawn_detached(instance: Instance, options: ExecOptions) -> Attached:
    """Starts the command without streams, to go on until it or the container ends, whatever becomes of this process.

    Raises: as `execute`; InvalidArgument with a terminal, which would hang up when this process ends.
    """
    if options.tty:
        raise InvalidArgument("detach and tty: a terminal ends with the process that has it", field="tty")
    with _naming(instance), Pipes(stdin=False) as pipes:
        teller = _Teller(instance, options)
        supervisor = _start(instance, options, pipes, teller, owned=False)
        reason = "a detached command reads from /dev/null"
        return Attached(supervisor, pipes, argv=options.argv, ours=False, no_input=reason, hearer=teller)


class _Teller(Hearer):
    """Notes the beginning and the end of one command, which `exec_id` holds together."""

    def __init__(self, instance: Instance, options: ExecOptions) -> None:
        self._instance = instance
        self._is_told = not options.is_probe
        self._facts = {"program": options.argv[0], "exec_id": os.urandom(8).hex()}
        self.supervisor: Supervisor | None = None
        """Once it has begun: an interrupt may come between that and the answer to who waits for it."""

    def began(self) -> None:
        if self._is_told:
            history.note(self._instance, "exec", **self._facts)

    def ended(self, status: ExitStatus) -> None:
        self._end(status.exit_code)

    def failed(self, error: BaseException, supervisor: Supervisor) -> None:
        """It was not to run to its end: it could not be started, or was killed by now."""
        if isinstance(error, StageError):
            self._end(error.exit_code)
            return
        with contextlib.suppress(StageError, Unavailable):
            if (status := supervisor.poll()) is not None:
                self._end(status.exit_code)

    def _end(self, code: int) -> None:
        if self._is_told:
            history.note(self._instance, "exec_die", **self._facts, exit_code=str(code))


def _start(
    instance: Instance,
    options: ExecOptions,
    pipes: Pipes,
    teller: _Teller,
    *,
    wait: bool = True,
    owned: bool = True,
    patience: float = REPLY_TIMEOUT,
) -> Supervisor:
    supervisor = instance.driver.execute(
        instance.directory,
        instance.spec,
        _process(instance, options, patience),
        cgroup=instance.cgroup,
        stdio=pipes.child if owned and not options.tty else None,
        owned=owned,
        seccomp_cache=instance.core.seccomp_cache,
        wait=wait or options.tty,
    )
    try:
        if supervisor.terminal_fd is not None:
            pipes.use_terminal(supervisor.terminal_fd)
        pipes.close_child()
        teller.began()
    except BaseException:
        supervisor.abandon()
        raise
    teller.supervisor = supervisor
    return supervisor


@contextlib.contextmanager
def _naming(instance: Instance) -> Iterator[None]:
    """The runtime's Conflict, with the container's name; also where the container ended while it was joined."""
    try:
        yield
    except (Conflict, StageError) as error:
        if isinstance(error, Conflict) or error.errno in ENDED:
            check("exec", instance.state, instance.subject)
        raise


def _kill(instance: Instance, supervisor: Supervisor) -> None:
    try:
        if supervisor.poll() is None:
            supervisor.signal(9, everyone=True)
            if instance.cgroup.frozen:
                return  # it dies with the first thing that it does when the container is resumed
            supervisor.wait(30.0)
    except (Conflict, StageError, Unavailable):  # it never ran
        pass
    supervisor.finished()


def _process(instance: Instance, options: ExecOptions, patience: float) -> Process:
    """The container's own process with another command, and what else was asked for."""
    own = instance.spec["process"]
    process = cast(Process, {**own, "args": list(options.argv), "terminal": options.tty})
    env = dict(entry.partition("=")[::2] for entry in own.get("env", []))
    if options.workdir is not None:
        process["cwd"] = options.workdir
    if options.user is not None:
        env["HOME"] = _change_user(instance, process, options.user, patience)
    if options.privileged:
        process["capabilities"] = _capabilities(process, _every_capability())
    process["env"] = [f"{name}={value}" for name, value in _merged(env, options).items()]
    return process


def _merged(env: Mapping[str, str], options: ExecOptions) -> dict[str, str]:
    terminal = {"TERM": "xterm"} if options.tty else {}
    return {**terminal, **env, **dict(options.env)}


def _change_user(instance: Instance, process: Process, text: str, patience: float) -> str:
    """Puts the user into `process` and returns their home.

    Names are looked up in the running container's own files: /proc/PID/root is opened once, and what is
    below it is resolved inside it, so that no link in the container leads to the host's files.
    """
    supervisor = runtime.connect(instance.directory, patience=patience)
    if supervisor is None:
        raise Conflict(f"cannot exec {instance.subject}: it is stopped", state=State.STOPPED.value)
    try:
        user = resolve_user(text, (instance.driver.files_of(supervisor.pid, instance.directory),))
    finally:
        supervisor.close()
    process["user"] = User(uid=user.uid, gid=user.gid, additionalGids=list(user.additional_gids))
    process["capabilities"] = _capabilities(process, process.get("capabilities", {}).get("bounding", []))
    return user.home


def _every_capability() -> list[str]:
    """All that this process can give: its filter, devices and masked paths stay the container's, as with Docker."""
    return list(capability_set(privileged=True, bounding=HostFacts.current().bounding))


def _capabilities(process: Process, bounding: list[str]) -> Capabilities:
    """What execve(2) would leave to a user other than root is nothing; Docker drops the same."""
    if process.get("user", {}).get("uid", 0):
        return Capabilities(bounding=bounding)
    return Capabilities(bounding=bounding, effective=bounding, permitted=bounding)
