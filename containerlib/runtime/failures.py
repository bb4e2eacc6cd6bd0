"""From the numbers that the helper reports to the words that a person reads."""

from __future__ import annotations

import errno
from collections.abc import Sequence

from containerlib._sys.wire import Message, Stage
from containerlib.errors import Conflict, StageError
from containerlib.runtime.advice import OP_ADVICE
from containerlib.runtime.plan.op import Op
from containerlib.spec.lifecycle import State

__all__ = ["failure"]

_STAGES = frozenset(Stage)
_DETAILS = {
    Stage.SPAWN: "the container's supervisor",
    Stage.LAUNCH: "the plan that the supervisor was given",
    Stage.SOCKET: "shim.sock in the container's directory",
    Stage.STDIO: "standard streams and log",
    Stage.NAMESPACE: "the container's pid namespace",
    Stage.CLONE: "new namespaces",
    Stage.LOST: "the container's first process, before its program ran",
    Stage.RECORD: "the record of its start in the container's directory",
}


def failure(message: Message, plan: Sequence[Op], *, first: int = 0) -> Conflict | StageError:
    """The error of a FAILED message. `plan`: its ops, or those from the one of index `first` on."""
    number, code, index = message.value[:3]
    # the first process says it, or who got hold of it
    stage = Stage(number) if number in _STAGES else Stage.LOST
    if stage is Stage.NAMESPACE and code == errno.ESRCH:  # it ended when the exec was on its way
        return Conflict("the container is stopped, and must be running", state=State.STOPPED.value)
    op = plan[index - first] if 0 <= index - first < len(plan) else None
    if stage is Stage.EXEC:
        program = (op.origin or "''") if op else "the program"
        return StageError("exec", code, program, advice=_exec_advice(code, program))
    if stage is Stage.HOOK:
        return StageError("hook", code, op.origin if op else str(index), advice=_hook_advice(message))
    if stage is Stage.RUNTIME:
        return StageError("runtime", code, op.origin if op else "start", advice=_runtime_advice(message))
    if stage is Stage.OP:
        name, detail = (op.name, op.origin) if op else ("op", str(index))
        if name == "links":
            name, detail = "network", _link(detail, message.value[3])
        return StageError(name, code, detail, advice=_op_advice(name, code))
    return StageError(stage.name.lower(), code, _DETAILS[stage], advice=_stage_advice(stage, code))


def _link(origins: str, number: int) -> str:
    """What the failed one of LINKS is about; `number` counts from 1."""
    lines = origins.split("\n")
    return lines[number - 1] if 1 <= number <= len(lines) else lines[0]


def _hook_advice(message: Message) -> str:
    status = message.value[3]
    return (
        f"it ended with {f'signal {status - 128}' if status > 128 else f'exit code {status}'}"
        if status
        else ""
    )


def _runtime_advice(message: Message) -> str:
    if message.value[1] == errno.ECHILD:
        return "what it started is no child of the supervisor's: it cannot be a driver"
    if message.value[1] == errno.ETIMEDOUT:
        return "it did not end, and was killed"
    return _hook_advice(message)


def _exec_advice(code: int, program: str) -> str:
    if code == errno.ENOENT and " " in program:
        return (
            "no shell reads it: give each word as an argument of its own, "
            'or the line to a shell, as in "sh", "-c", "..."'
        )
    if code == errno.ENOENT and "/" in program:
        return "is it in the image, and with the interpreter or loader that it names?"
    if code == errno.ENOENT:
        return "it is in no directory of the container's PATH"
    if code == errno.EACCES:
        return "it is not a file that this user may execute: look at its mode"
    if code == errno.ENOEXEC:
        return "it is no program for this processor, and a script needs a #! line"
    return ""


def _op_advice(name: str, code: int) -> str:
    known = OP_ADVICE.get((name, code))
    if known is not None:
        return known
    if code == errno.ENOSYS or (name == "root_overlay" and code in (errno.EINVAL, errno.ENODEV)):
        return "has this kernel overlayfs, and can the state directory's file system be its upper layer?"
    if code == errno.ELOOP:
        return "a symbolic link stands where a directory must be: the image is not to be trusted"
    return ""


def _stage_advice(stage: Stage, code: int) -> str:
    if stage is Stage.CLONE and code == errno.EPERM:
        return "making namespaces needs root (CAP_SYS_ADMIN)"
    if stage is Stage.CLONE and code == errno.ENOSPC:
        return "a limit in /proc/sys/user is reached"
    if stage in (Stage.SPAWN, Stage.CLONE) and code == errno.EAGAIN:
        return "the limit of processes is reached: raise pids.max of the control group, or ulimit -u"
    if stage is Stage.LOST:
        return (
            "somebody killed it, its memory limit is too small to start in, or its seccomp profile refuses what a "
            "start needs"
        )
    return ""
