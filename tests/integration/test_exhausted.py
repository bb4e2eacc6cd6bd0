"""Limits of the process and of the host that are reached: every failure is an Error that names the limit."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import containerlib as cl
from rig.mounts import without_room

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

FEW_FILES = """
import os, resource, sys
import containerlib as cl

def attempt(verb, left):
    held = []
    try:
        while True:
            held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        pass
    for fd in held[len(held) - left:]:
        os.close(fd)
    del held[len(held) - left:]
    try:
        verb()
    except cl.Error as error:
        return str(error)
    finally:
        for fd in held:
            os.close(fd)
    return ""

with cl.Engine(root=sys.argv[1]) as engine:
    (image,) = engine.images.load(sys.argv[2])
    recipe = engine.container(image)
    recipe.run("true")
    with recipe.start("sleep", "600") as container:
        container.exec("true")
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (96, hard))
        verbs = {
            "run": lambda: recipe.run("true"),
            "exec": lambda: container.exec("true"),
            "logs": lambda: list(container.logs()),
            "stat": lambda: container.path("/bin").stat(),
            "list": lambda: [each.state for each in engine.containers.list()],
        }
        for name, verb in verbs.items():
            for left in (0, 1, 2, 5, 9):
                if said := attempt(verb, left):
                    print(name, said)
"""
FEW_THREADS = """
import sys
from pathlib import Path
import containerlib as cl

group = Path(sys.argv[3])
with cl.Engine(root=sys.argv[1]) as engine:
    engine.images.load(sys.argv[2])
    (group / "cgroup.procs").write_text("0")
    (group / "pids.max").write_text((group / "pids.current").read_text())
    try:
        engine.images.verify()
    except cl.Error as error:
        print(error)
"""


def output_of(script: str, *arguments: str | Path) -> str:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def few(tmp_path: Path) -> Iterator[Path]:
    """A control group whose count of threads can be limited."""
    parent = Path("/sys/fs/cgroup/pids")
    if not (parent / "cgroup.procs").exists():
        pytest.skip("no pids controller of cgroup v1")
    group = parent / f"containerlib-test-{os.getpid()}"
    group.mkdir()
    yield group
    group.rmdir()


def test_verbs_without_descriptors_name_the_limit_of_open_files(tmp_path: Path, busybox_image: Path) -> None:
    said = output_of(FEW_FILES, tmp_path / "root", busybox_image).splitlines()
    assert {"run", "exec", "logs", "stat", "list"} == {line.split()[0] for line in said}
    assert [line for line in said if "ulimit -n" not in line] == []


def test_verb_without_threads_names_the_limit_of_threads(
    tmp_path: Path, busybox_image: Path, few: Path
) -> None:
    said = output_of(FEW_THREADS, tmp_path / "root", busybox_image, few)
    assert "raise pids.max of the control group, or ulimit -u" in said


def test_file_written_on_a_full_disk_says_where_to_free_space(small_disk: Path, busybox_image: Path) -> None:
    with cl.Engine(root=small_disk / "root") as engine:
        (image,) = engine.images.load(busybox_image)
        with engine.container(image).start("sleep", "600") as container:
            with without_room(small_disk), pytest.raises(cl.StageError) as raised:
                container.path("/file").write_bytes(bytes(1 << 20))
    assert f"{small_disk}/root: ENOSPC" in str(raised.value)
    assert "free space" in str(raised.value)
