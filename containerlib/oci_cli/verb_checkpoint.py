"""checkpoint: a container's processes as files, from which restore makes them again."""

from __future__ import annotations

import fcntl
import os

from containerlib.errors import InvalidArgument
from containerlib.runtime.checkpoint import Options
from containerlib.runtime.containers.checkpoint import checkpoint
from containerlib.runtime.containers.delete import delete

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    from containerlib.oci_cli.parser import Values
    from containerlib.oci_cli.request import Request
    from containerlib.spec.runtime import Spec

__all__ = ["images_of", "options_of", "run", "work_of"]


def run(request: Request) -> int:
    values = request.values
    pre = values.flag("pre-dump")
    container = request.container
    options = options_of(values, container.spec(), dumps=True)
    checkpoint(
        container,
        images_of(values),
        criu=request.options.text("criu"),
        options=options,
        work=work_of(values),
        pre=pre,
        ready=_ready(values),
    )
    if not (options.leave_running or pre):
        delete(request.containers, request.id, force=True, warn=request.log.warning)
    return 0


def images_of(values: Values) -> str:
    """The directory of the images, which is "checkpoint" here unless a flag says otherwise."""
    return os.path.abspath(values.text("image-path") or "checkpoint")


def work_of(values: Values) -> str | None:
    """The directory for CRIU's log, made where it is missing."""
    path = values.text("work-path")
    if not path:
        return None
    os.makedirs(path, 0o700, exist_ok=True)
    return os.path.abspath(path)


def options_of(values: Values, spec: Spec, *, dumps: bool) -> Options:
    """What the flags of both verbs say, and of a dump its own. Raises: InvalidArgument."""
    return Options(
        tcp="established" if values.flag("tcp-established") else "refuse",
        tcp_skip_in_flight=dumps and values.flag("tcp-skip-in-flight"),
        external_unix_sockets=values.flag("ext-unix-sk"),
        file_locks=values.flag("file-locks"),
        shell_job=values.flag("shell-job"),
        cgroups=values.text("manage-cgroups-mode") or "ignore",
        network=_network(values, spec),
        auto_dedup=values.flag("auto-dedup"),
        lazy_pages=values.flag("lazy-pages"),
        page_server=_page_server(values.text("page-server")) if dumps else None,
        leave_running=dumps and values.flag("leave-running"),
        parent=(values.text("parent-path") or None) if dumps else None,
        lsm_profile=None if dumps else values.text("lsm-profile") or None,
        lsm_mount_context=None if dumps else values.text("lsm-mount-context") or None,
    )


def _network(values: Values, spec: Spec) -> Literal["given", "dumped", "empty"]:
    """A namespace that the configuration names is somebody else's, as runc has it."""
    empty = values.texts("empty-ns")
    if unknown := set(empty) - {"network"}:
        raise InvalidArgument(f"namespace {min(unknown)} is not supported: --empty-ns takes network")
    if empty:
        return "empty"
    namespaces = spec.get("linux", {}).get("namespaces") or ()
    return "given" if any(n["type"] == "network" and n.get("path") for n in namespaces) else "dumped"


def _page_server(text: str) -> tuple[str, int] | None:
    if not text:
        return None
    address, _, port = text.rpartition(":")
    if not address or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise InvalidArgument("Use --page-server ADDRESS:PORT to specify page server")
    return address.removeprefix("[").removesuffix("]"), int(port)


def _ready(values: Values) -> Callable[[], object] | None:
    """Tells whoever reads from --status-fd that memory may be asked for, as runc does: by a NUL."""
    if not values.given("status-fd"):
        return None
    fd = values.number("status-fd")
    try:
        flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    except OSError as error:
        raise InvalidArgument(f"invalid --status-fd argument {fd}: it is not open") from error
    if flags & os.O_ACCMODE == os.O_RDONLY:
        raise InvalidArgument(f"invalid --status-fd argument {fd}: not writable")
    return lambda: os.write(fd, b"\0")
