"""The verbs that are one call: delete, kill, pause, resume, start, state."""

from __future__ import annotations

import json
import os
import sys

from containerlib.errors import Error, InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

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

    word = request.arguments[1] if len(request.arguments) > 1 else "TERM"
    everyone = request.values.flag("all")
    if not request.values.flag("regex"):
        container = request.container  # that it is not there counts more than a signal that is none
        kill(container, signal_number(word), everyone=everyone)
        return
    number = signal_number(word)
    _for_each(request, lambda name: kill(request.containers.get(name), number, everyone=everyone))


def _delete(request: Request) -> None:
    from containerlib.runtime.containers.delete import delete

    def remove(name: str) -> None:
        delete(request.containers, name, force=request.values.flag("force"), warn=request.log.warning)

    if request.values.flag("regex"):
        _for_each(request, remove)
    else:
        remove(request.id)


def _for_each(request: Request, act: Callable[[str], None]) -> None:
    """On each container in whose id the expression is found. What fails is a warning, as with crun: the others go on.

    Raises: InvalidArgument for an expression that is none.
    """
    import re

    try:
        expression = re.compile(request.id)
    except re.error as error:
        raise InvalidArgument(f"invalid regular expression {request.id}: {error}") from error
    for name in request.containers.names():
        if expression.search(name):
            try:
                act(name)
            except (Error, OSError) as error:
                request.log.warning(f"{name}: {error}")


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
