"""exec: another process in a running container."""

from __future__ import annotations

import os
import signal

from containerlib.errors import InvalidArgument
from containerlib.oci_cli.descriptors import inherited
from containerlib.oci_cli.foreground import Foreground
from containerlib.oci_cli.sinks import check_console, send_pidfd, send_terminal, write_pid_file
from containerlib.runtime.containers.execute import check_running, execute
from containerlib.runtime.order import Stdio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from containerlib.oci_cli.parser import Values
    from containerlib.oci_cli.request import Request
    from containerlib.runtime.supervisor import Supervisor
    from containerlib.spec.runtime import Process

__all__ = ["process_of", "run"]


def run(request: Request) -> int:
    values, container = request.values, request.container
    ignore_paused = values.flag("ignore-paused")
    check_running(container, ignore_paused=ignore_paused)
    process = process_of(values, request.arguments[1:], container.spec()["process"])
    detach, terminal, console = (
        values.flag("detach"),
        bool(process.get("terminal")),
        values.text("console-socket"),
    )
    check_console(console, terminal=terminal, detach=detach)
    passed = inherited(values.number("preserve-fds"))
    with Foreground() as foreground:
        supervisor = execute(
            container,
            process,
            stdio=None if terminal else Stdio(0, 1, 2),
            terminal=_size() if terminal and not detach else None,
            preserve=passed.fds,
            groups=values.texts("cgroup"),
            detach=detach,
            ignore_paused=ignore_paused,
            warn=request.log.warning,
        )
        with supervisor:
            try:
                _tell(values, supervisor, console if detach else "", foreground)
            except BaseException:
                _end(supervisor.pid)
                raise
            return 0 if detach else _served(supervisor, foreground)


def _tell(values: Values, supervisor: Supervisor, console: str, foreground: Foreground) -> None:
    if supervisor.terminal_fd is not None:
        if console:
            send_terminal(console, supervisor.terminal_fd)
        else:
            foreground.adopt_terminal(supervisor.terminal_fd)
    if socket := values.text("pidfd-socket"):
        send_pidfd(socket, supervisor.pid, "setns")
    if file := values.text("pid-file"):
        write_pid_file(file, supervisor.pid)


def _served(supervisor: Supervisor, foreground: Foreground) -> int:
    try:
        pidfd = os.pidfd_open(supervisor.pid)
    except ProcessLookupError:  # it has ended already
        return supervisor.wait().exit_code

    def status() -> int | None:
        end = supervisor.poll()
        return None if end is None else end.exit_code

    try:
        return foreground.wait(pidfd, supervisor.fileno(), status)
    finally:
        os.close(pidfd)


def _end(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _size() -> tuple[int, int] | None:
    from containerlib.oci_cli.terminal import size_of_caller

    return size_of_caller()


def process_of(values: Values, argv: list[str], default: Process) -> Process:
    """The process that the flags ask for: that of a file, or the container's with changes.

    Raises: InvalidArgument, NotFound.
    """
    if path := values.text("process"):
        from containerlib.runtime.config.read import read_object

        # what is wrong in it is found where it is used
        found: Process = read_object(path, f"open {path}: no such file or directory")  # type: ignore[assignment]
        return found
    process: Process = {**default, "args": argv, "terminal": values.flag("tty")}
    if not argv:
        raise InvalidArgument("process args cannot be empty: say what to run, or give --process")
    for flag, key in (("cwd", "cwd"), ("apparmor", "apparmorProfile"), ("process-label", "selinuxLabel")):
        if text := values.text(flag):
            process[key] = text  # type: ignore[literal-required]  # three keys of Process that are text
    process["env"] = [*(default.get("env") or ()), *values.texts("env")]
    if values.given("no-new-privs"):
        process["noNewPrivileges"] = values.flag("no-new-privs")
    _add_capabilities(process, values.texts("cap"))
    _change_user(process, values)
    return process


def _add_capabilities(process: Process, names: list[str]) -> None:
    """To the sets that a program without privileged files gets; never to the inheritable one (CVE-2022-29162).

    One that is inheritable already becomes ambient, so that a user who is not root has it.
    """
    if not names:
        return
    sets = dict(process.get("capabilities") or {})
    for kind in ("bounding", "effective", "permitted"):
        before = _texts(sets.get(kind))
        sets[kind] = [*before, *(name for name in names if name not in before)]
    inheritable, ambient = _texts(sets.get("inheritable")), _texts(sets.get("ambient"))
    sets["ambient"] = [*ambient, *(name for name in names if name in inheritable and name not in ambient)]
    process["capabilities"] = sets  # type: ignore[typeddict-item]  # the same keys


def _change_user(process: Process, values: Values) -> None:
    user = dict(process.get("user") or {})
    if text := values.text("user"):
        uid, colon, gid = text.partition(":")
        user["uid"] = _number(uid, "uid")
        if colon:
            user["gid"] = _number(gid, "gid")
    if more := values.texts("additional-gids"):
        before = process.get("user", {}).get("additionalGids") or ()
        user["additionalGids"] = [*before, *(_number(gid, "additional gid") for gid in more)]
    process["user"] = user  # type: ignore[typeddict-item]  # the same keys


def _texts(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []


def _number(text: str, what: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise InvalidArgument(f"parsing {text} as int for {what} failed: invalid syntax")
    return int(text)
