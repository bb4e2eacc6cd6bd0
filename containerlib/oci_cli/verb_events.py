"""events: what a container uses, and each time that the kernel kills one of its processes for memory."""

from __future__ import annotations

import contextlib
import json
import os
import select
import sys
import time

from containerlib.errors import Conflict, InvalidArgument, Unsupported
from containerlib.runtime.cgroups.stats import events_document
from containerlib.runtime.containers.groups import needed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from containerlib.oci_cli.request import Request
    from containerlib.runtime.cgroups.cgroup import ContainerCgroup
    from containerlib.runtime.cgroups.oom import OomWatch
    from containerlib.runtime.containers.containers import Container

__all__ = ["run"]


def run(request: Request) -> int:
    container = request.container
    interval = request.values.seconds("interval")
    if interval <= 0:
        raise InvalidArgument("duration interval must be greater than 0")
    container.check("watch")
    cgroup = needed(container)
    if request.values.flag("stats"):
        _print("stats", container.id, events_document(cgroup.stats()))
    else:
        _follow(container, cgroup, interval)
    return 0


def _follow(container: Container, cgroup: ContainerCgroup, interval: float) -> None:
    """Until the container ends."""
    try:
        pidfd = os.pidfd_open(container.record.pid)
    except ProcessLookupError as error:
        raise Conflict(f"{container.subject} is stopped", state="stopped") from error
    try:
        with contextlib.ExitStack() as stack:
            poll = select.poll()
            poll.register(pidfd, select.POLLIN)
            watch = _watch(cgroup, stack)
            if watch is not None:
                poll.register(watch, select.POLLIN)
            due = time.monotonic() + interval
            while True:
                ready = {fd for fd, _ in poll.poll(max(0.0, due - time.monotonic()) * 1000)}
                for _ in range(watch.poll() if watch is not None and ready else 0):
                    _print("oom", container.id, None)
                if pidfd in ready:
                    return
                if time.monotonic() >= due:
                    _print("stats", container.id, events_document(cgroup.stats()))
                    due += interval
    finally:
        os.close(pidfd)


def _watch(cgroup: ContainerCgroup, stack: contextlib.ExitStack) -> OomWatch | None:
    """None where the container has no memory group, and so nothing to be killed for."""
    try:
        return stack.enter_context(cgroup.watch_oom())
    except Unsupported:
        return None


def _print(kind: str, container_id: str, data: object) -> None:
    event = {"type": kind, "id": container_id, **({} if data is None else {"data": data})}
    sys.stdout.write(json.dumps(event, separators=(",", ":")) + "\n")
    sys.stdout.flush()
