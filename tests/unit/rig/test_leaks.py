"""The check for leaks sees what it is there to see."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from rig.leaks import Processes, Surroundings
from rig.mounts import mounted_tmpfs


def test_surroundings_unchanged_have_no_leaks(tmp_path: Path) -> None:
    before = Surroundings.look(tmp_path)
    assert before.beyond(before) == []


def test_surroundings_with_a_child_process_name_it(tmp_path: Path) -> None:
    before = Surroundings.look(tmp_path)
    with subprocess.Popen(["sleep", "60"]) as child:
        leaks = Surroundings.look(tmp_path).beyond(before)
        child.kill()
    assert any(f"processes: left behind: sleep pid {child.pid} " in leak for leak in leaks)


def test_process_left_behind_says_where_it_works_and_after_what_it_was_seen(tmp_path: Path) -> None:
    before, processes = Surroundings.look(tmp_path), Processes()
    with subprocess.Popen(["sleep", "60"], cwd=tmp_path) as child:
        for name in ("test_first.py", "test_second.py"):
            processes.look(name)
        leaks = [processes.explained(leak) for leak in Surroundings.look(tmp_path).beyond(before)]
        child.kill()
    assert any(
        f" pid {child.pid} " in leak and leak.endswith(f" in {tmp_path}, seen after test_first.py")
        for leak in leaks
    )


def test_surroundings_with_a_temporary_file_name_it(tmp_path: Path) -> None:
    before = Surroundings.look(tmp_path)
    tmp_path.joinpath("left.sock").touch()
    assert f"temporary files: left behind: {tmp_path}/left.sock" in Surroundings.look(tmp_path).beyond(before)


def test_surroundings_with_a_rule_that_went_name_it(tmp_path: Path) -> None:
    now = Surroundings.look(tmp_path)
    before = replace(now, nft_rules=now.nft_rules | {"table inet other"})
    assert now.beyond(before) == ["nft rules: gone: table inet other"]


@pytest.mark.privileged("CAP_SYS_ADMIN: mounts a tmpfs")
def test_surroundings_with_a_mount_name_it(tmp_path: Path) -> None:
    before = Surroundings.look(tmp_path)
    with mounted_tmpfs(tmp_path / "mounted", size="1m"):
        leaks = Surroundings.look(tmp_path).beyond(before)
    assert any(leak.startswith(f"mounts: left behind: / {tmp_path}/mounted") for leak in leaks)


@pytest.mark.privileged("CAP_SYS_ADMIN: makes a cgroup")
def test_surroundings_with_a_cgroup_name_it(tmp_path: Path) -> None:
    parents = [Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup")]
    parent = next(path for path in parents if path.joinpath("cgroup.procs").exists())
    before = Surroundings.look(tmp_path)
    group = parent / f"containerlib-leak-{os.getpid()}"
    group.mkdir()
    leaks = Surroundings.look(tmp_path).beyond(before)
    group.rmdir()
    assert f"cgroups: left behind: {group}" in leaks
