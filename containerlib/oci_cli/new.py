"""What create and run share: a container made of a bundle, as their flags want it."""

from __future__ import annotations

import os

from containerlib.errors import InvalidArgument
from containerlib.oci_cli.descriptors import inherited
from containerlib.oci_cli.sinks import check_console, send_pidfd, send_terminal, write_pid_file
from containerlib.runtime.containers.bundle import load_bundle
from containerlib.runtime.containers.create import create
from containerlib.runtime.containers.delete import delete
from containerlib.runtime.order import Stdio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from containerlib.oci_cli.request import Request
    from containerlib.runtime.containers.containers import Container

__all__ = ["config_file", "make", "tell"]


def make(
    request: Request,
    *,
    detach: bool,
    size: tuple[int, int] | None = None,
    on_terminal: Callable[[int], None] | None = None,
) -> Container:
    """A created container. In the foreground `on_terminal` takes the terminal's master, else a socket does."""
    values, manager = request.values, request.cgroup_manager
    bundle = os.path.abspath(values.text("bundle") or ".")
    spec = load_bundle(bundle, request.log.warning, config=config_file(values.text("config")))
    terminal = bool(spec["process"].get("terminal"))
    console = values.text("console-socket")
    check_console(console, terminal=terminal, detach=detach)
    passed = inherited(values.number("preserve-fds"), os.environ)
    return create(
        request.containers,
        request.id,
        bundle,
        spec=spec,
        stdio=None if terminal else Stdio(0, 1, 2),
        terminal=size,
        on_terminal=(lambda master: send_terminal(console, master)) if detach else on_terminal,
        preserve=passed.fds,
        env=passed.env,
        notify=bool(os.environ.get("NOTIFY_SOCKET")),
        rootless=_rootless(request.options.text("rootless")),
        warn=request.log.warning,
        systemd=manager == "systemd",
        groups=manager != "disabled",
        pivot=not values.flag("no-pivot"),
        keyring=not values.flag("no-new-keyring"),
    )


def config_file(name: str) -> str | None:
    """The file that --config names; None for the bundle's own.

    As with crun: a path from the working directory, but "config.json" is the bundle's, which is the default there.
    """
    return None if name in ("", "config.json") else os.path.abspath(name)


def _rootless(word: str) -> bool | None:
    """None: it is for the runtime to find out. Raises: InvalidArgument."""
    if word not in ("auto", "true", "false"):
        raise InvalidArgument(f'invalid value "{word}" for flag -rootless: true, false or auto is needed')
    return None if word == "auto" else word == "true"


def tell(request: Request, container: Container) -> None:
    """Sends the pidfd and writes the pid file that were asked for; a failure ends the container."""
    try:
        if socket := request.values.text("pidfd-socket"):
            send_pidfd(socket, container.record.pid, "standard")
        if file := request.values.text("pid-file"):
            write_pid_file(file, container.record.pid)
    except BaseException:
        delete(request.containers, container.id, force=True, warn=request.log.warning)
        raise
