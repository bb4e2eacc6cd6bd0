"""What another runtime said when it failed, in our words: its messages are text, and no two have the same.

They are looked at for the one thing that callers tell apart, whether the program was not found (127) or not executable
(126); everything else is quoted.
"""

from __future__ import annotations

import errno
import json
import re

from containerlib.errors import StageError, printable

__all__ = ["explained", "last_message"]

_NOT_FOUND = re.compile(r"no such file or directory|executable file .*not found|not found in \$PATH", re.I)
_DENIED = re.compile(r"permission denied|is a directory", re.I)
_NO_PROGRAM = re.compile(r"exec format error", re.I)
_UNNAMED = re.compile(r"^(open executable|exec container process)\b")
"""crun's messages that say not which."""
_LONGEST = 1000


def explained(error: StageError, log: str, program: str) -> StageError:
    """`error` with what the runtime wrote last to `log`; one of stage "exec" where `program` is to blame."""
    message = last_message(log)
    if error.stage != "runtime" or not message:
        return error
    code = _blame(message, program)
    if code is not None:
        return StageError("exec", code, program, advice=f"{error.detail}: {message}")
    return StageError("runtime", error.errno or 0, error.detail, advice=message)


def last_message(log: str) -> str:
    """The last error in the log of JSON objects, which need not be on lines of their own; "" where there is none.

    A message that is no JSON (a runtime that does not know --log-format) is taken as it is.
    """
    try:
        with open(log, encoding="utf-8", errors="replace") as file:
            text = file.read(1 << 20)
    except OSError:
        return ""
    message, rest = "", text.strip()
    decoder = json.JSONDecoder()
    while rest:
        try:
            entry, end = decoder.raw_decode(rest)
        except ValueError:
            message = rest.splitlines()[-1]
            break
        rest = rest[end:].lstrip()
        if isinstance(entry, dict) and entry.get("level") in ("error", "fatal", None):
            message = str(entry.get("msg", ""))
    return printable(message.strip())[:_LONGEST]


def _blame(message: str, program: str) -> int | None:
    """The errno of the exec, where it is the program that could not be run."""
    name = re.escape(program)
    if not re.search(rf"(?<![\w/.-]){name}(?![\w/-])", message) and not _UNNAMED.search(message):
        return None
    if re.search(r"\b(mount|chdir|cwd|rootfs|hook)\b", message.replace(program, ""), re.I):
        return None
    for pattern, code in ((_NO_PROGRAM, errno.ENOEXEC), (_DENIED, errno.EACCES), (_NOT_FOUND, errno.ENOENT)):
        if pattern.search(message):
            return code
    return None
