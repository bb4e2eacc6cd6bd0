"""The log of a command, as runc writes it, since those who call a runtime read it: a line of text or of JSON."""

from __future__ import annotations

import json
import os
import sys
import time

from containerlib.errors import InvalidArgument, StageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

__all__ = ["Log"]


class Log:
    """Lines to `path`, or to standard error."""

    def __init__(self, path: str = "", form: str = "text", *, debug: bool = False) -> None:
        """Raises: InvalidArgument, StageError."""
        if form not in ("text", "json"):
            raise InvalidArgument(f"invalid log-format: {form}")
        self._json = form == "json"
        self._debug = debug
        self.path = path
        self._fd = 2
        if path:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            try:
                self._fd = os.open(path, flags, 0o644)
            except OSError as error:
                raise StageError(
                    "log", error.errno or 0, path, advice="choose another file with --log"
                ) from error

    def error(self, message: str) -> None:
        self._write("error", message)

    def warning(self, message: str) -> None:
        self._write("warning", message)

    def debug(self, message: str) -> None:
        if self._debug:
            self._write("debug", message)

    def fatal(self, message: str) -> None:
        """An error that ends the command: a person at the terminal reads it too."""
        self.error(message)
        if self._fd != 2:
            print_error(message)

    def _write(self, level: str, message: str) -> None:
        if self._json:
            line = json.dumps({"level": level, "msg": message, "time": _now()}, separators=(",", ":"))
        else:
            line = f'time="{_now()}" level={level} msg={json.dumps(message, ensure_ascii=False)}'
        try:
            os.write(self._fd, f"{line}\n".encode(errors="backslashreplace"))
        except OSError:  # nobody reads, or the disk is full: the exit status still tells
            return


def print_error(message: str, stream: TextIO | None = None) -> None:
    try:
        (stream or sys.stderr).write(f"{message}\n")
    except OSError:
        return


def _now() -> str:
    """RFC 3339 in seconds, in local time."""
    now = time.localtime()
    zone = "Z" if not now.tm_gmtoff else time.strftime("%z", now)
    return time.strftime("%Y-%m-%dT%H:%M:%S", now) + (f"{zone[:3]}:{zone[3:]}" if len(zone) == 5 else zone)
