"""Settings into the files of a group: in an order that the kernel takes, and with words for what it refuses."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Sequence

from containerlib._sys import native
from containerlib.errors import Conflict, StageError, Unsupported
from containerlib.runtime.cgroups.files import read, stage, write
from containerlib.runtime.cgroups.limits import Setting

__all__ = [
    "enable_all_controllers",
    "enable_controllers",
    "inherit_cpuset",
    "missing_controller",
    "write_devices",
    "write_settings",
]

_ADVICE = {
    ("memory.use_hierarchy", errno.EINVAL): "on this kernel a limit always holds for the groups below",
    ("cpu.rt_runtime_us", errno.EINVAL): "the parent group must have at least as much real-time budget",
    ("cpu.cfs_burst_us", errno.EINVAL): "it must not be more than cpu.quota",
    ("cpu.max.burst", errno.EINVAL): "it must not be more than cpu.quota",
    ("cpu.shares", errno.EINVAL): "an idle group (cpu.idle 1) has no shares",
    ("cpu.weight", errno.EINVAL): "an idle group (cpu.idle 1) has no weight",
    ("memory.memsw.limit_in_bytes", errno.EINVAL): "it must not be less than memory.limit",
    ("memory.limit_in_bytes", errno.EINVAL): "it must not be more than memory.swap, which includes it",
}


def write_settings(settings: Sequence[Setting], directory_of: Callable[[str], str]) -> None:
    """Writes them in order. `directory_of`: the group of a controller.

    One that contradicts what another file still has (EINVAL: a quota below its burst, memory above memory with swap)
    is written again after the others, so that any valid state is reached from any other.

    Raises: Unsupported, Conflict, StageError; what was written before stays.
    """
    waiting = list(settings)
    while waiting:
        refused: list[tuple[Setting, OSError]] = []
        for setting in waiting:
            try:
                _write(setting, directory_of(setting.controller))
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise _refusal(setting, directory_of(setting.controller), error) from error
                refused.append((setting, error))
        if len(refused) == len(waiting):
            first, reason = refused[0]
            raise _refusal(first, directory_of(first.controller), reason) from reason
        waiting = [setting for setting, _ in refused]


def _write(setting: Setting, directory: str) -> None:
    try:
        write(f"{directory}/{setting.file}", setting.value)
    except FileNotFoundError:
        if setting.instead:
            _write(setting.instead, directory)
        elif not setting.optional:
            raise


def _refusal(setting: Setting, directory: str, error: OSError) -> Exception:
    if not os.path.isdir(directory):  # noqa: PTH112 - str paths here
        return Conflict(f"the cgroup {directory} is gone: the container has ended", state="stopped")
    while setting.instead and not os.path.exists(f"{directory}/{setting.file}"):  # noqa: PTH110 - str paths here
        setting = setting.instead
    file, number = f"{directory}/{setting.file}", error.errno or 0
    what = f"resources.{setting.property or setting.file}"
    if number in (errno.ENOENT, errno.EOPNOTSUPP) or (setting.file, number) == (
        "memory.use_hierarchy",
        errno.EINVAL,
    ):
        return Unsupported(
            f"{what}: this kernel's controller {setting.controller!r} does not have it ({setting.file}), so the limit "
            "cannot be kept; leave it out of the configuration"
        )
    if number == errno.EBUSY and setting.controller == "memory":
        return Conflict(f"{what}: {setting.value} is less than what the container uses now", state="running")
    return StageError(
        "cgroup",
        number,
        f"{what}: {setting.value!r} to {file}",
        advice=_ADVICE.get((setting.file, number), ""),
    )


def write_devices(directory: str, lines: Sequence[tuple[str, str]]) -> None:
    """One write for each rule. What the parent group denies cannot be allowed here: it stays denied."""
    done = native.write_files([(f"{directory}/{file}", text) for file, text in lines])
    with contextlib.ExitStack() as stack, stage(directory):
        opened: dict[str, int] = {}
        for file, text in lines[done:]:
            if file not in opened:
                opened[file] = os.open(f"{directory}/{file}", os.O_WRONLY | os.O_CLOEXEC)
                stack.callback(os.close, opened[file])
            try:
                os.write(opened[file], text.encode())
            except PermissionError:
                if file == "devices.deny":
                    raise


def inherit_cpuset(mount: str, path: str) -> None:
    """Gives each v1 cpuset group down to `path` its parent's CPUs and memory nodes where it has none.

    A new one is empty, and takes no process before it has both. Raises: StageError.
    """
    for file in ("cpuset.cpus", "cpuset.mems"):
        _inherit(f"{mount}{path}", file, mount)


def _inherit(directory: str, file: str, mount: str) -> str:
    with stage(f"{directory}/{file}"):
        value = read(f"{directory}/{file}").strip()
        if not value and directory != mount:
            value = _inherit(directory.rpartition("/")[0], file, mount)
            write(f"{directory}/{file}", value)
    return value


def enable_controllers(mount: str, path: str, controllers: Sequence[str]) -> None:
    """Hands v2 `controllers` down from `mount`, the root of the tree or a delegated group, to the parent of `path`.

    Raises: Unsupported, StageError.
    """
    wanted = [name for name in dict.fromkeys(controllers) if name != "cgroup"]
    if not wanted:
        return
    available = read(f"{mount}/cgroup.controllers").split()
    for controller in wanted:
        if controller not in available:
            raise missing_controller(controller)
    current = mount
    for name in path.split("/")[1:]:
        enabled = read(f"{current}/cgroup.subtree_control").split()
        missing = [f"+{controller}" for controller in wanted if controller not in enabled]
        if missing:
            _enable(current, missing)
        current = f"{current}/{name}"


def enable_all_controllers(mount: str, path: str) -> None:
    """As `enable_controllers` for all that there are, as far as the kernel and the caller's rights allow it."""
    with contextlib.suppress(Unsupported, StageError):
        enable_controllers(mount, path, read(f"{mount}/cgroup.controllers").split())
        return
    for controller in read(f"{mount}/cgroup.controllers").split():
        with contextlib.suppress(Unsupported, StageError):
            enable_controllers(mount, path, [controller])


def _enable(directory: str, controllers: Sequence[str]) -> None:
    file = f"{directory}/cgroup.subtree_control"
    try:
        write(file, " ".join(controllers))
    except OSError as error:
        advice = ""
        if error.errno == errno.EBUSY:
            advice = "processes are in that group itself: move them to a group below it, or name another cgroupsPath"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            advice = "that group is not delegated to this user"
        raise StageError(
            "cgroup", error.errno or 0, f"{' '.join(controllers)} to {file}", advice=advice
        ) from error


def missing_controller(controller: str, setting: Setting | None = None) -> Unsupported:
    what = "device rules" if controller == "devices" else f"a {controller} limit"
    if setting:
        what = f"resources.{setting.property or setting.file} ({setting.file})"
    return Unsupported(
        f"{what}: the cgroup controller {controller!r} is not available here; "
        "leave the limit out, or mount and delegate the controller"
    )
