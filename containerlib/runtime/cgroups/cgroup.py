"""A container's control groups: made, limited, joined, frozen, emptied and removed.

    cgroup = ContainerCgroup("/containerlib/<id>")
    cgroup.create(spec["linux"]["resources"])
    ...                       # the container's first process writes "0" to each of cgroup.join_files
    cgroup.freeze(); cgroup.thaw(); cgroup.update({"pids": {"limit": 50}}); cgroup.stats(); cgroup.watch_oom()
    cgroup.kill(); cgroup.remove()

Which groups a container has on v1 is a matter of time: each costs its mkdir, the join and the rmdir.
Measured here (Linux 6.18, one container after the other): devices alone 64 us; and for each further one:
freezer 15, pids 15, cpu, cpuacct or blkio about 30, memory 40 us. So a container has `devices` (Docker's
device rules always hold), `freezer` (pause without moving processes, which costs milliseconds), and beyond
these only what a limit asks for. A hierarchy without a group of the container's own stays what the caller's
is, and must not be mounted in the container (see `hierarchies`).

On v2 there is one directory. It joins nothing by file: clone3(CLONE_INTO_CGROUP) takes `v2_directory`.

On the way to a start this side never writes a pid into cgroup.procs: after an idle spell that waits for RCU (4 to
28 ms). `update` and `attach` do.
Only `path` and its missing parents are ever made or removed, and no other group is touched.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence

from containerlib.errors import Conflict, Timeout, Unsupported
from containerlib.runtime.cgroups.apply import (
    enable_all_controllers,
    enable_controllers,
    inherit_cpuset,
    missing_controller,
    write_devices,
    write_settings,
)
from containerlib.runtime.cgroups.device_programs import DevicePrograms
from containerlib.runtime.cgroups.devices import device_lines
from containerlib.runtime.cgroups.files import CgroupFiles, gone, read_or, stage, write
from containerlib.runtime.cgroups.found import FoundGroups
from containerlib.runtime.cgroups.layout import Layout
from containerlib.runtime.cgroups.limits import Setting
from containerlib.runtime.cgroups.limits_v1 import v1_settings
from containerlib.runtime.cgroups.limits_v2 import v2_settings
from containerlib.runtime.cgroups.processes import (
    kill_processes,
    set_v1_frozen,
    set_v2_frozen,
    thaw_all_v1,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from typing import Any

    from containerlib.runtime.cgroups.systemd import Scope

__all__ = ["ContainerCgroup", "remove_if_empty"]

_ALWAYS = ("devices", "freezer")
_ALLOW_ALL: list[Mapping[str, Any]] = [{"allow": True, "access": "rwm"}]
FREEZE_TIMEOUT = 10.0
REMOVE_TIMEOUT = 5.0


class ContainerCgroup(FoundGroups):
    """The groups of one container, at `path` below every hierarchy that it uses. Making it does no I/O."""

    def __init__(
        self,
        path: str,
        layout: Layout | None = None,
        *,
        device_programs: DevicePrograms | None = None,
        files: CgroupFiles | None = None,
        adopt: bool = False,
        every: bool = False,
        enforce_devices: bool = True,
        scope: Scope | None = None,
    ) -> None:
        """`adopt`: groups that others made are used, if they are empty, and are never removed. `every`: not only the
        controllers that a limit needs, so that there are statistics of all. `enforce_devices`: False for a caller who
        may not (rootless). `scope`: systemd makes the group.
        """
        super().__init__(path, layout or Layout.host(), tracked=scope is not None)
        self.adopted: tuple[str, ...] = ()
        """Directories that were there before `create`."""
        self._device_programs = device_programs or DevicePrograms()
        self._files = files or CgroupFiles()
        self._adopt, self._every, self._enforce_devices = adopt or scope is not None, every, enforce_devices
        self._scope = scope

    def create(self, resources: Mapping[str, Any] | None = None) -> None:
        """Makes the groups and writes the limits; undoes everything where a step fails.

        With a `scope`, call `settle` when the container's first process is in its group.

        Raises: Unsupported for a limit whose controller is missing; Conflict where the group is in use;
        StageError.
        """
        resources = resources or {}
        rules = self._device_rules(resources)
        settings = self._settings(resources)
        self.adopted = ()
        self._hierarchies = {}
        if self._scope:
            self._scope.start(resources, self._layout)
        try:
            if self._layout.unified:
                self._create_v2(settings, rules)
            else:
                self._create_v1(settings, rules)
        except BaseException as error:
            try:
                self.remove()
            except Exception as cleanup:
                error.add_note(f"the cgroup {self.path} could not be removed again: {cleanup}")
            raise

    def settle(self) -> None:
        """The container's first process is in its groups: what kept a systemd scope alive until then may go."""
        if self._scope:
            self._scope.settle()

    def attach(self, pids: Sequence[int]) -> None:
        """Moves processes into the groups: those that could not join by themselves. Takes milliseconds.

        systemd does it for a scope, also where the caller may not (a user's session is in another part of the tree).

        Raises: StageError; with a scope, as its `attach`.
        """
        if self._scope and self._layout.unified:
            self._scope.attach(pids)
            return
        for directory in self.directories:
            with stage(f"{directory}/cgroup.procs"):
                for pid in pids:
                    write(f"{directory}/cgroup.procs", str(pid))

    def update(
        self, resources: Mapping[str, Any], *, devices_before: Sequence[Mapping[str, Any]] | None = None
    ) -> None:
        """Changes the limits that `resources` names, all of them or none; the others stay.

        `devices` are exchanged as a whole; `devices_before`: the rules that there are, for what v1 does not tell.

        Raises: as `create`; Conflict where the container already uses more memory (on v2 with checkBeforeUpdate);
        Timeout where it has to stand still for its devices, and does not.
        """
        from containerlib.runtime.cgroups import update as cgroup_update  # noqa: PLC0415 - not on the way to a start

        settings = self._settings(resources)
        if not any(map(os.path.isdir, self.directories)):
            raise Conflict(f"the cgroup {self.path} is gone: the container has ended", state="stopped")
        memory = self.v2_directory or self._of("memory")
        if memory:
            usage = read_or(
                f"{memory}/{'memory.current' if self.v2_directory else 'memory.usage_in_bytes'}", "0"
            )
            cgroup_update.refuse_too_little_memory(resources, int(usage))
        self._add_controllers(settings)
        rules = self._device_rules(resources) if resources.get("devices") else None
        with contextlib.ExitStack() as undo:
            undo.enter_context(cgroup_update.changed_settings(settings, self._directory))
            if rules is not None and self._enforce_devices:
                undo.enter_context(self._changed_devices(rules, devices_before or _ALLOW_ALL))
            if self._scope:
                self._scope.set(resources, self._layout)
            if self._scope and rules is not None and not self._layout.unified:
                # systemd has written what it can say of them to the same files
                undo.enter_context(self._changed_devices(rules, devices_before or _ALLOW_ALL))

    def kill(self, timeout: float = FREEZE_TIMEOUT) -> None:
        """SIGKILL to every process, frozen or not, until none is left. Waits for their end, reaps nobody.

        Raises: Timeout.
        """
        limit = time.monotonic() + timeout
        kill_file = f"{self.v2_directory}/cgroup.kill"  # since Linux 5.14
        at_once = self.v2_directory is not None and os.path.exists(kill_file)  # noqa: PTH110 - hot path
        if at_once:
            write(kill_file, "1")
        while left := self.pids():
            if not at_once:
                kill_processes(left, self.pids)
                if freezer := self._of("freezer"):
                    thaw_all_v1(freezer)
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

    def remove(self, timeout: float = REMOVE_TIMEOUT) -> None:
        """Removes the groups and those that the container made below them; absent ones are fine.

        Waits while dying processes still count (EBUSY). Raises: Conflict where processes live on in them.
        """
        directories = self._candidates().values() if self._hierarchies is None else self.directories
        limit = time.monotonic() + timeout
        if self._scope:
            self._scope.stop()
        for directory in directories:
            if directory not in self.adopted or self._scope:
                self._files.remove_tree(directory, limit)
        self._hierarchies = None

    # ---- making ----

    def _settings(self, resources: Mapping[str, Any]) -> list[Setting]:
        if self._layout.unified:
            return v2_settings(resources, lambda name: read_or(f"{self.v2_directory}/{name}"))
        return v1_settings(resources)

    def _device_rules(self, resources: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        return list(resources.get("devices") or _ALLOW_ALL) if self._enforce_devices else _ALLOW_ALL

    def _make(self, directory: str) -> None:
        made_by_systemd = self._scope is not None and os.path.isdir(directory)  # noqa: PTH112 - str paths
        if made_by_systemd or not self._files.make(directory, take_over=not self._adopt):
            self.adopted += (directory,)

    def _create_v1(self, settings: Sequence[Setting], rules: list[Mapping[str, Any]]) -> None:
        mounted = self._layout.v1
        lines = [] if rules == _ALLOW_ALL else device_lines(rules)
        if lines and "devices" not in mounted:
            raise missing_controller("devices")
        self._add_v1([*_ALWAYS, *mounted] if self._every or self._scope else _ALWAYS, settings)
        write_settings(settings, self._directory)
        if lines:
            write_devices(self._directory("devices"), lines)

    def _add_v1(self, names: Sequence[str], settings: Sequence[Setting]) -> None:
        """The groups of `names`, as far as they are mounted, and of `settings`, where they are not there yet."""
        for setting in settings:
            if setting.controller not in self._layout.v1:
                raise missing_controller(setting.controller, setting)
        wanted = {*names, *(setting.controller for setting in settings)}
        made = self._hierarchies = dict(self.hierarchies)
        new = {
            name: directory
            for name, directory in self._candidates().items()
            if name not in made and not wanted.isdisjoint(name.split(","))
        }
        if not self._scope:
            count = self._files.make_each(list(new.values()))
            made.update(list(new.items())[:count])
        for name, directory in new.items():
            if name not in made:
                self._make(directory)
                made[name] = directory
            if "cpuset" in name.split(","):
                inherit_cpuset(self._layout.v1["cpuset"], self.path)

    def _add_controllers(self, settings: Sequence[Setting]) -> None:
        """What a limit needs that is added to a container at work."""
        from containerlib.runtime.cgroups.update import move_processes  # noqa: PLC0415 - as in update

        if self._layout.unified:
            enable_controllers(self._layout.unified, self.path, [s.controller for s in settings])
            return
        before = set(self.directories)
        self._add_v1((), settings)
        for directory in [d for d in self.directories if d not in before]:
            move_processes(self.pids, directory)

    def _changed_devices(
        self, rules: Sequence[Mapping[str, Any]], before: Sequence[Mapping[str, Any]]
    ) -> AbstractContextManager[None]:
        from containerlib.runtime.cgroups.device_lists import changed_lists  # noqa: PLC0415 - as in update

        if self.v2_directory:
            return self._device_programs.changed(self.v2_directory, rules)
        if "devices" in self._layout.v1:
            return changed_lists(self._directory("devices"), rules, before, self._standing_still)
        if rules != _ALLOW_ALL:
            raise missing_controller("devices")
        return contextlib.nullcontext()

    @contextlib.contextmanager
    def _standing_still(self) -> Iterator[None]:
        """Frozen for as long, as far as that is possible here."""
        if self.frozen or not self._of("freezer"):
            yield
            return
        self.freeze()
        try:
            yield
        finally:
            self.thaw()

    def _create_v2(self, settings: Sequence[Setting], rules: list[Mapping[str, Any]]) -> None:
        mount, directory = str(self._layout.unified), str(self.v2_directory)
        self._make(directory)
        self._hierarchies = {"": directory}
        if self._every:
            enable_all_controllers(mount, self.path)
        enable_controllers(mount, self.path, [s.controller for s in settings])
        write_settings(settings, self._directory)
        if rules != _ALLOW_ALL:
            self._device_programs.attach(directory, rules)

    def _set_frozen(self, frozen: bool, timeout: float) -> None:
        if self.v2_directory:
            is_set = set_v2_frozen(self.v2_directory, frozen, timeout)
        else:
            directory = self._of("freezer")
            if directory is None:
                raise Unsupported(
                    "pausing needs the freezer controller, which is not mounted, or not delegated to this user"
                )
            is_set = set_v1_frozen(directory, frozen, timeout)
        if not is_set:
            word = "frozen" if frozen else "thawed"
            raise Timeout(f"{self.path} did not become {word} within {timeout} s")


def remove_if_empty(path: str, layout: Layout | None = None) -> None:
    """Removes the parent group `path` from every hierarchy where it has neither children nor processes."""
    layout = layout or Layout.host()
    for mount in {*layout.v1.values(), *([layout.v2] if layout.v2 else [])}:
        with contextlib.suppress(OSError):
            os.rmdir(f"{mount}{path}")  # noqa: PTH106
