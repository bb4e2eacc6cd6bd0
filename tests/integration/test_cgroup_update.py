"""New limits for containers at work, their statistics, and word of the OOM killer: on this machine's kernel."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from containerlib.errors import Conflict, InvalidArgument, StageError, Unsupported
from containerlib.runtime.cgroups.cgroup import ContainerCgroup
from containerlib.runtime.cgroups.layout import Layout
from containerlib.runtime.cgroups.stats import events_document
from rig.groups import maker, value

pytestmark = [pytest.mark.privileged("CAP_SYS_ADMIN: makes cgroups"), pytest.mark.vm]

PARENT = f"/containerlib-test-{os.getpid()}"
MIB = 1 << 20
LAYOUT = Layout.host()
V2 = LAYOUT.unified is not None
JOIN = 'for file; do [ "$file" = -- ] && break; echo 0 > "$file" || exit 99; shift; done; shift; exec "$@"'
MEMORY_FILES = (
    ("memory.max", "memory.swap.max") if V2 else ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes")
)


@pytest.fixture
def make() -> Iterator[Callable[..., ContainerCgroup]]:
    with maker(PARENT, LAYOUT) as make:
        yield make


@contextlib.contextmanager
def running(cgroup: ContainerCgroup, *command: str) -> Iterator[subprocess.Popen[str]]:
    argv = ["sh", "-c", JOIN, "sh", *cgroup.join_files, "--", *command]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            deadline = time.monotonic() + 60
            while process.pid not in cgroup.pids() and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.001)
            yield process
        finally:
            process.kill()


def memory_of(cgroup: ContainerCgroup) -> tuple[int, int]:
    """Limit on memory, and on memory with swap."""
    limit, swap = (int(value(cgroup, file)) for file in MEMORY_FILES)
    return limit, swap + limit if V2 else swap


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((32, 64), (128, 256)),
        ((128, 256), (32, 64)),
        ((32, 64), (48, 50)),
        ((100, 100), (200, 200)),
        ((200, 200), (100, 100)),
    ],
)
def test_memory_and_swap_change_together_in_any_direction(
    make: Callable[[dict[str, Any]], ContainerCgroup], before: tuple[int, int], after: tuple[int, int]
) -> None:
    cgroup = make({"memory": {"limit": before[0] * MIB, "swap": before[1] * MIB}})
    assert memory_of(cgroup) == (before[0] * MIB, before[1] * MIB)
    cgroup.update({"memory": {"limit": after[0] * MIB, "swap": after[1] * MIB}})
    assert memory_of(cgroup) == (after[0] * MIB, after[1] * MIB)


def test_update_to_no_memory_limit_frees_swap_too(make: Callable[[dict[str, Any]], ContainerCgroup]) -> None:
    cgroup = make({"memory": {"limit": 32 * MIB, "swap": 32 * MIB}})
    cgroup.update({"memory": {"limit": -1}})
    nothing = "max" if V2 else "9223372036854771712"
    assert [value(cgroup, file) for file in MEMORY_FILES] == [nothing, nothing]


def test_half_of_a_cpu_quota_keeps_the_other_half(make: Callable[[dict[str, Any]], ContainerCgroup]) -> None:
    cgroup = make({"cpu": {"quota": 50_000, "period": 200_000}})
    cgroup.update({"cpu": {"period": 100_000}})
    cgroup.update({"cpu": {"quota": 30_000}})
    files = ("cpu.max",) if V2 else ("cpu.cfs_quota_us", "cpu.cfs_period_us")
    assert " ".join(value(cgroup, file) for file in files) == "30000 100000"


def test_burst_and_quota_shrink_and_grow_together(make: Callable[[dict[str, Any]], ContainerCgroup]) -> None:
    cgroup = make({"cpu": {"quota": 50_000, "burst": 50_000}})
    file = "cpu.max.burst" if V2 else "cpu.cfs_burst_us"
    cgroup.update({"cpu": {"quota": 20_000, "burst": 20_000}})
    assert value(cgroup, file) == "20000"
    cgroup.update({"cpu": {"quota": 90_000, "burst": 80_000}})
    assert value(cgroup, file) == "80000"
    with pytest.raises(StageError, match=r"cpu\.(burst|quota)"):
        cgroup.update({"cpu": {"burst": 95_000}})
    assert value(cgroup, file) == "80000"


def test_idle_group_gets_shares_again(make: Callable[[dict[str, Any]], ContainerCgroup]) -> None:
    cgroup = make({"cpu": {"shares": 1024, "idle": 1}})
    cgroup.update({"cpu": {"shares": 2048, "idle": 0}})
    assert value(cgroup, "cpu.idle") == "0"
    assert value(cgroup, "cpu.weight" if V2 else "cpu.shares") == ("174" if V2 else "2048")


def test_refused_update_leaves_every_limit_as_it_was(
    make: Callable[[dict[str, Any]], ContainerCgroup],
) -> None:
    cgroup = make(
        {"pids": {"limit": 100}, "cpu": {"quota": 50_000}, "memory": {"limit": 64 * MIB, "swap": 64 * MIB}}
    )
    before = memory_of(cgroup)
    with pytest.raises(StageError) as caught:
        cgroup.update(
            {
                "memory": {"limit": 80 * MIB, "swap": 90 * MIB},
                "pids": {"limit": 7},
                "cpu": {"quota": 60_000, "cpus": "9999"},
            }
        )
    assert "cpu.cpus" in str(caught.value)
    assert not getattr(caught.value, "__notes__", [])
    assert memory_of(cgroup) == before
    assert value(cgroup, "pids.max") == "100"
    assert value(cgroup, "cpu.max" if V2 else "cpu.cfs_quota_us").split()[0] == "50000"


def test_refused_throttle_leaves_the_one_before(make: Callable[[dict[str, Any]], ContainerCgroup]) -> None:
    device = next((path.read_text().strip() for path in sorted(Path("/sys/block").glob("*/dev"))), None)
    if device is None:
        pytest.skip("there is no block device")
    major, minor = map(int, device.split(":"))
    rate = {"major": major, "minor": minor, "rate": MIB}
    cgroup = make({"blockIO": {"throttleReadBpsDevice": [rate]}})
    file = "io.max" if V2 else "blkio.throttle.read_bps_device"
    before = value(cgroup, file)
    nowhere = {"major": 4000, "minor": 1, "rate": 5}
    with pytest.raises(StageError, match="4000:1"):
        cgroup.update({"blockIO": {"throttleReadBpsDevice": [{**rate, "rate": 9 * MIB}, nowhere]}})
    assert value(cgroup, file) == before
    cgroup.update({"blockIO": {"throttleReadBpsDevice": [{**rate, "rate": 0}]}})
    assert value(cgroup, file) == ""


def test_limit_on_a_controller_without_a_group_takes_the_processes_along(
    make: Callable[[dict[str, Any]], ContainerCgroup],
) -> None:
    cgroup = make({})
    with running(cgroup, "sh", "-c", "sleep 100 & sleep 100 & wait") as process:
        deadline = time.monotonic() + 60
        while len(cgroup.pids()) < 3 and time.monotonic() < deadline:
            time.sleep(0.001)
        cgroup.update({"pids": {"limit": 77}, "cpu": {"shares": 99}})
        assert value(cgroup, "pids.max") == "77"
        assert value(cgroup, "pids.current") == "3"
        groups = Path(f"/proc/{process.pid}/cgroup").read_text()
        assert f"{PARENT}/" in groups
        cgroup.kill()


def test_process_is_moved_into_every_group(make: Callable[[dict[str, Any]], ContainerCgroup]) -> None:
    cgroup = make({"pids": {"limit": 5}})
    with subprocess.Popen(["sleep", "100"]) as process:
        cgroup.attach([process.pid])
        for directory in cgroup.directories:
            assert Path(directory, "cgroup.procs").read_text().split() == [str(process.pid)]
        process.kill()


def test_update_of_a_container_that_has_ended_makes_no_groups(
    make: Callable[[dict[str, Any]], ContainerCgroup],
) -> None:
    cgroup = make({})
    cgroup.remove()
    with pytest.raises(Conflict) as caught:
        cgroup.update({"pids": {"limit": 5}})
    assert caught.value.state == "stopped"
    assert cgroup.directories == ()


HOG = "import sys; block = bytearray(b'x' * (48 << 20)); print('ready', flush=True); sys.stdin.read()"


def test_limit_below_what_is_used_is_a_conflict_and_kills_nobody(
    make: Callable[[dict[str, Any]], ContainerCgroup],
) -> None:
    cgroup = make({"memory": {"limit": 128 * MIB, "swap": 128 * MIB}})
    with running(cgroup, sys.executable, "-c", HOG) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        with pytest.raises(Conflict, match="use") as caught:
            cgroup.update({"memory": {"limit": 16 * MIB, "swap": 16 * MIB, "checkBeforeUpdate": True}})
        assert caught.value.state == "running"
        assert memory_of(cgroup) == (128 * MIB, 128 * MIB)
        assert process.poll() is None


@pytest.mark.skipif(V2, reason="v2 kills where v1 refuses")
def test_v1_kernel_refuses_too_low_a_limit_by_itself(
    make: Callable[[dict[str, Any]], ContainerCgroup],
) -> None:
    cgroup = make({"memory": {"limit": 128 * MIB, "swap": 128 * MIB, "swappiness": 0}})
    with running(cgroup, sys.executable, "-c", HOG) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(Conflict, match=r"memory\.(limit|swap)"):
            cgroup.update({"memory": {"limit": 16 * MIB, "swap": 16 * MIB}})
        assert memory_of(cgroup) == (128 * MIB, 128 * MIB)


def test_stats_count_what_a_process_used(make: Callable[[dict[str, Any]], ContainerCgroup]) -> None:
    limits = {"memory": {"limit": 256 * MIB}, "pids": {"limit": 50}, "cpu": {"quota": 90_000, "cpus": "0"}}
    cgroup = make(limits)
    code = "import os, sys; x = bytearray(b'x' * (24 << 20)); [os.getpid() for _ in range(200000)]; print(flush=True)"
    with running(cgroup, sys.executable, "-c", f"{code}; sys.stdin.read()") as process:
        assert process.stdout is not None
        process.stdout.readline()
        stats = cgroup.stats()
    assert stats.memory is not None
    assert stats.memory.usage.limit == 256 * MIB
    assert 24 * MIB <= stats.memory.usage.bytes <= 256 * MIB
    assert stats.memory.oom_kills == 0
    assert stats.pids is not None
    assert (stats.pids.current, stats.pids.limit) == (1, 50)
    assert stats.cpuset is not None
    assert stats.cpuset.cpus == (0,)
    assert stats.cpu is not None
    if V2:
        assert (stats.cpu.usage_ns or 0) > 1_000_000
        assert stats.memory.pressure is not None or not Path("/proc/pressure").exists()
    assert stats.rdma is None
    document = json.loads(json.dumps(events_document(stats)))
    assert document["memory"]["usage"]["usage"] == stats.memory.usage.bytes
    assert document["pids"] == {"current": 1, "limit": 50}


def test_stats_of_cpu_time_by_cpu_where_v1_has_it(make: Callable[[dict[str, Any]], ContainerCgroup]) -> None:
    if V2:
        pytest.skip("v2 does not count by CPU")
    cgroup = ContainerCgroup(f"{PARENT}/every", every=True)
    cgroup.create({})
    try:
        with running(
            cgroup, sys.executable, "-c", "sum(range(3000000)); print(flush=True); input()"
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            cpu = cgroup.stats().cpu
        assert cpu is not None
        assert cpu.usage_ns is not None
        assert 0 < cpu.usage_ns <= sum(cpu.per_cpu)
        assert len(cpu.per_cpu) == len(cpu.per_cpu_user) == os.cpu_count()
    finally:
        cgroup.kill()
        cgroup.remove()


def test_oom_kill_is_told(make: Callable[[dict[str, Any]], ContainerCgroup]) -> None:
    cgroup = make({"memory": {"limit": 32 * MIB, "swap": 32 * MIB}})
    with cgroup.watch_oom() as watch:
        assert watch.poll() == 0
        for count in (1, 2):
            with running(cgroup, sys.executable, "-c", "bytearray(b'x' * (128 << 20))") as process:
                ready, _, _ = select.select([watch], [], [], 60)
                assert ready == [watch]
                killed = watch.poll(60.0)
                assert process.wait(60) == -signal.SIGKILL
            assert killed == 1
            assert watch.counter() == count
        assert watch.poll() == 0
        assert not watch.ended


def test_limit_reached_without_the_oom_killer_is_told_on_v1(
    make: Callable[[dict[str, Any]], ContainerCgroup],
) -> None:
    if V2:
        pytest.skip("v2 cannot disable the OOM killer")
    cgroup = make({"memory": {"limit": 32 * MIB, "swap": 32 * MIB, "disableOOMKiller": True}})
    with (
        cgroup.watch_oom() as watch,
        running(cgroup, sys.executable, "-c", "bytearray(b'x' * (128 << 20))") as process,
    ):
        assert watch.poll(60.0) >= 1
        assert process.poll() is None
        assert watch.counter() == 0


def test_watch_ends_with_the_group_and_tells_of_no_kill(
    make: Callable[[dict[str, Any]], ContainerCgroup],
) -> None:
    cgroup = make({"memory": {"limit": 32 * MIB}})
    with cgroup.watch_oom() as watch:
        cgroup.remove()
        assert watch.poll(0.1) == 0
        assert watch.ended
        assert watch.counter() is None


@pytest.mark.skipif(V2, reason="a v2 group always has the file where the controller is enabled")
def test_watch_of_a_container_without_a_memory_group_is_unsupported(
    make: Callable[[dict[str, Any]], ContainerCgroup],
) -> None:
    with pytest.raises(Unsupported, match="memory"):
        make({}).watch_oom()


def test_update_with_an_impossible_value_touches_nothing(
    make: Callable[[dict[str, Any]], ContainerCgroup],
) -> None:
    cgroup = make({"pids": {"limit": 5}})
    with pytest.raises(InvalidArgument):
        cgroup.update({"pids": {"limit": 6}, "memory": {"limit": "much"}})
    assert value(cgroup, "pids.max") == "5"
