"""Groups that belong to an ordinary user: what that user may do with them, and what not. cgroup v2 alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from containerlib.runtime.cgroups.cgroup import ContainerCgroup, remove_if_empty
from containerlib.runtime.cgroups.layout import Layout
from containerlib.runtime.cgroups.owner import find_delegation, give_group
from rig import ordinary
from rig.images import busybox_image
from rig.ordinary import as_user

pytestmark = [
    pytest.mark.privileged("CAP_SYS_ADMIN, CAP_CHOWN: makes cgroups and gives them away"),
    pytest.mark.vm,
    pytest.mark.skipif(Layout.host().unified is None, reason="needs cgroup v2"),
]

PARENT = f"/containerlib-test-{os.getpid()}"
USER = 65_534


@pytest.fixture
def given() -> Iterator[str]:
    """A group with limits that belongs to an ordinary user."""
    cgroup = ContainerCgroup(f"{PARENT}/given")
    cgroup.create({"pids": {"limit": 50}, "memory": {"limit": 256 << 20}})
    assert cgroup.v2_directory is not None
    give_group(cgroup.v2_directory, USER)
    yield cgroup.v2_directory
    cgroup.kill()
    cgroup.remove()
    remove_if_empty(PARENT)


def run_in_group(directory: str, code: str, *, leaf: str = "") -> subprocess.CompletedProcess[str]:
    """Runs `code` in the group `leaf` of `directory`, as the ordinary user."""
    place = Path(directory, leaf)
    program = as_user(USER, sys.executable, "-c", code)
    join = ["sh", "-c", 'echo 0 >"$0/cgroup.procs" && exec "$@"', place]
    return subprocess.run([*join, *program], capture_output=True, text=True, check=False, timeout=200)


def test_owner_divides_the_group_and_cannot_raise_its_limits(given: str) -> None:
    code = f"""
import os
os.mkdir("{given}/inner")
open("{given}/inner/cgroup.procs", "w").write("0")
open("{given}/cgroup.subtree_control", "w").write("+pids")
open("{given}/inner/pids.max", "w").write("7")
for name in ("pids.max", "memory.max", "cgroup.freeze"):
    try:
        open("{given}/" + name, "w").write("1")
        print("wrote", name)
    except PermissionError:
        print("refused", name)
"""
    done = run_in_group(given, code)
    assert done.stdout.split() == [
        "refused",
        "pids.max",
        "refused",
        "memory.max",
        "refused",
        "cgroup.freeze",
    ], done.stderr
    assert Path(given, "inner/pids.max").read_text().strip() == "7"


def test_owner_finds_the_delegation_and_makes_a_limited_container_group_in_it(given: str) -> None:
    Path(given, "me").mkdir()
    give_group(f"{given}/me", USER)
    code = """
from containerlib.runtime.cgroups.owner import find_delegation
from containerlib.runtime.cgroups.cgroup import ContainerCgroup
found = find_delegation()
print(found.path, found.occupied, "pids" in found.controllers)
cgroup = ContainerCgroup("/web", found.layout(), enforce_devices=False)
cgroup.create({"pids": {"limit": 9}, "devices": [{"allow": False}]})
print(open(cgroup.v2_directory + "/pids.max").read())
cgroup.remove()
"""
    done = run_in_group(given, code, leaf="me")
    path = f"{PARENT}/given"
    assert done.stdout.split() == [path, "False", "True", "9"], done.stderr


@pytest.mark.skipif(shutil.which("newuidmap") is None, reason="needs uidmap")
def test_engine_of_the_owner_limits_and_pauses_its_containers(given: str, tmp_path: Path) -> None:
    Path(given, "me").mkdir()
    for directory in (given, f"{given}/me"):
        give_group(directory, ordinary.USER)
    user = ordinary.User(tmp_path, busybox_image(), group=f"{given}/me")
    output = user.run("""
        limited = box.limit(memory="64MiB", pids=20)
        print(limited.run("cat", "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/pids.max").text)
        with limited.pid("host").start("sleep", "600") as container:
            container.pause()
            print(container.state.value, container.stats().memory.limit_bytes)
            container.resume()
            print(container.state.value, len(container.top()))
        engine.close()
    """)
    assert output.split() == ["67108864", "20", "paused", "67108864", "running", "1"]
    assert [path.name for path in Path(given).iterdir() if path.is_dir()] == ["me"]


def test_ordinary_user_outside_any_delegation_finds_none() -> None:
    cgroup = ContainerCgroup(f"{PARENT}/roots")
    cgroup.create({})
    try:
        assert cgroup.v2_directory is not None
        done = run_in_group(
            cgroup.v2_directory,
            "from containerlib.runtime.cgroups.owner import find_delegation; print(find_delegation())",
        )
        assert done.stdout.split() == ["None"], done.stderr
    finally:
        cgroup.remove()
        remove_if_empty(PARENT)


def test_root_finds_the_group_that_it_is_in() -> None:
    delegation = find_delegation()
    assert delegation is not None
    assert Path(delegation.directory, "cgroup.procs").exists()
