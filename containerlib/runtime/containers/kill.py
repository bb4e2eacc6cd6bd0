"""A signal to a container. Spec: runtime-spec runtime.md#kill"""

from __future__ import annotations

import contextlib
import errno
import os
import signal

from containerlib.errors import InvalidArgument
from containerlib.runtime.containers.process import facts
from containerlib.spec.lifecycle import State, check

TYPE_CHECKING = False
if TYPE_CHECKING:
    from containerlib.runtime.containers.containers import Container

__all__ = ["end", "kill", "signal_number"]


def signal_number(word: str) -> int:
    """A number, or a name with or without SIG in any case: "9", "KILL", "sigkill", "RTMIN+3".

    Raises: InvalidArgument.
    """
    if word.isdecimal() and word.isascii():
        return int(word)
    name, plus, offset = word.upper().partition("+")
    name = name if name.startswith("SIG") else f"SIG{name}"
    number: int | None = getattr(signal, name, None) if not name.startswith("SIG_") else None
    if number is None or (plus and not (name == "SIGRTMIN" and offset.isdecimal())):
        raise InvalidArgument(f'unknown signal "{word}": a name like TERM or a number is needed')
    return int(number) + int(offset or 0)


def kill(container: Container, number: int, *, everyone: bool = False) -> None:
    """Sends signal `number` to the first process, or to `everyone`.

    Without a pid namespace of its own, SIGKILL goes to all its processes: the others would not end with the first.
    What is left of a stopped container can be sent signals with `everyone` only.

    Raises: Conflict; InvalidArgument for a number that is no signal.
    """
    if not 0 <= number < signal.NSIG:
        raise InvalidArgument(f"unable to signal init: invalid argument: {number} is no signal's number")
    state = container.status()
    everyone = everyone or (number == signal.SIGKILL and not container.record.own_pids)
    if not everyone or state is not State.STOPPED:
        check("kill", state, container.subject)
    if everyone:
        _signal_all(container, number)
    else:
        _signal(container, number)
    if number == signal.SIGKILL and state is State.PAUSED:  # on v1 a frozen process dies when it is thawed
        _thaw(container)


def end(container: Container, *, patience: float) -> bool:
    """SIGKILL to all there is, and whether it has ended within `patience` seconds."""
    with contextlib.suppress(ProcessLookupError):
        fd = os.pidfd_open(container.record.pid) if container.record.pid else -1
        if fd >= 0:
            try:
                if container.is_alive:
                    signal.pidfd_send_signal(fd, signal.SIGKILL)
                    _thaw(container)
                    return _ended(fd, patience)
            finally:
                os.close(fd)
    return True


def _ended(pidfd: int, patience: float) -> bool:
    import select

    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(patience * 1000))


def _signal(container: Container, number: int) -> None:
    """Through a pidfd that is checked after it was opened: a process that has the same number by now is never hit."""
    try:
        fd = os.pidfd_open(container.record.pid)
    except ProcessLookupError:
        return check("kill", State.STOPPED, container.subject)
    try:
        known = facts(container.record.pid)
        if known is None or known.start_time != container.record.start_time:
            return check("kill", State.STOPPED, container.subject)
        signal.pidfd_send_signal(fd, number)
    except ProcessLookupError:
        return check("kill", State.STOPPED, container.subject)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise InvalidArgument(
            f"unable to signal init: invalid argument: {number} is no signal's number"
        ) from error
    finally:
        os.close(fd)
    return None


def _signal_all(container: Container, number: int) -> None:
    """Every process of its groups, looked at again until there is none that was not sent the signal."""
    cgroup = container.cgroup()
    if cgroup is None:
        return _signal(container, number)
    sent: set[int] = set()
    while fresh := set(cgroup.pids()) - sent:
        for pid in fresh:
            with contextlib.suppress(ProcessLookupError):
                fd = os.pidfd_open(pid)
                try:
                    if pid in cgroup.pids():
                        signal.pidfd_send_signal(fd, number)
                finally:
                    os.close(fd)
        sent |= fresh
    return None


def _thaw(container: Container) -> None:
    if container.record.freezer is None:
        return
    with contextlib.suppress(OSError):
        value = "0" if container.record.freezer.endswith("cgroup.freeze") else "THAWED"
        fd = os.open(container.record.freezer, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, value.encode())
        finally:
            os.close(fd)
