"""The hooks of config.json as ops, and the state that each is told on its standard input.

    prestart, createRuntime    the shim runs them, on the host, while the first process waits before its pivot_root
    createContainer            the first process, in its namespaces, before the pivot_root
    startContainer             the first process, after START, before the exec
    poststart, poststop        the shim; where none stays with the container, `run_hooks` of the verb's caller

Spec: runtime-spec config.md#posix-platform-hooks, runtime.md#lifecycle
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from containerlib.runtime.plan import ops
from containerlib.runtime.plan.op import Op
from containerlib.spec.values import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from containerlib.spec.runtime import Spec

__all__ = ["STATUS", "Program", "hook_ops", "state_text"]

STATUS = {
    "prestart": "creating",
    "createRuntime": "creating",
    "createContainer": "creating",
    "startContainer": "created",
    "poststart": "running",
    "poststop": "stopped",
}
"""Each kind of hook to the state that the container is in when it is called."""

_IN_BUNDLE = ("prestart", "createRuntime")
"""They work in the bundle's directory, as under runc. Later ones may find none."""


@frozen
class Program:
    """A program of the engine's that a supervisor runs on the host, as it runs hooks. `env`: all that it gets."""

    argv: tuple[str, ...]
    env: tuple[str, ...] = ()

    def op(self, origin: str) -> Op:
        return ops.hook(self.argv[0], self.argv, self.env, "", origin)


def hook_ops(
    spec: Spec,
    kind: str,
    *,
    container_id: str,
    bundle: str,
    pid: int | None = None,
    inherited: Sequence[str] = (),
) -> Iterator[Op]:
    """The hooks of one kind, in order. Where `pid` is not given, who runs them puts it in.

    `inherited`: the environment of a hook whose configuration has no `env`.
    """
    hooks: Mapping[str, Any] = spec.get("hooks") or {}
    for index, hook in enumerate(hooks.get(kind) or ()):
        state = state_text(spec, STATUS[kind], container_id=container_id, bundle=bundle, pid=pid)
        yield ops.hook(
            hook["path"],
            hook.get("args") or [hook["path"]],
            inherited if hook.get("env") is None else hook["env"],
            state,
            f"hooks.{kind}[{index}] {hook['path']}",
            timeout=float(hook.get("timeout") or 0),
            directory=bundle if kind in _IN_BUNDLE else None,
        )


def state_text(
    spec: Spec, status: str, *, container_id: str, bundle: str, pid: int | None = None, **more: object
) -> str:
    """The state as JSON, with a mark for a pid that is not known yet. A stopped container has none."""
    state: dict[str, object] = {
        "ociVersion": spec.get("ociVersion", ""),
        "id": container_id,
        "status": status,
        "pid": ops.PID_MARK if pid is None else pid,
        "bundle": bundle,
        "annotations": spec.get("annotations") or {},
    }
    if status == "stopped":
        del state["pid"]
    if more:  # the seccomp agent's: the same state inside another
        state = {**more, "pid": state["pid"], "state": state}
    return json.dumps(state).replace('"\\u0001"', ops.PID_MARK)
