"""One plugin, run once: the configuration on its standard input, the rest in its environment, JSON back.

It is run as everybody's programs are, from the caller's network namespace. A plugin that takes too long ends, with
whatever it has started.

Spec: CNI SPEC.md, "Section 2: Execution Protocol"
"""

from __future__ import annotations

import json
import os
import select
import signal
import stat
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from subprocess import PIPE, Popen
from typing import IO, Any, NamedTuple, cast

from containerlib.errors import InvalidArgument, NotFound, PluginError, StageError, Timeout, printable
from containerlib.spec.document import Document, parse_json

__all__ = ["Said", "execute", "find", "run"]

_MAX_OUTPUT = 1024 * 1024
_PIECE = 64 * 1024
_PATIENCE = 1.0
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Said(NamedTuple):
    """What a program has written, a little more than is allowed at most, and how it ended."""

    output: bytes
    errors: bytes
    is_late: bool
    code: int = 0


def find(kind: str, path: Sequence[str]) -> str:
    """The program of that type. Raises: NotFound."""
    for directory in path:
        program = f"{directory}/{kind}"
        with suppress(OSError):
            if stat.S_ISREG(os.stat(program).st_mode) and os.access(program, os.X_OK):  # noqa: PTH116
                return program
    raise NotFound(
        f"there is no CNI plugin {kind!r} in {', '.join(path)}: install it, or name its directory with path="
    )


def run(
    program: str,
    command: str,
    configuration: Mapping[str, Any],
    *,
    path: Sequence[str],
    words: Mapping[str, str],
    timeout: float,
    kept: Sequence[int] = (),
) -> Mapping[str, Any] | None:
    """What it answered, None where that is nothing. `kept`: descriptors that are open as long as it runs.

    Raises: PluginError; Timeout; StageError(stage="network") where it cannot be run.
    """
    environ = {"CNI_COMMAND": command, "CNI_PATH": ":".join(path), **words}
    question = json.dumps(configuration).encode()
    return _read(program, command, execute([program], command, environ, question, timeout=timeout, kept=kept))


def execute(
    argv: Sequence[str],
    command: str,
    environ: Mapping[str, str],
    question: bytes = b"",
    *,
    timeout: float,
    kept: Sequence[int] = (),
) -> Said:
    """Runs a program, with PATH and `environ` alone, until it ends or `timeout` is over. Raises: as `run`."""
    program = argv[0]
    try:
        process = Popen(
            argv,
            bufsize=0,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env={"PATH": os.environ.get("PATH") or _PATH, **environ},
            cwd="/",
            pass_fds=kept,
            start_new_session=True,
        )
    except OSError as error:
        raise StageError("network", error.errno or 0, program, advice="install the program anew") from error
    with process:
        try:
            heard = _talk(process, question, timeout)
        except BaseException:
            _kill(process)  # not waited for yet, so the number is still its own
            raise
    if len(heard.output) > _MAX_OUTPUT:
        raise PluginError(f"it wrote more than {_MAX_OUTPUT} bytes", plugin=program, command=command)
    if heard.is_late:
        raise Timeout(
            f"{program} {command}: no answer in {timeout:g} s; it was ended, see what it waits for",
            log_tail=[printable(line) for line in heard.errors.decode(errors="replace").splitlines()[-10:]],
        )
    return heard._replace(code=process.returncode)


def _read(program: str, command: str, said: Said) -> Mapping[str, Any] | None:
    code, output = said.code, said.output
    value: Any = None
    with suppress(InvalidArgument):
        value = parse_json(output, "the answer") if output.strip() else None
        if code and value is not None:
            raise _failure(program, command, Document(value, "the answer"))
    details = said.errors.decode(errors="replace")
    if code:
        message = f"it ended with {code}" if code > 0 else f"it was killed by signal {-code}"
        more = output.decode(errors="replace")[:2000]
        raise PluginError(message, plugin=program, command=command, details=details or more)
    if output.strip() and not isinstance(value, dict):
        message = f"it answered {printable(output[:200].decode(errors='replace'))!r}, which is no JSON object"
        raise PluginError(message, plugin=program, command=command, details=details)
    return cast("Mapping[str, Any] | None", value)


def _failure(program: str, command: str, answer: Document) -> PluginError:
    """Spec: CNI SPEC.md, "Error"; raises InvalidArgument where it is none."""
    code = answer.number("code", default=0)
    message = answer.text("msg", default="") or "it gave no reason"
    return PluginError(
        message[:2000], plugin=program, command=command, code=code, details=answer.text("details", default="")
    )


def _talk(process: Popen[bytes], question: bytes, timeout: float) -> Said:
    """What it has written when it ends, or when its time is over."""
    written, said = bytearray(), bytearray()
    listeners = [
        threading.Thread(target=_listen, args=(process.stdout, written, process), daemon=True),
        threading.Thread(target=_listen, args=(process.stderr, said, None), daemon=True),
    ]
    for thread in (threading.Thread(target=_tell, args=(process.stdin, question), daemon=True), *listeners):
        thread.start()
    is_late = not _ends(process, timeout)
    if is_late:
        _kill(process)
    for thread in listeners:
        thread.join(_PATIENCE)  # who is left of what it started may have them open still
    return Said(bytes(written), bytes(said), is_late)


def _ends(process: Popen[bytes], timeout: float) -> bool:
    """Whether it does in time. It is not waited for yet, so that its number stays its own."""
    ended = os.pidfd_open(process.pid)
    try:
        poll = select.poll()
        poll.register(ended, select.POLLIN)
        return bool(poll.poll(timeout * 1000))
    finally:
        os.close(ended)


def _tell(pipe: IO[bytes], question: bytes) -> None:
    with suppress(ValueError, OSError), pipe:  # it may not care
        pipe.write(question)


def _listen(pipe: IO[bytes], into: bytearray, process: Popen[bytes] | None) -> None:
    """Of `process` no more than is allowed, which ends it; else the last that is heard."""
    with suppress(ValueError, OSError):  # it was closed meanwhile
        while piece := pipe.read(_PIECE):
            into.extend(piece)
            if process is None:
                del into[:-_PIECE]
            elif len(into) > _MAX_OUTPUT:
                _kill(process)
                return


def _kill(process: Popen[bytes]) -> None:
    with suppress(OSError):
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
