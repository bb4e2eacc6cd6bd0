"""From a command line to an exit status.

0     done; of run and exec in the foreground: the status of the process
1     refused, or failed: the log says why
255   exec failed
"""

from __future__ import annotations

import os
import sys

from containerlib.errors import Error, InvalidArgument
from containerlib.oci_cli.commands import COMMANDS, GLOBAL, Command
from containerlib.oci_cli.log import Log
from containerlib.oci_cli.parser import Values, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    from containerlib.oci_cli.request import Request

__all__ = ["command", "main"]

_NO_SUCH_COMMAND = 3
_EXEC_FAILED = 255
_INTERRUPTED = 130
_OWN_MODULE = frozenset(
    (
        "checkpoint",
        "create",
        "events",
        "exec",
        "features",
        "list",
        "ps",
        "restore",
        "run",
        "spec",
        "update",
    )
)


def command() -> NoReturn:
    """The process: it runs its command and ends, without taking the interpreter apart."""
    status = main()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # nobody reads any more
            status = status or 1
    os._exit(status)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command of `arguments` (the process's own) and returns its exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        options, rest = parse(words, GLOBAL, mixed=False)
    except InvalidArgument as error:
        return _misused(Log(), str(error), None)
    if options.flag("version"):
        return _help("version", None)
    if options.flag("help") or not rest or rest[0] in ("help", "h"):
        return _help("help", COMMANDS.get(rest[1]) if len(rest) > 1 else None)
    try:
        log = Log(options.text("log"), options.text("log-format"), debug=options.flag("debug"))
    except Error as error:
        Log().error(str(error))
        return 1
    command = COMMANDS.get(rest[0])
    if command is None:
        log.fatal(f"No help topic for '{rest[0]}'")
        return _NO_SUCH_COMMAND
    return _command(command, options, rest[1:], log)


def _command(command: Command, options: Values, words: list[str], log: Log) -> int:
    if words[:1] in (["--help"], ["-h"], ["-help"]):
        return _help("help", command)
    try:
        values, arguments = parse(words, command.flags, mixed=command.mixed)
        _count(command, arguments)
    except InvalidArgument as error:
        return _misused(log, str(error), command)
    try:
        from containerlib.oci_cli.request import Request

        request = Request(options, values, arguments, log)
        log.debug(f"{command.name} {' '.join(words)}")
        return _run(command.name, request)
    except (Error, OSError) as error:
        from containerlib.oci_cli.report import message_of

        log.fatal(message_of(error, command.name, arguments[0] if arguments else ""))
        return _EXEC_FAILED if command.name == "exec" else 1
    except KeyboardInterrupt:
        return _INTERRUPTED


def _run(verb: str, request: Request) -> int:
    """Each verb is `run` of a module; those that are one call share one."""
    name = verb if verb in _OWN_MODULE else "simple"
    module = __import__(f"containerlib.oci_cli.verb_{name}", fromlist=["run"])
    status: int = module.run(request) if name != "simple" else module.run(verb, request)
    return status


def _count(command: Command, arguments: list[str]) -> None:
    """Raises: InvalidArgument, in runc's words."""
    subject, count = f'containerlib-oci: "{command.name}" requires', len(arguments)
    if command.least == command.most:
        if count != command.least:
            raise InvalidArgument(f"{subject} exactly {command.least} argument(s)")
    elif count < command.least:
        raise InvalidArgument(f"{subject} a minimum of {command.least} argument(s)")
    elif count > command.most:
        raise InvalidArgument(f"{subject} a maximum of {command.most} argument(s)")


def _misused(log: Log, message: str, command: Command | None) -> int:
    sys.stdout.write(f"Incorrect Usage: {message}\n\n")
    _help("help", command)
    log.fatal(message)
    return 1


def _help(what: str, command: Command | None) -> int:
    from containerlib.oci_cli import help as texts

    sys.stdout.write(texts.version() if what == "version" else texts.help_of(command))
    return 0
