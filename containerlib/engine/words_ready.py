"""What a `wait_for` is given."""

from __future__ import annotations

import re
from collections.abc import Sequence

from containerlib.engine.execute import ExecOptions
from containerlib.engine.log_lines import LogLines
from containerlib.engine.reach import Target
from containerlib.engine.words import command, text, vector
from containerlib.errors import InvalidArgument
from containerlib.units import check_kind

__all__ = ["conditions"]

_HTTP_PORT = 80
_PATH = re.compile(r"/[!-~]*")
_LONGEST_PATH = 2048

Conditions = tuple[LogLines | None, Target | None, ExecOptions | None]


def conditions(
    log: str | re.Pattern[str] | None,
    count: int,
    port: int | None,
    http: str | None,
    exec: Sequence[str] | None,  # noqa: A002 - the face's word
) -> Conditions:
    """Lines of the log, a port to reach, a command that succeeds: at least one of them."""
    if log is None and port is None and http is None and exec is None:
        raise InvalidArgument("there is nothing to wait for: give log=, port=, http= or exec=", field="log")
    return (
        _lines(log, count),
        None if port is None and http is None else _target(port, http),
        None if exec is None else ExecOptions(command(vector(exec, field="exec"), field="exec")),
    )


def _lines(wanted: str | re.Pattern[str] | None, count: int) -> LogLines | None:
    check_kind(count, int, want="a number of lines, an int", field="count")
    if count < 1:
        raise InvalidArgument(f"{count} is not a number of lines: from 1 on", field="count")
    if wanted is None:
        if count != 1:
            raise InvalidArgument("count= is of the lines that log= names: give it too", field="count")
        return None
    if not isinstance(wanted, re.Pattern):
        return LogLines(text(wanted, field="log"), count)
    if not isinstance(wanted.pattern, str):
        raise InvalidArgument(f"{wanted!r} is for bytes: compile a str", field="log")
    return LogLines(wanted, count)


def _target(port: int | None, path: str | None) -> Target:
    number = _HTTP_PORT if port is None else port
    check_kind(number, int, want="a port, an int", field="port")
    if not 1 <= number < 1 << 16:
        raise InvalidArgument(f"{number} is not a port: from 1 to 65535", field="port")
    if path is not None and (not _PATH.fullmatch(text(path, field="http")) or len(path) > _LONGEST_PATH):
        raise InvalidArgument(
            f'{path!r} is not the path of a URL: it begins with "/", and what is not ASCII is %-encoded',
            field="http",
        )
    return Target(number, path)
