from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from containerlib.runtime.cgroups.layout import Layout
from containerlib.runtime.cgroups.owner import delegated_files, find_delegation, give_group, group_owner

MOUNT = {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid", "rw"]}


def spec(**changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "process": {"user": {"uid": 1000}},
        "mounts": [MOUNT],
        "linux": {
            "namespaces": [{"type": "user"}, {"type": "cgroup"}],
            "uidMappings": [
                {"containerID": 0, "hostID": 500, "size": 1},
                {"containerID": 1, "hostID": 100_000, "size": 65_535},
            ],
        },
    }
    made["linux"].update(changes.pop("linux", {}))
    return {**made, **changes}


def test_owner_is_the_hosts_user_behind_the_containers() -> None:
    assert group_owner(spec()) == 100_999
    assert group_owner(spec(process={"user": {"uid": 0}})) == 500
    assert group_owner(spec(process={})) == 500


@pytest.mark.parametrize(
    "changed",
    [
        spec(mounts=[]),
        spec(mounts=[{**MOUNT, "options": ["ro"]}]),
        spec(mounts=[{**MOUNT, "destination": "/elsewhere"}]),
        spec(mounts=[{**MOUNT, "type": "tmpfs", "source": "tmpfs"}]),
        spec(mounts=[MOUNT, {**MOUNT, "options": ["ro"]}]),
        spec(linux={"namespaces": [{"type": "user"}]}),
        spec(linux={"namespaces": [{"type": "user"}, {"type": "cgroup", "path": "/proc/1/ns/cgroup"}]}),
        spec(linux={"namespaces": [{"type": "cgroup"}]}),
        spec(process={"user": {"uid": 70_000}}),
        spec(linux={"uidMappings": []}),
        {},
    ],
)
def test_group_stays_the_hosts_without_a_writable_mount_of_the_containers_own(
    changed: dict[str, Any],
) -> None:
    assert group_owner(changed) is None


def test_mappings_of_a_joined_namespace_count_where_they_are_given() -> None:
    assert group_owner(spec(), [{"containerID": 0, "hostID": 7000, "size": 2000}]) == 8000


def test_only_files_that_the_kernel_names_are_delegated() -> None:
    assert delegated_files("cgroup.procs\nmemory.oom.group\n") == ("cgroup.procs", "memory.oom.group")
    assert delegated_files("") == ("cgroup.procs", "cgroup.subtree_control", "cgroup.threads")
    assert delegated_files("../x\ncgroup.procs\n") == ("cgroup.procs",)


@pytest.mark.privileged("CAP_CHOWN: gives files away")
def test_group_and_its_delegated_files_are_given_and_no_others(tmp_path: Path) -> None:
    for name in ("cgroup.procs", "cgroup.subtree_control", "memory.max"):
        (tmp_path / name).touch()
    give_group(str(tmp_path), 12345, ["cgroup.procs", "cgroup.threads", "cgroup.subtree_control"])
    owners = {path.name: path.stat().st_uid for path in tmp_path.iterdir()}
    assert owners == {"cgroup.procs": 12345, "cgroup.subtree_control": 12345, "memory.max": os.geteuid()}
    assert tmp_path.stat().st_uid == 12345
    assert tmp_path.stat().st_gid == os.getegid()


def tree(root: Path, *paths: str) -> Layout:
    for path in ("", *paths):
        group = root / path.strip("/")
        group.mkdir(parents=True, exist_ok=True)
        for name in ("cgroup.procs", "cgroup.subtree_control"):
            (group / name).touch()
        (group / "cgroup.controllers").write_text("cpu memory\n")
    return Layout({}, str(root))


def test_delegation_is_the_group_above_the_callers_own(tmp_path: Path) -> None:
    layout = tree(tmp_path, "/user/app.slice", "/user/app.slice/me.scope")
    delegation = find_delegation(layout, {"": "/user/app.slice/me.scope"})
    assert delegation is not None
    assert delegation.path == "/user/app.slice"
    assert delegation.directory == f"{tmp_path}/user/app.slice"
    assert (delegation.controllers, delegation.occupied) == (("cpu", "memory"), False)
    assert delegation.layout().unified == delegation.directory


def test_delegation_of_the_callers_own_group_is_occupied(tmp_path: Path) -> None:
    layout = tree(tmp_path, "/system/me.service")
    (tmp_path / "system/me.service/cgroup.procs").write_text("7\n")
    delegation = find_delegation(layout, {"": "/system/me.service"})
    assert delegation is not None
    assert (delegation.path, delegation.occupied) == ("/system/me.service", True)


@pytest.mark.parametrize("own", [{}, {"": "/../.."}, {"": "/gone/me"}])
def test_no_delegation_where_the_callers_group_is_not_to_be_seen(tmp_path: Path, own: dict[str, str]) -> None:
    assert find_delegation(tree(tmp_path), own) is None


def test_no_delegation_on_v1() -> None:
    assert find_delegation(Layout({"memory": "/cg/memory"}, "/cg/unified"), {"": "/"}) is None
