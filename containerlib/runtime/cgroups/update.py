"""Other limits for a running container: all of them, or the old ones again.

The kernel has no transaction over several files, so each file's value is read before it is written. Where one is
refused (a limit below what is used, say), those that were written get their old values back.

Spec: runc update (runtime-spec has no such operation)
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from containerlib.errors import Conflict
from containerlib.runtime.cgroups.apply import write_settings
from containerlib.runtime.cgroups.files import read, read_or, write
from containerlib.runtime.cgroups.limits import Setting

__all__ = ["changed_settings", "merged", "move_processes", "old_value", "refuse_too_little_memory"]

_KEYED = frozenset(
    {
        "blkio.bfq.weight_device",
        "blkio.leaf_weight_device",
        "blkio.throttle.read_bps_device",
        "blkio.throttle.read_iops_device",
        "blkio.throttle.write_bps_device",
        "blkio.throttle.write_iops_device",
        "blkio.weight_device",
        "io.cost.model",
        "io.cost.qos",
        "io.latency",
        "io.max",
        "misc.max",
        "net_prio.ifpriomap",
        "rdma.max",
    }
)
"""Files of one line for each device; a line that is missing says the default."""
_DEFAULTS = {
    "io.max": "rbps=max wbps=max riops=max wiops=max",
    "io.weight": "default",
    "io.bfq.weight": "default",
    "io.latency": "target=0",
    "rdma.max": "hca_handle=max hca_object=max",
}
_MAX_PASSES = 100


def merged(resources: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`resources` as they are after an update by `changes`: section by section, and list by list."""
    result = dict(resources)
    for name, value in changes.items():
        before = result.get(name)
        if value is None:
            continue
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            result[name] = {**before, **{key: item for key, item in value.items() if item is not None}}
        else:
            result[name] = value
    return result


@contextlib.contextmanager
def changed_settings(settings: Sequence[Setting], directory_of: Callable[[str], str]) -> Iterator[None]:
    """As `write_settings`, but a failure of theirs or in the block brings the old values back, the last one first.

    Raises: as `write_settings`, with a note for each file that could not be brought back.
    """
    before = _before(settings, directory_of)
    try:
        write_settings(settings, directory_of)
        yield
    except BaseException as error:
        _restore(before, error)
        raise


def _restore(before: Sequence[tuple[str, str]], error: BaseException) -> None:
    """Brings old values back, again and again as one depends on the other; what stays changed is noted in `error`."""
    waiting = list(before)
    failed: list[tuple[str, str]] = []
    while waiting:
        failed = [(file, value) for file, value in waiting if not _is_written(file, value)]
        if len(failed) == len(waiting):
            break
        waiting = failed
    for file, value in waiting:
        error.add_note(f"{file} could not be set back to {value!r}")


def _is_written(file: str, value: str) -> bool:
    try:
        write(file, value)
    except OSError:
        return False
    return True


def _before(settings: Sequence[Setting], directory_of: Callable[[str], str]) -> list[tuple[str, str]]:
    before: dict[tuple[str, str], str] = {}
    for setting in settings:
        chosen: Setting | None = setting
        while chosen:
            file = f"{directory_of(chosen.controller)}/{chosen.file}"
            if os.path.exists(file):  # noqa: PTH110 - str paths here
                key, value = chosen.value.split(" ")[0], None
                with contextlib.suppress(OSError):  # some may only be written: there is nothing to undo
                    value = old_value(chosen, read(file))
                if value is not None:
                    before.setdefault((file, key if _is_keyed(chosen) else ""), value)
                break
            chosen = chosen.instead
    return [(file, value) for (file, _), value in reversed(before.items())]


def old_value(setting: Setting, text: str) -> str | None:
    """What is to be written to undo `setting` where its file says `text`; None where nothing can be."""
    lines = text.splitlines()
    if _is_keyed(setting):
        key = setting.value.split(" ")[0]
        line = next((line for line in lines if line.split(" ")[0] == key), None)
        return line or f"{key} {_DEFAULTS.get(setting.file, '0')}"
    if setting.file == "memory.oom_control":
        lines = [line.split()[1] for line in lines if line.startswith("oom_kill_disable ")]
    elif setting.file in ("io.weight", "io.bfq.weight"):
        lines = [line.split()[-1] for line in lines if ":" not in line.split(" ")[0]]
    return lines[0] if len(lines) == 1 else "" if not lines else None


def _is_keyed(setting: Setting) -> bool:
    by_device = setting.file in ("io.weight", "io.bfq.weight") and ":" in setting.value.split(" ")[0]
    return setting.file in _KEYED or by_device


def refuse_too_little_memory(resources: Mapping[str, Any], usage: int) -> None:
    """memory.checkBeforeUpdate: v2 would kill a process where v1 refuses the limit.

    Spec: runtime-spec config-linux.md#memory. Raises: Conflict.
    """
    memory = resources.get("memory") or {}
    if not memory.get("checkBeforeUpdate"):
        return
    for key in ("swap", "limit"):
        limit = memory.get(key) or 0
        if 0 < limit <= usage:
            raise Conflict(
                f"resources.memory.{key}: {limit} is not more than the {usage} bytes that the container uses now",
                state="running",
            )


def move_processes(pids: Callable[[], Sequence[int]], directory: str) -> None:
    """Into a group that an update added, until no process of the container is outside it. Takes milliseconds."""
    for _ in range(_MAX_PASSES):
        inside = set(read_or(f"{directory}/cgroup.procs").split())
        outside = [pid for pid in pids() if str(pid) not in inside]
        if not outside:
            return
        for pid in outside:
            with contextlib.suppress(ProcessLookupError):
                write(f"{directory}/cgroup.procs", str(pid))
    raise Conflict(f"processes are made faster than they can be moved to {directory}", state="running")
