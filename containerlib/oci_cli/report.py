"""The words of an error as the callers of runtimes know them.

podman, containerd and dockerd look into the message: "container does not exist", "container not running", "executable
file not found in $PATH". So runc's words come first, and then ours.
"""

from __future__ import annotations

import errno
import os

from containerlib.errors import Conflict, Error, StageError

__all__ = ["message_of"]

_CONFLICTS = {
    ("kill", "stopped"): "container not running",
    ("start", "running"): "cannot start an already running container",
    ("start", "paused"): "cannot start an already running container",
    ("start", "stopped"): "cannot start a container that has stopped",
    ("exec", "stopped"): "cannot exec in a stopped container",
    ("exec", "paused"): "cannot exec in a paused container (use --ignore-paused to override)",
    ("events", "stopped"): "container is not running",
}
_NOT_RUNNING = frozenset(("pause", "update"))


def message_of(error: Error | OSError, verb: str, container_id: str) -> str:
    """One line for the log: what failed, with the notes that were made on the way."""
    text = _text(error, verb, container_id)
    for note in getattr(error, "__notes__", ()):
        text += f"; {note}"
    if verb == "exec":
        return f"exec failed: {text}"
    return f"containerlib-oci {verb} failed: {text}" if verb in ("create", "run") else text


def _text(error: Error | OSError, verb: str, container_id: str) -> str:
    if isinstance(error, Conflict):
        known = _conflict(verb, error.state, container_id)
        return f"{known}: {error}" if known else str(error)
    if isinstance(error, StageError):
        return f"unable to start container process: {_stage(error)}" if verb in _STARTS else _with_term(error)
    if isinstance(error, OSError) and not isinstance(error, Error) and error.errno and error.filename:
        return f"{os.fsdecode(error.filename)}: {os.strerror(error.errno).lower()}"
    return str(error)


_STARTS = frozenset(("create", "run", "start", "exec", "restore"))


def _conflict(verb: str, state: str, container_id: str) -> str:
    if verb == "delete" and state:
        return f"cannot delete container {container_id} that is not stopped: {state}"
    if verb == "resume":
        return "container not paused"
    if verb in _NOT_RUNNING:
        return "container not running"
    return _CONFLICTS.get((verb, state), "")


def _stage(error: StageError) -> str:
    if error.stage == "hook":
        return _hook(error)
    if error.stage != "exec":
        return _with_term(error)
    program, number = error.detail, error.errno or 0
    if number == errno.ENOENT and "/" not in program:
        return f'exec: "{program}": executable file not found in $PATH'
    if number == errno.ENOENT:
        return f'exec: "{program}": stat {program}: no such file or directory'
    return f'exec: "{program}": {os.strerror(number).lower()}'


def _hook(error: StageError) -> str:
    """Its kind and number, as runc says them; the detail is "hooks.KIND[NUMBER] PROGRAM"."""
    kind, _, rest = error.detail.removeprefix("hooks.").partition("[")
    return f"error running {kind} hook #{rest.partition(']')[0]}: {_with_term(error)}"


_TERMS = {("bind", errno.EINVAL): "not a directory"}
"""What the kernel's older calls said, where those that we make give another number."""


def _with_term(error: StageError) -> str:
    """The words of the error's number as every other runtime writes them: without a capital letter."""
    known = os.strerror(error.errno or 0)
    text = str(error).replace(f"({known})", f"({known[:1].lower()}{known[1:]})")
    term = _TERMS.get((error.stage, error.errno or 0))
    return f"{text}: {term}" if term else text
