"""The verbs that are one call: delete, kill, pause, resume, start, state."""

from __future__ import annotations

import json
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from containerlib.oci_cli.request import Request

__all__ = ["run"]


def run(verb: str, request: Request) -> int:
    _VERBS[verb](request)
    return 0


def _state(request: Request) -> None:
    text = {**request.container.describe(), "owner": ""}
    sys.stdout.write(json.dumps(text, indent=2) + "\n")


def _kill(request: Request) -> None:
    from containerlib.runtime.containers.kill import kill, signal_number

    container = request.container
    word = request.arguments[1] if len(request.arguments) > 1 else "TERM"
    kill(container, signal_number(word), everyone=request.values.flag("all"))


def _delete(request: Request) -> None:
    from containerlib.runtime.containers.delete import delete

    delete(request.containers, request.id, force=request.values.flag("force"), warn=request.log.warning)


def _pause(request: Request) -> None:
    from containerlib.runtime.containers.pause import pause

    pause(request.container)


def _resume(request: Request) -> None:
    from containerlib.runtime.containers.pause import resume

    resume(request.container)


def _start(request: Request) -> None:
    from containerlib.runtime.containers.start import start

    container = request.container
    host = os.environ.get("NOTIFY_SOCKET")
    if not (host and container.record.notify):
        start(container)
        return
    from containerlib.runtime.containers.notify import NotifySocket

    container.check("start")
    notify = NotifySocket(container.directory, host)
    try:
        start(container)
        notify.wait(container.record.pid)
    finally:
        notify.close()


_VERBS = {
    "delete": _delete,
    "kill": _kill,
    "pause": _pause,
    "resume": _resume,
    "start": _start,
    "state": _state,
}
