"""systemd's readiness protocol through the container's wall.

The host's socket cannot be mounted into the container: it is not the container's to write to. So a socket of its own is
mounted there, and what it says of its readiness is passed on, once, with its first process as the main one.

Spec: sd_notify(3), sd_notify_barrier(3)
"""

from __future__ import annotations

import array
import contextlib
import os
import select
import socket

from containerlib.runtime.containers.sockets import at_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from containerlib.spec.runtime import Spec

__all__ = ["NotifySocket", "add_notify"]

_INSIDE = "/run/notify"
_NAME = "notify.sock"
_LARGEST = 4096
_BARRIER_SECONDS = 30.0


def add_notify(spec: Spec, directory: str) -> None:
    """Makes a place for the socket in the container's state `directory`, and names it in `spec`."""
    place = f"{directory}/notify"
    os.mkdir(place, 0o755)
    os.chmod(place, 0o755)  # noqa: S103 - the container's users look into it, whatever the umask
    options = ["bind", "nosuid", "noexec", "nodev", "ro"]
    mount: Any = {"destination": _INSIDE, "type": "bind", "source": place, "options": options}
    spec["mounts"] = [*(spec.get("mounts") or ()), mount]
    process = spec["process"]
    process["env"] = [*(process.get("env") or ()), f"NOTIFY_SOCKET={_INSIDE}/{_NAME}"]


class NotifySocket:
    """The container's end, bound in its state `directory`; `host` is the address that systemd gave."""

    def __init__(self, directory: str, host: str) -> None:
        self._host = host
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        path = f"{directory}/notify/{_NAME}"
        try:
            at_path(path, self._socket.bind)
            os.chmod(path, 0o777)  # noqa: S103 - any user of the container may be ready
        except BaseException:
            self._socket.close()
            raise

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def wait(self, pid: int) -> bool:
        """Until the container says that it is ready, or its process `pid` ends; whether it was the former."""
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            return False
        try:
            poll = select.poll()
            poll.register(self._socket, select.POLLIN)
            poll.register(pidfd, select.POLLIN)
            while True:
                ready = {fd for fd, _ in poll.poll()}
                if self._socket.fileno() in ready and self.take(pid):
                    return True
                if pidfd in ready:
                    return False
        finally:
            os.close(pidfd)

    def take(self, pid: int) -> bool:
        """Passes on one message if it is of readiness; whether it was."""
        for line in self._socket.recv(_LARGEST).split(b"\n"):
            if line.startswith(b"READY="):
                self._tell(line, pid)
                return True
        return False

    def _tell(self, ready: bytes, pid: int) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as host:
            if self._host.startswith("@"):
                host.connect(f"\0{self._host[1:]}")
            else:
                at_path(self._host, host.connect)
            host.send(ready + b"\n")
            host.send(f"MAINPID={pid}\n".encode())
            _barrier(host)


def _barrier(host: socket.socket) -> None:
    """Waits until systemd has taken what was sent: it closes the pipe then."""
    reader, writer = os.pipe()
    try:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [writer]))]
        with contextlib.suppress(OSError):
            host.sendmsg([b"BARRIER=1"], rights)
    finally:
        os.close(writer)
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    poll.poll(_BARRIER_SECONDS * 1000)
    os.close(reader)
