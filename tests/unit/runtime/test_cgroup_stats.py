"""Statistics from files as kernels write them, and the JSON of runc."""

from __future__ import annotations

from pathlib import Path

import pytest

from containerlib.runtime.cgroups.stats import (
    BlockCount,
    BlockStats,
    CgroupStats,
    CpuSetStats,
    CpuStats,
    HugepageStats,
    MemoryAmount,
    MemoryStats,
    PidsStats,
    Pressure,
    RdmaStats,
    events_document,
)
from containerlib.runtime.cgroups.stats_read import cpu_numbers, pressure, v1_stats, v2_stats

PSI = "some avg10=1.50 avg60=0.25 avg300=0.01 total=1234\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=99\n"


def group(directory: Path, **files: str) -> str:
    directory.mkdir(exist_ok=True)
    for name, text in files.items():
        (directory / name.replace("__", ".")).write_text(text)
    return str(directory)


def test_v1_cpu_times_are_nanoseconds_in_all_and_by_cpu(tmp_path: Path) -> None:
    stats = v1_stats(
        {
            "cpu": group(
                tmp_path / "cpu", cpu__stat="nr_periods 5\nnr_throttled 2\nthrottled_time 900\nnr_bursts 1\n"
            ),
            "cpuacct": group(
                tmp_path / "cpuacct",
                cpuacct__usage="700\n",
                cpuacct__stat="user 3\nsystem 4\n",
                cpuacct__usage_percpu="300 400 \n",
                cpuacct__usage_all="cpu user system\n0 100 200\n1 300 100\n",
            ),
        }
    )
    assert stats.cpu == CpuStats(
        usage_ns=700,
        user_ns=30_000_000,
        system_ns=40_000_000,
        per_cpu=(300, 400),
        per_cpu_user=(100, 300),
        per_cpu_system=(200, 100),
        periods=5,
        throttled_periods=2,
        throttled_ns=900,
        burst_periods=1,
    )


def test_v1_memory_has_four_kinds_of_amounts(tmp_path: Path) -> None:
    files = {
        f"{prefix}__{name}": f"{value}\n"
        for value, prefix in enumerate(("memory", "memory__memsw", "memory__kmem", "memory__kmem__tcp"), 1)
        for name in ("usage_in_bytes", "max_usage_in_bytes", "failcnt")
    }
    files |= {
        "memory__limit_in_bytes": "4096\n",
        "memory__memsw__limit_in_bytes": "9223372036854771712\n",
        "memory__stat": "cache 10\nrss 20\n",
        "memory__oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
    }
    stats = v1_stats({"memory": group(tmp_path / "memory", **files)})
    assert stats.memory == MemoryStats(
        usage=MemoryAmount(1, 4096, 1, 1),
        cache=10,
        swap=MemoryAmount(2, None, 2, 2),
        kernel=MemoryAmount(3, None, 3, 3),
        kernel_tcp=MemoryAmount(4, None, 4, 4),
        stat={"cache": 10, "rss": 20},
        oom_kills=3,
    )


def test_v1_block_counts_come_from_the_scheduler_that_has_any(tmp_path: Path) -> None:
    directory = group(
        tmp_path / "blkio",
        blkio__bfq__io_serviced_recursive="Total 0\n",
        blkio__throttle__io_serviced_recursive="8:0 Read 4\n8:0 Total 4\nTotal 4\n",
        blkio__throttle__io_service_bytes_recursive="8:0 Read 4096\n253:1 Write 5\nTotal 4101\n",
    )
    stats = v1_stats({"blkio": directory})
    assert stats.block == BlockStats(
        bytes=(BlockCount(8, 0, "Read", 4096), BlockCount(253, 1, "Write", 5)),
        operations=(BlockCount(8, 0, "Read", 4), BlockCount(8, 0, "Total", 4)),
    )


