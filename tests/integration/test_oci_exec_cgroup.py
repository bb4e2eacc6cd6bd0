"""An exec with CPUs for before its cgroup: it goes into that by itself, on cgroup v1 as on v2."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rig.bundles import Rack

pytestmark = [pytest.mark.vm, pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")]


def cgroups_of(pid: int) -> set[str]:
    return set(Path(f"/proc/{pid}/cgroup").read_text().splitlines())


@pytest.mark.parametrize("key", ["initial", "final"])
def test_exec_with_cpus_is_in_the_containers_cgroup(rack: Rack, key: str) -> None:
    cpu = str(min(os.sched_getaffinity(0)))
    container = rack.create("sleep", "600")
    with container.execute("sleep", "600", execCPUAffinity={key: cpu}) as process:
        assert cgroups_of(process.pid) == cgroups_of(container.supervisor.pid)
        process.signal(9)
        process.wait(60)
