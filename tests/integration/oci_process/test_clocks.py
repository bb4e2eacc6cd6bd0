"""Time namespaces, and all that a process can have in a user namespace."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from containerlib.errors import InvalidArgument, StageError
from containerlib.runtime.plan.capabilities import mask
from rig.bundles import Rack
from rig.process import capabilities, facts_of, sets_of, status_of, unfiltered

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

CHOWN = "CAP_CHOWN"

OTHER, FIFO, RR, BATCH, IDLE, DEADLINE = 0, 1, 2, 3, 5, 6
LOCAL_CPUS = sorted(os.sched_getaffinity(0))


HOUR = 3600


def with_clocks(offsets: dict[str, Any] | None, path: str = "") -> Callable[[dict[str, Any]], None]:
    def change(spec: dict[str, Any]) -> None:
        namespace = {"type": "time", "path": path} if path else {"type": "time"}
        spec["linux"]["namespaces"].append(namespace)
        if offsets is not None:
            spec["linux"]["timeOffsets"] = offsets

    return change


OFFSETS = {
    "boottime": {"secs": 100 * HOUR, "nanosecs": 7},
    "monotonic": {"secs": 50 * HOUR, "nanosecs": 500_000_000},
}


def clocks_of(text: str) -> tuple[int, int]:
    """Hours that the two clocks are ahead of this process's."""
    monotonic, boottime = map(int, facts_of(text)["clocks"])
    return (
        round((monotonic - time.clock_gettime(time.CLOCK_MONOTONIC)) / HOUR),
        round((boottime - time.clock_gettime(time.CLOCK_BOOTTIME)) / HOUR),
    )


def offsets_of(text: str) -> dict[str, list[str]]:
    return {line.split()[0]: line.split()[1:] for line in text.splitlines()}


def test_clocks_of_a_new_time_namespace_are_ahead(rack: Rack) -> None:
    container = rack.create("sleep", "60", change=with_clocks(OFFSETS))
    done = container.output("cat", "/proc/self/timens_offsets")
    assert offsets_of(done.text) == {
        "monotonic": [str(50 * HOUR), "500000000"],
        "boottime": [str(100 * HOUR), "7"],
    }
    assert clocks_of(container.output("probe").text) == (50, 100)
    assert clocks_of(rack.run("probe", change=with_clocks(OFFSETS)).text) == (50, 100)


def test_clocks_behind_the_hosts_are_possible_until_they_would_be_negative(rack: Rack) -> None:
    uptime = int(time.clock_gettime(time.CLOCK_BOOTTIME))
    done = rack.run("probe", change=with_clocks({"boottime": {"secs": -uptime + 5}}))
    assert 0 <= int(facts_of(done.text)["clocks"][1]) < 60
    with pytest.raises(StageError) as caught:
        rack.create("true", change=with_clocks({"boottime": {"secs": -10 * uptime - HOUR}}))
    assert (caught.value.stage, caught.value.errno) == ("time_offsets", errno.ERANGE)
    assert "negative" in str(caught.value)


def test_time_namespace_without_offsets_is_new_all_the_same(rack: Rack) -> None:
    container = rack.create("readlink", "/proc/self/ns/time", change=with_clocks(None))
    assert container.finish().text != str(Path("/proc/self/ns/time").readlink())


def in_user_namespace(spec: dict[str, Any]) -> None:
    linux = spec["linux"]
    linux.pop("seccomp")
    linux["sysctl"] = {}
    linux["namespaces"].append({"type": "user"})
    mappings = [{"containerID": 0, "hostID": 0, "size": 65536}]
    linux.update(uidMappings=mappings, gidMappings=mappings)


def test_process_in_a_user_namespace_has_all_of_it(rack: Rack) -> None:
    """What is written to files of its own in /proc, which are not its own there any more, and what needs privilege."""

    def change(spec: dict[str, Any]) -> None:
        in_user_namespace(spec)
        with_clocks(OFFSETS)(spec)
        spec["linux"]["memoryPolicy"] = {"mode": "MPOL_LOCAL"}
        spec["process"].update(
            oomScoreAdj=444,
            ioPriority={"class": "IOPRIO_CLASS_IDLE", "priority": 1},
            scheduler={"policy": "SCHED_BATCH", "nice": 4},
            user={"uid": 7, "gid": 8, "umask": 0o11, "additionalGids": [9, 10]},
            **capabilities((CHOWN,), (CHOWN,), (CHOWN,), (CHOWN,), (CHOWN,)),
        )

    container = rack.create("sleep", "60", change=change)
    first = facts_of(Path(f"/proc/{container.supervisor.pid}/timens_offsets").read_text())
    assert first["boottime"] == [str(100 * HOUR), "7"]
    facts = facts_of(container.output("probe").text)
    assert clocks_of(container.output("probe").text) == (50, 100)
    assert facts["scheduler"][:3] == [str(BATCH), "0", "4"]
    assert facts["io_priority"] == [str(3 << 13 | 1)]
    assert facts["memory_policy"][0] == "0x4"
    assert facts["umask"] == ["11"]
    text = Path(f"/proc/{container.supervisor.pid}/status").read_text()
    assert sets_of(text) == [mask([CHOWN])] * 5
    assert status_of(text)["Groups"] == "9 10"
    assert Path(f"/proc/{container.supervisor.pid}/oom_score_adj").read_text() == "444\n"


def test_real_time_in_a_user_namespace_is_refused_with_what_it_needs(rack: Rack) -> None:
    """The kernel wants the capability on the host, which the first process gave up for its own namespace."""

    def change(spec: dict[str, Any]) -> None:
        in_user_namespace(spec)
        spec["process"]["ioPriority"] = {"class": "IOPRIO_CLASS_RT", "priority": 1}

    with pytest.raises(StageError, match="CAP_SYS_NICE on the host") as caught:
        rack.create("true", change=change)
    assert (caught.value.stage, caught.value.errno) == ("io_priority", errno.EPERM)


def test_time_namespace_of_another_container_is_joined(rack: Rack) -> None:
    first = rack.create("sleep", "60", change=with_clocks(OFFSETS))
    path = f"/proc/{first.supervisor.pid}/ns/time"
    second = rack.create("sleep", "60", change=with_clocks(None, path))
    assert Path(f"/proc/{second.supervisor.pid}/ns/time").readlink() == Path(path).readlink()
    assert clocks_of(second.output("probe").text) == (50, 100)


def test_time_namespace_by_a_path_of_another_kind_is_refused(rack: Rack) -> None:
    with pytest.raises(StageError) as caught:
        rack.create("true", change=with_clocks(None, "/proc/self/ns/uts"))
    assert (caught.value.stage, caught.value.errno) == ("setns", errno.EINVAL)


def test_time_offsets_without_a_new_namespace_are_refused(rack: Rack) -> None:
    for change in (
        unfiltered(linux={"timeOffsets": OFFSETS}),
        with_clocks(OFFSETS, "/proc/self/ns/time"),
    ):
        with pytest.raises(InvalidArgument, match=r"linux\.timeOffsets"):
            rack.create("true", change=change)
