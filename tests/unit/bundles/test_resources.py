"""Limits as the runtime-spec's resources."""

from __future__ import annotations

from pathlib import Path

import pytest

from containerlib.bundles.resources import block_device, resources_of
from containerlib.errors import InvalidArgument, NotFound
from containerlib.spec.options import ContainerOptions, DeviceLimit, Limits
from containerlib.spec.runtime import Resources


def resources(limits: Limits) -> Resources:
    return resources_of(ContainerOptions(limits=limits), lambda path: (8, len(path)))


def test_resources_of_memory_count_swap_with_it() -> None:
    limits = Limits(100, 50, memory_reservation_bytes=60, swappiness=0, oom_kill_disable=True)
    assert resources(limits)["memory"] == {
        "limit": 100,
        "swap": 150,
        "reservation": 60,
        "swappiness": 0,
        "disableOOMKiller": True,
    }


def test_resources_of_unlimited_swap_is_minus_one() -> None:
    assert resources(Limits(memory_bytes=100, swap_bytes=-1))["memory"] == {"limit": 100, "swap": -1}


@pytest.mark.parametrize(
    "limits",
    [
        Limits(swap_bytes=1),
        Limits(memory_bytes=1, memory_reservation_bytes=2),
        Limits(cpus=1.0, cpu_quota=5000),
        Limits(cpus=1.0, cpu_period=5000),
        Limits(cpus=0.0),
    ],
)
def test_resources_that_contradict_each_other_refused(limits: Limits) -> None:
    with pytest.raises(InvalidArgument) as caught:
        resources(limits)
    assert caught.value.field == "limits"


def test_resources_of_a_reservation_need_no_limit_and_may_be_as_much() -> None:
    assert resources(Limits(memory_reservation_bytes=2))["memory"] == {"reservation": 2}
    limits = Limits(memory_bytes=2, memory_reservation_bytes=2)
    assert resources(limits)["memory"] == {"limit": 2, "swap": 4, "reservation": 2}


def test_resources_without_limits_are_devices_alone() -> None:
    assert resources(Limits()).keys() == {"devices"}
    everything = resources_of(ContainerOptions(privileged=True))["devices"]
    assert everything == [{"allow": True, "access": "rwm"}]
    first, *others = resources_of(ContainerOptions())["devices"]
    assert first == {"allow": False, "access": "rwm"}
    assert {"allow": True, "type": "b", "access": "m"} in others, "of any number"
    rule = ContainerOptions(device_rules=(("c", 10, 200, "rwm"),))
    assert resources_of(rule)["devices"][-1] == {
        "allow": True,
        "type": "c",
        "major": 10,
        "minor": 200,
        "access": "rwm",
    }


def test_resources_of_a_device_without_a_weight_have_none() -> None:
    block = resources(Limits(devices=(DeviceLimit("/dev/sda", read_bps=1),)))["blockIO"]
    assert block.keys() == {"throttleReadBpsDevice"}


def test_resources_of_processors_are_the_specs() -> None:
    limits = Limits(
        cpu_shares=512,
        cpu_quota=-1,
        cpu_period=50_000,
        cpu_rt_runtime=1,
        cpu_rt_period=2,
        cpuset="0",
        mems="0-1",
    )
    assert resources(limits)["cpu"] == {
        "shares": 512,
        "quota": -1,
        "period": 50_000,
        "realtimeRuntime": 1,
        "realtimePeriod": 2,
        "cpus": "0",
        "mems": "0-1",
    }


def test_resources_of_devices_are_by_number() -> None:
    device = DeviceLimit("/dev/sda", weight=100, read_bps=1, write_bps=2, read_iops=3, write_iops=4)
    number = {"major": 8, "minor": 8}
    assert resources(Limits(blkio_weight=10, devices=(device,)))["blockIO"] == {
        "weight": 10,
        "weightDevice": [{**number, "weight": 100}],
        "throttleReadBpsDevice": [{**number, "rate": 1}],
        "throttleWriteBpsDevice": [{**number, "rate": 2}],
        "throttleReadIOPSDevice": [{**number, "rate": 3}],
        "throttleWriteIOPSDevice": [{**number, "rate": 4}],
    }


def test_resources_of_pages_pids_and_files() -> None:
    found = resources(Limits(pids=3, hugepages=(("2MB", 5),), unified=(("memory.high", "1"),)))
    assert found["pids"] == {"limit": 3}
    assert found["hugepageLimits"] == [{"pageSize": "2MB", "limit": 5}]
    assert found["unified"] == {"memory.high": "1"}


def test_block_device_that_is_none_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="no block device"):
        block_device("/dev/null")
    with pytest.raises(NotFound, match="there is no device"):
        block_device(str(tmp_path / "none"))
