"""A container's control groups: made, limited, joined, frozen, emptied and removed.

    cgroup = ContainerCgroup("/containerlib/<id>")
    cgroup.create(spec["linux"]["resources"])
    ...                       # the container's first process writes "0" to each of cgroup.join_files
    cgroup.freeze(); cgroup.thaw()
    cgroup.kill(); cgroup.remove()

Which groups a container has on v1 is a matter of time: each costs its mkdir, the join and the rmdir.
Measured here (Linux 6.18, one container after the other): devices alone 64 us; and for each further one:
freezer 15, pids 15, cpu, cpuacct or blkio about 30, memory 40 us. So a container has `devices` (Docker's
device rules always hold), `freezer` (pause without moving processes, which costs milliseconds), and beyond
these only what a limit asks for. A hierarchy without a group of the container's own stays what the caller's
is, and must not be mounted in the container (see `hierarchies`).

On v2 there is one directory. It joins nothing by file: clone3(CLONE_INTO_CGROUP) takes `v2_directory`.

This side never writes a pid into cgroup.procs: after an idle spell that waits for RCU (4 to 28 ms).
Only `path` and its missing parents are ever made or removed, and no other group is touched.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from containerlib._sys import native
from containerlib.errors import InvalidArgument, StageError, Timeout, Unsupported
from containerlib.runtime.cgroup_files import CgroupFiles, attempts, gone, read, stage, write
from containerlib.runtime.cgroup_layout import Layout
from containerlib.runtime.cgroup_limits import Setting, device_lines, v1_settings, v2_settings
from containerlib.runtime.device_filter import device_filter

__all__ = ["ContainerCgroup", "remove_if_empty"]

_ALWAYS = ("devices", "freezer")
_ALLOW_ALL: list[Mapping[str, Any]] = [{"allow": True, "access": "rwm"}]
FREEZE_TIMEOUT = 10.0
REMOVE_TIMEOUT = 5.0

DeviceAttach = Callable[[int, Sequence[int]], None]


class ContainerCgroup:
    """The groups of one container, at `path` below every hierarchy that it uses. Making it does no I/O."""

    def __init__(
        self,
        path: str,
        layout: Layout | None = None,
        *,
        device_attach: DeviceAttach | None = None,
        files: CgroupFiles | None = None,
    ) -> None:
        if not path.startswith("/") or path.startswith("//") or os.path.normpath(path) != path or path == "/":
            raise InvalidArgument(f"{path!r} is not an absolute, normalised path", field="cgroupsPath")
        self.path = path
        self._layout = layout or Layout.host()
        self._device_attach = device_attach or native.cgroup_device_attach
        self._files = files or CgroupFiles()
        self._hierarchies: dict[str, str] | None = None

    @property
    def hierarchies(self) -> Mapping[str, str]:
        """The directory of each group by its controllers as they are mounted ("cpu,cpuacct"); on v2 by ""."""
        if self._hierarchies is None:
            self._hierarchies = {n: d for n, d in self._candidates().items() if os.path.isdir(d)}  # noqa: PTH112
        return self._hierarchies

    @property
    def directories(self) -> tuple[str, ...]:
        """Host directories of the groups that exist."""
        return tuple(self.hierarchies.values())

    @property
    def join_files(self) -> tuple[str, ...]:
        """Host files that take "0" from the single-threaded process that joins."""
        name = "cgroup.procs" if self._layout.unified else "tasks"
        return tuple(f"{directory}/{name}" for directory in self.directories)

    @property
    def v2_directory(self) -> str | None:
        """The directory for CLONE_INTO_CGROUP; None where v1 controllers are in use."""
        return f"{self._layout.unified}{self.path}" if self._layout.unified else None

    @property
    def oom_file(self) -> str | None:
        """The file with an `oom_kill N` line; None for a container without a memory limit."""
        if self._layout.unified:
            path = f"{self.v2_directory}/memory.events"
            return path if Path(path).exists() else None
        directory = self._of("memory")
        return f"{directory}/memory.oom_control" if directory else None

    def create(self, resources: Mapping[str, Any] | None = None) -> None:
        """Makes the groups and writes the limits; undoes everything where a step fails.

        Raises: Unsupported for a limit whose controller is missing; Conflict where the group is in use;
        StageError.
        """
        resources = resources or {}
        rules = list(resources.get("devices") or _ALLOW_ALL)
        try:
            if self._layout.unified:
                self._create_v2(v2_settings(resources), rules)
            else:
                self._create_v1(v1_settings(resources), rules)
        except BaseException as error:
            try:
                self.remove()
            except Exception as cleanup:
                error.add_note(f"the cgroup {self.path} could not be removed again: {cleanup}")
            raise

    def pids(self) -> tuple[int, ...]:
        """Processes of the container, those in groups that it made itself included."""
        directory = self._main()
        found: list[int] = []
        for current, _, _ in os.walk(directory) if directory else ():
            with gone():
                found.extend(map(int, read(f"{current}/cgroup.procs").split()))
        return tuple(dict.fromkeys(found))

    def kill(self, timeout: float = FREEZE_TIMEOUT) -> None:
        """SIGKILL to every process, frozen or not, until none is left. Waits for their end, reaps nobody.

        Raises: Timeout.
        """
        limit = time.monotonic() + timeout
        kill_file = Path(f"{self.v2_directory}/cgroup.kill")  # since Linux 5.14
        at_once = self.v2_directory is not None and kill_file.exists()
        if at_once:
            write(str(kill_file), "1")
        while left := self.pids():
            if not at_once:
                self._signal(left)
                self._thaw_v1()  # on v1 a frozen process dies when it is thawed
            if time.monotonic() > limit:
                raise Timeout(f"processes {left} of {self.path} did not end within {timeout} s of SIGKILL")
            time.sleep(0.001)

    def freeze(self, timeout: float = FREEZE_TIMEOUT) -> None:
        """Stops every process of the container until `thaw`.

        Raises: Unsupported without a freezer; Timeout, the processes running again; StageError.
        """
        self._set_frozen(True, timeout)

    def thaw(self, timeout: float = FREEZE_TIMEOUT) -> None:
        """Undoes `freeze`; a group that goes away meanwhile has nothing left to thaw. Raises: as `freeze`."""
        with gone():
            self._set_frozen(False, timeout)

    @property
    def frozen(self) -> bool:
        """Whether the container is frozen, or on its way there."""
        state = "THAWED"
        with gone():
            if self._layout.unified:
                state = "THAWED" if read(f"{self.v2_directory}/cgroup.freeze").strip() == "0" else "FROZEN"
            elif directory := self._of("freezer"):
                state = read(f"{directory}/freezer.state").strip()
        return state != "THAWED"

    def remove(self, timeout: float = REMOVE_TIMEOUT) -> None:
        """Removes the groups and those that the container made below them; absent ones are fine.

        Waits while dying processes still count (EBUSY). Raises: Conflict where processes live on in them.
        """
        directories = self._candidates().values() if self._hierarchies is None else self.directories
        limit = time.monotonic() + timeout
        for directory in directories:
            self._files.remove_tree(directory, limit)
        self._hierarchies = None

    # ---- making ----

    def _create_v1(self, settings: Sequence[Setting], rules: list[Mapping[str, Any]]) -> None:
        mounted = self._layout.v1
        lines = [] if rules == _ALLOW_ALL else device_lines(rules)
        for name in dict.fromkeys([s.controller for s in settings] + (["devices"] if lines else [])):
            if name not in mounted:
                raise _missing(name)
        wanted = [n for n in _ALWAYS if n in mounted] + [s.controller for s in settings]
        candidates = self._candidates()
        self._hierarchies = made = {}
        for name, directory in candidates.items():
            if any(w in name.split(",") for w in wanted):
                self._files.make(directory)
                made[name] = directory
        for setting in settings:
            _apply(setting, f"{mounted[setting.controller]}{self.path}")
        if lines:
            _write_devices(f"{mounted['devices']}{self.path}", lines)

    def _create_v2(self, settings: Sequence[Setting], rules: list[Mapping[str, Any]]) -> None:
        mount, directory = str(self._layout.unified), str(self.v2_directory)
        self._hierarchies = {}
        self._files.make(directory)
        self._hierarchies = {"": directory}
        _enable(mount, self.path, [s.controller for s in settings])
        for setting in settings:
            _apply(setting, directory)
        if rules == _ALLOW_ALL:
            return
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._device_attach(descriptor, device_filter(rules))
        except OSError as error:
            raise StageError("cgroup", error.errno or 0, f"device rules of {directory}") from error
        finally:
            os.close(descriptor)

    # ---- finding ----

    def _candidates(self) -> dict[str, str]:
        if self._layout.unified:
            return {"": f"{self._layout.unified}{self.path}"}
        together: dict[str, list[str]] = {}
        for controller, mount in self._layout.v1.items():
            together.setdefault(mount, []).append(controller)
        return {",".join(names): f"{mount}{self.path}" for mount, names in together.items()}

    def _of(self, controller: str) -> str | None:
        return next((d for n, d in self.hierarchies.items() if controller in n.split(",")), None)

    def _main(self) -> str | None:
        """The group that every process of the container is in."""
        return self.v2_directory or self._of("devices") or next(iter(self.directories), None)

    # ---- processes ----

    def _signal(self, pids: Sequence[int]) -> None:
        """SIGKILL through pidfds that were checked after they were opened: a reused pid is never hit."""
        opened: dict[int, int] = {}
        try:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    opened[pid] = native.pidfd_open(pid)
            still = set(self.pids())
            for pid, descriptor in opened.items():
                if pid in still:
                    with contextlib.suppress(ProcessLookupError):
                        native.pidfd_signal(descriptor, signal.SIGKILL)
        finally:
            for descriptor in opened.values():
                os.close(descriptor)

    def _thaw_v1(self) -> None:
        directory = self._of("freezer")
        if directory:
            with gone():
                write(f"{directory}/freezer.state", "THAWED")

    def _set_frozen(self, frozen: bool, timeout: float) -> None:
        if self._layout.unified:
            file, value, is_done = f"{self.v2_directory}/cgroup.freeze", str(int(frozen)), self._v2_is(frozen)
        else:
            directory = self._of("freezer")
            if directory is None:
                raise Unsupported("pausing needs the freezer controller, and it is not mounted")
            file, value = f"{directory}/freezer.state", "FROZEN" if frozen else "THAWED"

            def is_done() -> bool:
                return read(file).strip() == value

        with stage(file):
            for _ in attempts(timeout):
                write(file, value)  # again and again: v1 may stay FREEZING while a new process slips in
                if is_done():
                    return
            if frozen:
                write(file, "0" if self._layout.unified else "THAWED")
        raise Timeout(f"{self.path} did not become {'frozen' if frozen else 'thawed'} within {timeout} s")

    def _v2_is(self, frozen: bool) -> Callable[[], bool]:
        return lambda: f"frozen {int(frozen)}" in read(f"{self.v2_directory}/cgroup.events").splitlines()


def remove_if_empty(path: str, layout: Layout | None = None) -> None:
    """Removes the parent group `path` from every hierarchy where it has neither children nor processes."""
    layout = layout or Layout.host()
    for mount in {*layout.v1.values(), *([layout.v2] if layout.v2 else [])}:
        with contextlib.suppress(OSError):
            os.rmdir(f"{mount}{path}")  # noqa: PTH106


def _missing(controller: str) -> Unsupported:
    what = "device rules" if controller == "devices" else f"a {controller} limit"
    return Unsupported(
        f"{what}: the cgroup controller {controller!r} is not available here; "
        "leave the limit out, or mount and delegate the controller"
    )


def _enable(mount: str, path: str, controllers: Sequence[str]) -> None:
    """Hands `controllers` down from the root of the tree to the parent of `path`."""
    wanted = dict.fromkeys(controllers)
    if not wanted:
        return
    available = read(f"{mount}/cgroup.controllers").split()
    for controller in wanted:
        if controller not in available and controller != "cgroup":
            raise _missing(controller)
    current = mount
    for name in path.split("/")[1:]:
        enabled = read(f"{current}/cgroup.subtree_control").split()
        missing = [f"+{c}" for c in wanted if c not in enabled and c != "cgroup"]
        if missing:
            with stage(f"{current}/cgroup.subtree_control"):
                write(f"{current}/cgroup.subtree_control", " ".join(missing))
        current = f"{current}/{name}"


def _apply(setting: Setting, directory: str) -> None:
    file = f"{directory}/{setting.file}"
    try:
        write(file, setting.value)
    except FileNotFoundError as error:
        if not setting.optional:
            raise Unsupported(
                f"{setting.file}: this kernel does not have it, so the limit cannot be kept"
            ) from error
    except OSError as error:
        raise StageError("cgroup", error.errno or 0, f"{setting.value} to {file}") from error


def _write_devices(directory: str, lines: Sequence[tuple[str, str]]) -> None:
    """One write for each rule. What the parent group denies cannot be allowed here: it stays denied."""
    with contextlib.ExitStack() as stack, stage(directory):
        opened: dict[str, int] = {}
        for file, text in lines:
            if file not in opened:
                opened[file] = os.open(f"{directory}/{file}", os.O_WRONLY | os.O_CLOEXEC)
                stack.callback(os.close, opened[file])
            try:
                os.write(opened[file], text.encode())
            except PermissionError:
                if file == "devices.deny":
                    raise
