"""restore: a container that goes on from a checkpoint, and runs; in the foreground the wait for its end."""

from __future__ import annotations

import os

from containerlib._sys import native
from containerlib.oci_cli.foreground import Foreground
from containerlib.oci_cli.new import tell
from containerlib.oci_cli.sinks import check_console, send_terminal
from containerlib.oci_cli.verb_checkpoint import images_of, options_of, work_of
from containerlib.oci_cli.verb_run import ended
from containerlib.runtime.containers.bundle import load_bundle
from containerlib.runtime.containers.checkpoint import restore
from containerlib.runtime.containers.delete import delete
from containerlib.runtime.order import Stdio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from containerlib.oci_cli.request import Request
    from containerlib.runtime.containers.containers import Container

__all__ = ["run"]


def run(request: Request) -> int:
    values = request.values
    if values.flag("detach"):
        console = values.text("console-socket")
        tell(request, _make(request, detach=True, on_terminal=lambda master: send_terminal(console, master)))
        return 0
    if not values.flag("no-subreaper"):
        native.become_subreaper()
    with Foreground() as foreground:
        container = _make(request, detach=False, on_terminal=foreground.adopt_terminal)
        try:
            tell(request, container)
            status = ended(container, foreground)
        finally:
            delete(request.containers, container.id, force=True, warn=request.log.warning)
        return status


def _make(request: Request, *, detach: bool, on_terminal: Callable[[int], None]) -> Container:
    values, manager = request.values, request.cgroup_manager
    bundle = os.path.abspath(values.text("bundle") or ".")
    spec = load_bundle(bundle, request.log.warning)
    terminal = bool(spec["process"].get("terminal"))
    check_console(values.text("console-socket"), terminal=terminal, detach=detach)
    return restore(
        request.containers,
        request.id,
        bundle,
        images_of(values),
        criu=request.options.text("criu"),
        options=options_of(values, spec, dumps=False),
        work=work_of(values),
        spec=spec,
        stdio=None if terminal else Stdio(0, 1, 2),
        on_terminal=on_terminal,
        warn=request.log.warning,
        systemd=manager == "systemd",
        groups=manager != "disabled",
    )
