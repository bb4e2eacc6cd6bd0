"""What a container is given and denied, as its cgroups and the kernel show it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import containerlib as cl
from containerlib.runtime.cgroups.layout import Layout

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")


@pytest.fixture
def read() -> Callable[[cl.Container, str, str, str], str]:
    """A file of the container's cgroup, as v1 or as v2 calls it."""
    layout = Layout.host()

    def read(container: cl.Container, controller: str, v1: str, v2: str) -> str:
        path = container.engine.core.cgroup_path(container.id)
        if controller in layout.v1:
            return Path(f"{layout.v1[controller]}{path}/{v1}").read_text().strip()
        return Path(f"{layout.unified}{path}/{v2}").read_text().strip()

    return read


def test_limit_processors_are_what_the_container_may_use(box: cl.ContainerRecipe) -> None:
    last = max(os.sched_getaffinity(0))
    done = box.limit(cpuset=last, mems=0).run("grep", "_allowed_list", "/proc/self/status")
    assert done.text.split() == ["Cpus_allowed_list:", str(last), "Mems_allowed_list:", "0"]


def test_limit_quota_is_in_the_cgroup(box: cl.ContainerRecipe, read: Callable[..., str]) -> None:
    with box.limit(cpu_quota=20_000, cpu_period=50_000).start("sleep", "100") as container:
        text = read(container, "cpu", "cpu.cfs_quota_us", "cpu.max")
    assert text in ("20000", "20000 50000")


def test_limit_reservation_is_in_the_cgroup(box: cl.ContainerRecipe, read: Callable[..., str]) -> None:
    recipe = box.limit(memory="64MiB", memory_reservation="32MiB")
    with recipe.start("sleep", "100") as container:
        assert read(container, "memory", "memory.soft_limit_in_bytes", "memory.low") == str(32 << 20)


def test_oom_score_is_the_programs(box: cl.ContainerRecipe) -> None:
    assert box.oom(score_adj=300).run("cat", "/proc/self/oom_score_adj").text == "300\n"


def test_shm_size_is_that_of_the_mount(box: cl.ContainerRecipe) -> None:
    assert box.shm_size("1MiB").run("sh", "-c", "df -k /dev/shm | tail -1").text.split()[1] == "1024"


def test_numa_policy_is_the_programs(box: cl.ContainerRecipe) -> None:
    if not Path("/proc/self/numa_maps").exists():
        pytest.skip("a kernel without NUMA")
    assert "bind:0" in box.numa("bind", 0).run("cat", "/proc/self/numa_maps").text


def test_device_limit_of_no_device_says_so(box: cl.ContainerRecipe) -> None:
    with pytest.raises(cl.NotFound, match="lsblk"):
        box.device_limit("/dev/none", read_bps="1MiB").run("true")
