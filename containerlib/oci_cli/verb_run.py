"""run: create and start in one, and in the foreground the wait for the end and the removal."""

from __future__ import annotations

import os

from containerlib._sys import native
from containerlib.errors import Error
from containerlib.oci_cli.foreground import Foreground
from containerlib.oci_cli.new import make, tell
from containerlib.runtime.containers.delete import delete
from containerlib.runtime.containers.start import start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from containerlib.oci_cli.request import Request
    from containerlib.runtime.containers.containers import Container
    from containerlib.runtime.containers.notify import NotifySocket

__all__ = ["ended", "run"]


def run(request: Request) -> int:
    if request.values.flag("detach"):
        return _detached(request)
    native.become_subreaper()  # the container's first process becomes a child of this one, and so do its orphans
    with Foreground() as foreground:
        size = _size()
        container = make(request, detach=False, size=size, on_terminal=foreground.adopt_terminal)
        try:
            status = _served(request, container, foreground)
        except BaseException:
            delete(request.containers, container.id, force=True, warn=request.log.warning)
            raise
        if not request.values.flag("keep"):
            delete(request.containers, container.id, force=True, warn=request.log.warning)
        return status


def _detached(request: Request) -> int:
    container = make(request, detach=True)
    try:
        notify = _notify_socket(container)
        start(container)
        tell(request, container)
    except BaseException:
        delete(request.containers, container.id, force=True, warn=request.log.warning)
        raise
    if notify is not None:
        notify.wait(container.record.pid)
        notify.close()
    return 0


def _served(request: Request, container: Container, foreground: Foreground) -> int:
    notify = _notify_socket(container)
    start(container)
    tell(request, container)
    if notify is not None:
        _relay(notify, container.record.pid)
    return ended(container, foreground)


def ended(container: Container, foreground: Foreground) -> int:
    """Serves until its first process ends, which is this one's to reap, and returns its exit status."""
    pid = container.record.pid
    pidfd = os.pidfd_open(pid)
    try:
        return foreground.wait(pidfd, pidfd, lambda: _reap(pid))
    finally:
        os.close(pidfd)


def _reap(pid: int) -> int | None:
    """The exit status of the container's first process; its orphans, which came here, are reaped too."""
    try:
        while True:
            ended, status = os.waitpid(-1, os.WNOHANG)
            if ended == 0:
                return None
            if ended == pid:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code
    except ChildProcessError as error:
        raise Error(f"process {pid} of the container was waited for by somebody else") from error


def _relay(notify: NotifySocket, pid: int) -> None:
    """Readiness is passed on beside the wait: a thread, since the main one has the signals."""
    import threading

    threading.Thread(target=notify.wait, args=(pid,), daemon=True).start()


def _notify_socket(container: Container) -> NotifySocket | None:
    if not container.record.notify:
        return None
    from containerlib.runtime.containers.notify import NotifySocket as Socket

    return Socket(container.directory, os.environ["NOTIFY_SOCKET"])


def _size() -> tuple[int, int] | None:
    if not any(map(os.isatty, (2, 1, 0))):
        return None
    from containerlib.oci_cli.terminal import size_of_caller

    return size_of_caller()
