"""A fake tree: directories in which the files appear that the kernel would make. tests/integration has the real one."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from containerlib.errors import AlreadyExists, Conflict, InvalidArgument, StageError, Timeout, Unsupported
from containerlib.runtime.cgroups.cgroup import ContainerCgroup, remove_if_empty
from containerlib.runtime.cgroups.device_programs import DevicePrograms
from containerlib.runtime.cgroups.files import CgroupFiles
from containerlib.runtime.cgroups.layout import Layout
from containerlib.runtime.cgroups.path import ScopeName
from containerlib.runtime.cgroups.systemd import Scope

V1_FILES = {
    "cpuset": ("cpuset.cpus", "cpuset.mems"),
    "memory": ("memory.limit_in_bytes", "memory.soft_limit_in_bytes", "memory.oom_control"),
    "cpu": ("cpu.shares", "cpu.cfs_period_us", "cpu.cfs_quota_us"),
    "pids": ("pids.max",),
    "devices": ("devices.allow", "devices.deny"),
    "freezer": ("freezer.state",),
}
V2_FILES = (
    "cgroup.freeze",
    "cgroup.events",
    "cgroup.subtree_control",
    "memory.max",
    "memory.events",
    "pids.max",
)
DENY_ALL = {"allow": False, "access": "rwm"}
NULL = {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rwm"}


class FakeFiles(CgroupFiles):
    """`busy`: directories that rmdir refuses. `refused`: those that mkdir does."""

    def __init__(self, root: Path, *, unified: bool = False) -> None:
        self.root, self.unified = root, unified
        self.busy: dict[str, int] = {}
        self.refused: dict[str, int] = {}

    def mkdir(self, directory: str) -> None:
        for part, error in self.refused.items():
            if f"/{part}/" in directory:
                raise OSError(error, os.strerror(error), directory)
        super().mkdir(directory)
        controller = Path(directory).relative_to(self.root).parts[0]
        files = V2_FILES if self.unified else (*V1_FILES[controller], "tasks")
        for name in (*files, "cgroup.procs"):
            Path(directory, name).touch()

    def make_each(self, directories: Sequence[str]) -> int:  # noqa: ARG002 - the kernel's: here one by one
        return 0

    def rmdir(self, directory: str) -> None:
        if self.busy.get(directory, 0) > 0:
            self.busy[directory] -= 1
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), directory)
        path = Path(directory)
        if path.exists() and not any(child.is_dir() for child in path.iterdir()):
            for file in path.iterdir():
                file.unlink()
        super().rmdir(directory)


class FakePrograms(DevicePrograms):
    """`rules` by the directory that they are attached to. `refusal`: of the next change."""

    def __init__(self) -> None:
        self.rules: dict[str, list[Mapping[str, Any]]] = {}
        self.refusal: StageError | None = None

    @contextmanager
    def changed(self, directory: str, rules: Sequence[Mapping[str, Any]]) -> Iterator[None]:
        if self.refusal:
            raise self.refusal
        before = self.rules.get(directory)
        self.rules[directory] = list(rules)
        try:
            yield
        except BaseException:
            del self.rules[directory]
            if before is not None:
                self.rules[directory] = before
            raise


@pytest.fixture
def v1(tmp_path: Path) -> Layout:
    for name in V1_FILES:
        (tmp_path / name).mkdir()
    return Layout({name: str(tmp_path / name) for name in V1_FILES}, None)


@pytest.fixture
def v2(tmp_path: Path) -> Layout:
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids\n")
    (tmp_path / "cgroup.subtree_control").write_text("pids\n")
    return Layout({}, str(tmp_path))


def test_v1_container_has_devices_and_freezer_and_nothing_else(tmp_path: Path, v1: Layout) -> None:
    cgroup = ContainerCgroup("/containerlib/x", v1, files=FakeFiles(tmp_path))
    cgroup.create({"devices": [DENY_ALL, NULL]})
    assert set(cgroup.hierarchies) == {"devices", "freezer"}
    assert set(cgroup.join_files) == {f"{tmp_path}/{n}/containerlib/x/tasks" for n in ("devices", "freezer")}
    assert (cgroup.v2_directory, cgroup.oom_file) == (None, None)
    assert (tmp_path / "devices/containerlib/x/devices.deny").read_text() == "a"
    assert (tmp_path / "devices/containerlib/x/devices.allow").read_text() == "c 1:3 rwm"
    assert not (tmp_path / "memory/containerlib").exists()


def test_v1_limit_adds_its_controller(tmp_path: Path, v1: Layout) -> None:
    cgroup = ContainerCgroup("/containerlib/x", v1, files=FakeFiles(tmp_path))
    cgroup.create({"memory": {"limit": 4096, "swap": 8192}, "pids": {"limit": 5}})
    assert set(cgroup.hierarchies) == {"devices", "freezer", "memory", "pids"}
    assert (tmp_path / "memory/containerlib/x/memory.limit_in_bytes").read_text() == "4096"
    assert (tmp_path / "pids/containerlib/x/pids.max").read_text() == "5"
    assert cgroup.oom_file == f"{tmp_path}/memory/containerlib/x/memory.oom_control"


def test_groups_are_found_again_by_another_object(tmp_path: Path, v1: Layout) -> None:
    first = ContainerCgroup("/containerlib/x", v1, files=FakeFiles(tmp_path))
    first.create({"pids": {"limit": 5}})
    again = ContainerCgroup("/containerlib/x", v1, files=FakeFiles(tmp_path))
    assert again.hierarchies == first.hierarchies
    again.remove()
    assert first.pids() == ()
    assert not list(tmp_path.glob("*/containerlib/x"))
    again.remove()


def test_missing_controller_for_a_limit_is_named_and_nothing_is_left(tmp_path: Path, v1: Layout) -> None:
    layout = Layout({name: path for name, path in v1.v1.items() if name != "memory"})
    cgroup = ContainerCgroup("/containerlib/x", layout, files=FakeFiles(tmp_path))
    with pytest.raises(Unsupported, match="memory"):
        cgroup.create({"memory": {"limit": 1}})
    assert not list(tmp_path.glob("*/containerlib/x"))


def test_missing_devices_controller_is_an_error_only_where_rules_restrict(tmp_path: Path, v1: Layout) -> None:
    layout = Layout({"freezer": v1.v1["freezer"]})
    cgroup = ContainerCgroup("/containerlib/x", layout, files=FakeFiles(tmp_path))
    with pytest.raises(Unsupported, match="devices"):
        cgroup.create({"devices": [DENY_ALL]})
    cgroup.create({"devices": [{"allow": True, "access": "rwm"}]})


def test_swap_limit_without_swap_accounting_is_an_error_unless_it_is_the_default(
    tmp_path: Path, v1: Layout
) -> None:
    cgroup = ContainerCgroup("/containerlib/x", v1, files=FakeFiles(tmp_path))
    with pytest.raises(Unsupported, match="memsw"):
        cgroup.create({"memory": {"limit": 4096, "swap": 5000}})
    assert not list(tmp_path.glob("*/containerlib/x"))


def test_refused_directory_undoes_the_others(tmp_path: Path, v1: Layout) -> None:
    files = FakeFiles(tmp_path)
    files.refused["freezer"] = errno.EROFS
    cgroup = ContainerCgroup("/containerlib/x", v1, files=files)
    with pytest.raises(StageError, match=r"freezer/containerlib/x.*EROFS.*root") as caught:
        cgroup.create({})
    assert caught.value.stage == "cgroup"
    assert not list(tmp_path.glob("*/containerlib/x"))


def test_busy_group_is_removed_when_its_processes_are_gone(tmp_path: Path, v1: Layout) -> None:
    files = FakeFiles(tmp_path)
    cgroup = ContainerCgroup("/containerlib/x", v1, files=files)
    cgroup.create({})
    files.busy[f"{tmp_path}/devices/containerlib/x"] = 3
    cgroup.remove()
    assert not list(tmp_path.glob("*/containerlib/x"))


def test_group_that_stays_busy_is_a_conflict_in_bounded_time(tmp_path: Path, v1: Layout) -> None:
    files = FakeFiles(tmp_path)
    cgroup = ContainerCgroup("/containerlib/x", v1, files=files)
    cgroup.create({})
    files.busy[f"{tmp_path}/devices/containerlib/x"] = 10**6
    with pytest.raises(Conflict, match="devices/containerlib/x"):
        cgroup.remove(timeout=0.05)


def test_group_of_a_running_container_is_not_taken_over(tmp_path: Path, v1: Layout) -> None:
    files = FakeFiles(tmp_path)
    ContainerCgroup("/containerlib/x", v1, files=files).create({})
    files.busy[f"{tmp_path}/devices/containerlib/x"] = 10**6
    with pytest.raises(Conflict):
        ContainerCgroup("/containerlib/x", v1, files=files).create({})
    assert (tmp_path / "freezer/containerlib/x").exists()


def test_groups_that_the_container_made_go_with_it(tmp_path: Path, v1: Layout) -> None:
    files = FakeFiles(tmp_path)
    cgroup = ContainerCgroup("/containerlib/x", v1, files=files)
    cgroup.create({})
    files.make(f"{tmp_path}/devices/containerlib/x/a/b")
    cgroup.remove()
    assert not (tmp_path / "devices/containerlib/x").exists()
    assert (tmp_path / "devices/containerlib").exists()


def test_v2_container_has_one_directory_and_the_controllers_that_it_needs(tmp_path: Path, v2: Layout) -> None:
    programs = FakePrograms()
    cgroup = ContainerCgroup(
        "/containerlib/x",
        v2,
        device_programs=programs,
        files=FakeFiles(tmp_path, unified=True),
    )
    cgroup.create({"devices": [DENY_ALL, NULL], "memory": {"limit": 4096}, "pids": {"limit": 5}})
    directory = tmp_path / "containerlib/x"
    assert cgroup.v2_directory == str(directory)
    assert cgroup.directories == (str(directory),)
    assert cgroup.join_files == (f"{directory}/cgroup.procs",)
    assert cgroup.oom_file == f"{directory}/memory.events"
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+memory"
    assert (tmp_path / "containerlib/cgroup.subtree_control").read_text() == "+memory +pids"
    assert (directory / "memory.max").read_text() == "4096"
    assert programs.rules == {str(directory): [DENY_ALL, NULL]}


def test_v2_controller_that_is_not_there_is_named_and_nothing_is_left(tmp_path: Path, v2: Layout) -> None:
    (tmp_path / "cgroup.controllers").write_text("pids\n")
    cgroup = ContainerCgroup("/containerlib/x", v2, files=FakeFiles(tmp_path, unified=True))
    with pytest.raises(Unsupported, match="'memory'"):
        cgroup.create({"memory": {"limit": 4096}})
    assert not (tmp_path / "containerlib/x").exists()


def test_v2_failed_device_program_is_a_stage_error_and_nothing_is_left(tmp_path: Path, v2: Layout) -> None:
    programs = FakePrograms()
    programs.refusal = StageError("cgroup", errno.EPERM, "device rules")
    cgroup = ContainerCgroup(
        "/containerlib/x", v2, device_programs=programs, files=FakeFiles(tmp_path, unified=True)
    )
    with pytest.raises(StageError, match="device rules"):
        cgroup.create({"devices": [DENY_ALL]})
    assert not (tmp_path / "containerlib/x").exists()


def test_v2_freeze_that_never_comes_is_undone_and_a_timeout(tmp_path: Path, v2: Layout) -> None:
    cgroup = ContainerCgroup("/containerlib/x", v2, files=FakeFiles(tmp_path, unified=True))
    cgroup.create({})
    events = tmp_path / "containerlib/x/cgroup.events"
    assert (tmp_path / "containerlib/x/cgroup.freeze").write_text("0")
    events.write_text("populated 1\nfrozen 0\n")
    with pytest.raises(Timeout):
        cgroup.freeze(timeout=0.01)
    assert not cgroup.frozen
    events.write_text("populated 1\nfrozen 1\n")
    cgroup.freeze()
    assert cgroup.frozen


def test_freeze_without_a_freezer_is_unsupported(tmp_path: Path, v1: Layout) -> None:
    cgroup = ContainerCgroup(
        "/containerlib/x", Layout({"devices": v1.v1["devices"]}), files=FakeFiles(tmp_path)
    )
    cgroup.create({})
    with pytest.raises(Unsupported, match="freezer"):
        cgroup.freeze()


def test_absent_container_is_neither_frozen_nor_populated(tmp_path: Path, v1: Layout, v2: Layout) -> None:
    for layout in (v1, v2):
        cgroup = ContainerCgroup("/containerlib/none", layout, files=FakeFiles(tmp_path))
        assert not cgroup.frozen
        assert cgroup.pids() == ()
        cgroup.kill()
        cgroup.remove()


def test_parent_is_removed_only_when_it_is_empty(tmp_path: Path) -> None:
    layout = Layout({"pids": str(tmp_path)})
    (tmp_path / "containerlib" / "x").mkdir(parents=True)
    remove_if_empty("/containerlib", layout)
    assert (tmp_path / "containerlib" / "x").exists()
    (tmp_path / "containerlib" / "x").rmdir()
    remove_if_empty("/containerlib", layout)
    assert not (tmp_path / "containerlib").exists()


@pytest.mark.parametrize("path", ["", "/", "relative", "/a/../b", "/a/", "//a"])
def test_path_that_could_lead_elsewhere_is_refused(path: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        ContainerCgroup(path, Layout())
    assert caught.value.field == "cgroupsPath"


def test_thaw_of_a_group_that_went_away_is_fine_and_freeze_is_not(tmp_path: Path, v2: Layout) -> None:
    cgroup = ContainerCgroup("/containerlib/x", v2)
    cgroup.thaw()
    with pytest.raises(StageError) as caught:
        cgroup.freeze()
    assert caught.value.errno == errno.ENOENT


# ---- groups in every hierarchy, of others, of systemd ----


def test_group_in_every_hierarchy_where_that_is_asked_for(tmp_path: Path, v1: Layout) -> None:
    (tmp_path / "cpuset/cpuset.cpus").write_text("0-3\n")
    (tmp_path / "cpuset/cpuset.mems").write_text("0\n")
    cgroup = ContainerCgroup("/containerlib/x", v1, files=FakeFiles(tmp_path), every=True)
    cgroup.create({})
    assert set(cgroup.hierarchies) == set(V1_FILES)


def test_every_controller_of_v2_is_enabled_where_that_is_asked_for(tmp_path: Path, v2: Layout) -> None:
    cgroup = ContainerCgroup("/containerlib/x", v2, files=FakeFiles(tmp_path, unified=True), every=True)
    cgroup.create({})
    assert (tmp_path / "containerlib/cgroup.subtree_control").read_text() == "+cpu +memory +pids"


def test_new_v1_cpuset_has_its_parents_cpus_all_the_way_down(tmp_path: Path, v1: Layout) -> None:
    (tmp_path / "cpuset/cpuset.cpus").write_text("0-3\n")
    (tmp_path / "cpuset/cpuset.mems").write_text("0-1\n")
    cgroup = ContainerCgroup("/containerlib/x", v1, files=FakeFiles(tmp_path))
    cgroup.create({"cpu": {"cpus": "2"}})
    for group in ("containerlib", "containerlib/x"):
        assert (tmp_path / "cpuset" / group / "cpuset.mems").read_text() == "0-1"
    assert (tmp_path / "cpuset/containerlib/cpuset.cpus").read_text() == "0-3"
    assert (tmp_path / "cpuset/containerlib/x/cpuset.cpus").read_text().startswith("2")


def test_device_rules_are_left_out_for_a_caller_who_may_not(tmp_path: Path, v2: Layout) -> None:
    programs = FakePrograms()
    cgroup = ContainerCgroup(
        "/x",
        v2,
        device_programs=programs,
        files=FakeFiles(tmp_path, unified=True),
        enforce_devices=False,
    )
    cgroup.create({"devices": [DENY_ALL]})
    cgroup.update({"devices": [DENY_ALL, NULL]})
    assert programs.rules == {}


def test_update_exchanges_the_devices_with_the_rest_or_not_at_all(tmp_path: Path, v2: Layout) -> None:
    programs, files = FakePrograms(), FakeFiles(tmp_path, unified=True)
    cgroup = ContainerCgroup("/x", v2, device_programs=programs, files=files)
    cgroup.create({"devices": [DENY_ALL, NULL], "pids": {"limit": 5}})
    cgroup.update({"devices": [DENY_ALL], "pids": {"limit": 6}})
    assert programs.rules == {f"{tmp_path}/x": [DENY_ALL]}
    programs.refusal = StageError("cgroup", errno.EPERM, "device rules")
    with pytest.raises(StageError, match="device rules"):
        cgroup.update({"devices": [NULL], "pids": {"limit": 7}})
    assert (tmp_path / "x/pids.max").read_text() == "6"


def test_update_that_systemd_refuses_has_the_devices_of_before(tmp_path: Path, v2: Layout) -> None:
    class Refusing(Scope):
        def start(self, resources: Mapping[str, Any], layout: Layout, pids: Sequence[int] = ()) -> None:
            pass

        def set(self, resources: Mapping[str, Any], layout: Layout) -> None:
            raise Timeout(f"systemd did not take {resources} in {layout}")

    programs, files = FakePrograms(), FakeFiles(tmp_path, unified=True)
    scope = Refusing(ScopeName("x.scope", "system.slice"))
    cgroup = ContainerCgroup("/x", v2, device_programs=programs, files=files, scope=scope)
    cgroup.create({"devices": [DENY_ALL, NULL], "pids": {"limit": 5}})
    with pytest.raises(Timeout):
        cgroup.update({"devices": [DENY_ALL], "pids": {"limit": 6}})
    assert programs.rules == {f"{tmp_path}/x": [DENY_ALL, NULL]}
    assert (tmp_path / "x/pids.max").read_text() == "5"


@pytest.mark.parametrize("devices", [None, []])
def test_update_without_devices_leaves_them(tmp_path: Path, v2: Layout, devices: object) -> None:
    programs, files = FakePrograms(), FakeFiles(tmp_path, unified=True)
    cgroup = ContainerCgroup("/x", v2, device_programs=programs, files=files)
    cgroup.create({"devices": [DENY_ALL]})
    cgroup.update({"devices": devices, "pids": {"limit": 6}})
    assert programs.rules == {f"{tmp_path}/x": [DENY_ALL]}


def test_no_hierarchy_at_all_makes_no_group_and_refuses_limits(tmp_path: Path) -> None:
    cgroup = ContainerCgroup("/x", Layout(), enforce_devices=False)
    cgroup.create({"devices": [DENY_ALL]})
    assert (cgroup.directories, cgroup.join_files, cgroup.oom_file, cgroup.pids()) == ((), (), None, ())
    with pytest.raises(Unsupported, match=r"pids\.limit"):
        cgroup.create({"pids": {"limit": 5}})


def test_group_of_others_is_used_and_stays(tmp_path: Path, v1: Layout) -> None:
    files = FakeFiles(tmp_path)
    files.make(f"{tmp_path}/pids/theirs")
    cgroup = ContainerCgroup("/theirs", v1, files=files, adopt=True)
    (tmp_path / "pids/theirs/cgroup.procs").write_text("")
    cgroup.create({"pids": {"limit": 5}})
    assert cgroup.adopted == (f"{tmp_path}/pids/theirs",)
    cgroup.remove()
    assert (tmp_path / "pids/theirs").exists()
    assert not (tmp_path / "devices/theirs").exists()


def test_refused_resources_touch_no_group_of_others(tmp_path: Path, v1: Layout) -> None:
    files = FakeFiles(tmp_path)
    files.make(f"{tmp_path}/pids/theirs/inner")
    layout = Layout({name: path for name, path in v1.v1.items() if name != "devices"})
    for adopt in (True, False):
        with pytest.raises(Unsupported):
            ContainerCgroup("/theirs", layout, files=files, adopt=adopt).create({"devices": [DENY_ALL]})
        assert (tmp_path / "pids/theirs/inner").exists()


class FakeScope:
    """systemd: makes the group, and says what it was asked."""

    def __init__(self, files: FakeFiles, directory: str, failure: Exception | None = None) -> None:
        self.files, self.directory, self.failure = files, directory, failure
        self.said: list[str] = []

    def start(self, *_: object) -> None:
        self.said.append("start")
        if self.failure:
            raise self.failure
        self.files.make(self.directory)
        Path(self.directory, "cgroup.procs").write_text("77\n")

    def settle(self) -> None:
        self.said.append("settle")

    def set(self, *_: object) -> None:
        self.said.append("set")
        if self.failure:
            raise self.failure

    def stop(self) -> None:
        self.said.append("stop")


def test_group_of_a_scope_is_systemds_and_goes_with_it(tmp_path: Path, v2: Layout) -> None:
    files = FakeFiles(tmp_path, unified=True)
    scope = FakeScope(files, f"{tmp_path}/a.slice/b.scope")
    cgroup = ContainerCgroup("/a.slice/b.scope", v2, files=files, scope=scope)  # type: ignore[arg-type]
    cgroup.create({"pids": {"limit": 5}})
    cgroup.settle()
    assert (tmp_path / "a.slice/b.scope/pids.max").read_text() == "5"
    cgroup.update({"pids": {"limit": 6}})
    assert (tmp_path / "a.slice/b.scope/pids.max").read_text() == "6"
    cgroup.remove()
    assert scope.said == ["start", "settle", "set", "stop"]
    assert not (tmp_path / "a.slice/b.scope").exists()


def test_scope_that_does_not_start_is_not_stopped_either(tmp_path: Path, v2: Layout) -> None:
    """It may be another container's, of the same name."""
    files = FakeFiles(tmp_path, unified=True)
    scope = FakeScope(files, f"{tmp_path}/b.scope", AlreadyExists("taken"))
    cgroup = ContainerCgroup("/b.scope", v2, files=files, scope=scope)  # type: ignore[arg-type]
    with pytest.raises(AlreadyExists):
        cgroup.create({})
    assert scope.said == ["start"]