def test_v1_other_controllers(tmp_path: Path) -> None:
    huge = {
        "hugetlb__2MB__limit_in_bytes": "1",
        "hugetlb__2MB__rsvd__limit_in_bytes": "1",
        "hugetlb__2MB__usage_in_bytes": "1",
        "hugetlb__2MB__rsvd__usage_in_bytes": "4",
        "hugetlb__2MB__rsvd__max_usage_in_bytes": "5",
        "hugetlb__2MB__rsvd__failcnt": "6",
        "hugetlb__1GB__limit_in_bytes": "1",
        "hugetlb__1GB__usage_in_bytes": "7",
        "hugetlb__1GB__max_usage_in_bytes": "8",
        "hugetlb__1GB__failcnt": "9",
    }
    stats = v1_stats(
        {
            "pids": group(tmp_path / "pids", pids__current="3\n", pids__max="max\n"),
            "hugetlb": group(tmp_path / "hugetlb", **huge),
            "rdma": group(
                tmp_path / "rdma",
                rdma__current="mlx5_0 hca_handle=2 hca_object=3\n",
                rdma__max="mlx5_0 hca_handle=max hca_object=9\n",
            ),
            "cpuset": group(
                tmp_path / "cpuset",
                cpuset__cpus="0-1,3\n",
                cpuset__mems="0\n",
                cpuset__sched_relax_domain_level="-1\n",
            ),
        }
    )
    assert stats.pids == PidsStats(3, None)
    assert stats.hugepages == {"2MB": HugepageStats(4, 5, 6), "1GB": HugepageStats(7, 8, 9)}
    assert stats.rdma == {"mlx5_0": RdmaStats(2, 3, None, 9)}
    assert stats.cpuset == CpuSetStats((0, 1, 3), (0,), {"sched_relax_domain_level": -1})


def test_v1_controller_without_a_group_is_none() -> None:
    assert v1_stats({}) == CgroupStats()


def test_v2_group_is_read_from_one_directory(tmp_path: Path) -> None:
    directory = group(
        tmp_path / "x",
        cgroup__controllers="cpuset cpu io memory hugetlb pids rdma",
        cpu__stat="usage_usec 7\nuser_usec 3\nsystem_usec 4\nnr_periods 5\nnr_throttled 2\nthrottled_usec 9\n"
        "burst_usec 1\n",
        cpu__pressure=PSI,
        cpuset__cpus__effective="0-2\n",
        cpuset__mems__effective="0\n",
        memory__current="100\n",
        memory__max="4096\n",
        memory__peak="200\n",
        memory__stat="file 10\nkernel 20\n",
        memory__events="low 0\nhigh 1\nmax 2\noom 3\noom_kill 4\n",
        memory__swap__current="50\n",
        memory__swap__max="1000\n",
        memory__swap__events="high 0\nmax 6\nfail 0\n",
        memory__pressure=PSI,
        io__stat="8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n",
        io__pressure=PSI,
        pids__current="3",
        pids__max="10",
        hugetlb__2MB__max="max",
        hugetlb__2MB__current="1",
        hugetlb__2MB__rsvd__max="max",
        hugetlb__2MB__rsvd__current="2",
        hugetlb__2MB__events="max 3\n",
        rdma__current="",
        rdma__max="",
    )
    psi = Pressure((1.5, 0.25, 0.01, 1234), (0.0, 0.0, 0.0, 99))
    assert v2_stats(directory) == CgroupStats(
        cpu=CpuStats(7000, 3000, 4000, (), (), (), 5, 2, 9000, 0, 1000, psi),
        cpuset=CpuSetStats((0, 1, 2), (0,)),
        memory=MemoryStats(
            usage=MemoryAmount(100, 4096, 200, 2),
            cache=10,
            swap=MemoryAmount(150, 5096, 0, 6),
            kernel=MemoryAmount(20),
            stat={"file": 10, "kernel": 20},
            oom_kills=4,
            events={"low": 0, "high": 1, "max": 2, "oom": 3, "oom_kill": 4},
            pressure=psi,
        ),
        pids=PidsStats(3, 10),
        block=BlockStats(
            bytes=(BlockCount(8, 0, "Read", 1), BlockCount(8, 0, "Write", 2), BlockCount(8, 0, "Discard", 5)),
            operations=(
                BlockCount(8, 0, "Read", 3),
                BlockCount(8, 0, "Write", 4),
                BlockCount(8, 0, "Discard", 6),
            ),
            pressure=psi,
        ),
        hugepages={"2MB": HugepageStats(2, 0, 3)},
        rdma={},
    )