def test_limit_that_systemd_refuses_is_set_back(tmp_path: Path, v2: Layout) -> None:
    files = FakeFiles(tmp_path, unified=True)
    scope = FakeScope(files, f"{tmp_path}/b.scope")
    cgroup = ContainerCgroup("/b.scope", v2, files=files, scope=scope)  # type: ignore[arg-type]
    cgroup.create({"pids": {"limit": 5}})
    scope.failure = Timeout("too late")
    with pytest.raises(Timeout):
        cgroup.update({"pids": {"limit": 6}})
    assert (tmp_path / "b.scope/pids.max").read_text() == "5"


def test_scope_on_v1_is_joined_where_systemd_looks_too(tmp_path: Path, v1: Layout) -> None:
    for name in ("systemd", "unified"):
        (tmp_path / name / "b.scope").mkdir(parents=True)
    layout = Layout(v1.v1, f"{tmp_path}/unified", systemd=f"{tmp_path}/systemd")
    files = FakeFiles(tmp_path)
    scope = FakeScope(files, f"{tmp_path}/pids/b.scope")
    (tmp_path / "cpuset/cpuset.cpus").write_text("0\n")
    (tmp_path / "cpuset/cpuset.mems").write_text("0\n")
    cgroup = ContainerCgroup("/b.scope", layout, files=files, scope=scope)  # type: ignore[arg-type]
    cgroup.create({})
    assert {f"{tmp_path}/{name}/b.scope/cgroup.procs" for name in ("systemd", "unified")} <= set(
        cgroup.join_files
    )
    assert set(cgroup.hierarchies) == set(V1_FILES)