def test_v2_controller_that_is_not_enabled_is_none(tmp_path: Path) -> None:
    stats = v2_stats(group(tmp_path / "x", cgroup__controllers="pids", pids__current="1", pids__max="max"))
    assert stats == CgroupStats(pids=PidsStats(1, None))


@pytest.mark.parametrize(
    ("text", "numbers"), [("0-2,5\n", (0, 1, 2, 5)), ("3", (3,)), ("\n", ()), ("0-1,4-5", (0, 1, 4, 5))]
)
def test_lists_of_numbers_are_read(text: str, numbers: tuple[int, ...]) -> None:
    assert cpu_numbers(text) == numbers


def test_pressure_that_the_kernel_does_not_measure_is_none() -> None:
    assert pressure("") is None
    assert pressure("some avg10=0.00 avg60=0.00 avg300=0.00 total=5\n") == Pressure((0.0, 0.0, 0.0, 5))


def test_events_have_runcs_words_and_leave_out_what_runc_leaves_out() -> None:
    stats = CgroupStats(
        cpu=CpuStats(7, 3, 4, (3, 4), (1, 2), (2, 2), 5, 2, 9, pressure=Pressure((1.0, 2.0, 3.0, 4))),
        cpuset=CpuSetStats((0, 1), (0,), {"sched_load_balance": 1}),
        memory=MemoryStats(
            usage=MemoryAmount(1, 2, 3, 4),
            cache=5,
            swap=MemoryAmount(6, None),
            stat={"rss": 7},
            events={"oom_kill": 1, "low": 0},
        ),
        pids=PidsStats(3, None),
        block=BlockStats(bytes=(BlockCount(8, 0, "Read", 9),)),
        hugepages={"2MB": HugepageStats(1, 0, 2)},
    )
    nothing = {"avg10": 0.0, "avg60": 0.0, "avg300": 0.0, "total": 0}
    assert events_document(stats) == {
        "cpu": {
            "usage": {
                "total": 7,
                "percpu": [3, 4],
                "percpu_kernel": [2, 2],
                "percpu_user": [1, 2],
                "kernel": 4,
                "user": 3,
            },
            "throttling": {"periods": 5, "throttledPeriods": 2, "throttledTime": 9},
            "psi": {"some": {"avg10": 1.0, "avg60": 2.0, "avg300": 3.0, "total": 4}, "full": nothing},
        },
        "cpuset": {
            "cpus": [0, 1],
            "cpu_exclusive": 0,
            "mems": [0],
            "mem_hardwall": 0,
            "mem_exclusive": 0,
            "memory_migrate": 0,
            "memory_spread_page": 0,
            "memory_spread_slab": 0,
            "memory_pressure": 0,
            "sched_load_balance": 1,
            "sched_relax_domain_level": 0,
        },
        "memory": {
            "cache": 5,
            "usage": {"limit": 2, "usage": 1, "max": 3, "failcnt": 4},
            "swap": {"limit": 2**64 - 1, "usage": 6, "failcnt": 0},
            "kernel": {"limit": 0, "failcnt": 0},
            "kernelTCP": {"limit": 0, "failcnt": 0},
            "raw": {"rss": 7},
            "event_count": {"oom_kill": 1},
        },
        "pids": {"current": 3},
        "blkio": {"ioServiceBytesRecursive": [{"major": 8, "op": "Read", "value": 9}]},
        "hugetlb": {"2MB": {"usage": 1, "failcnt": 2}},
        "intel_rdt": {},
        "network_interfaces": None,
    }


def test_events_of_nothing_are_whole() -> None:
    document = events_document(CgroupStats())
    assert document["cpu"] == {"usage": {"kernel": 0, "user": 0}, "throttling": {}}
    assert (document["pids"], document["blkio"], document["hugetlb"]) == ({}, {}, {})
