"""Published attacks on who stays with a container: on its memory, on what it keeps, and on its own life."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from containerlib.errors import StageError
from containerlib.runtime import Stdio, connect
from containerlib.spec.options import ContainerOptions, Limits
from rig.bundles import Bundled, Rack, shim_of, until
from rig.host import has_sanitizers

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

MIB = 1 << 20
LARGEST = (32 if has_sanitizers() else 2) * MIB
"""Of a supervisor, and with the sanitizers' own memory."""


def peak_of(pid: int) -> int:
    """The most memory that it ever had, in bytes."""
    (line,) = (s for s in Path(f"/proc/{pid}/status").read_text().splitlines() if s.startswith("VmHWM"))
    return int(line.split()[1]) << 10


def open_in(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def children() -> list[str]:
    return [
        child
        for task in Path("/proc/self/task").iterdir()
        for child in (task / "children").read_text().split()
    ]


@pytest.mark.parametrize(
    ("size", "filter_"),
    [(60_000_000, ""), (1_000_000, "| tr '\\0' '\\n'")],  # each line is a record in the log
    ids=["one line", "nothing but lines"],
)
def test_output_without_end_does_not_grow_the_supervisor(rack: Rack, size: int, filter_: str) -> None:
    """CVE-2022-31030, CVE-2022-1708: all that an exec wrote was kept in the memory of containerd and CRI-O."""
    reading, writing = os.pipe()
    script = f"head -c {size} /dev/zero {filter_}; exec sleep 60"
    container = rack.create("sh", "-c", script, stdio=Stdio(stdout=writing))
    os.close(writing)
    with open(reading, "rb", buffering=0) as stream:
        while size:
            size -= len(stream.read(MIB))
    assert peak_of(shim_of(container)) < LARGEST


@pytest.mark.skipif(has_sanitizers(), reason="with the sanitizers it takes its time")
def test_output_that_nobody_reads_does_not_grow_the_supervisor(rack: Rack) -> None:
    """CVE-2022-31030, CVE-2022-1708: and the program waits, as on a full pipe."""
    reading, writing = os.pipe()
    container = rack.create("head", "-c", "60000000", "/dev/zero", stdio=Stdio(stdout=writing))
    log = Path(container.directory, "log")
    until(lambda: log.stat().st_size > 60_000)  # a pipe, and what was read since
    assert container.supervisor.poll() is None
    assert peak_of(shim_of(container)) < LARGEST
    os.close(writing)
    os.close(reading)


def fail_to_execute(container: Bundled) -> None:
    with pytest.raises(StageError):
        container.execute("/no/such/program", terminal=(24, 80))


def attach(container: Bundled) -> None:
    reading, writing = os.pipe()
    supervisor = connect(container.directory)
    assert supervisor is not None
    supervisor.attach(stdin=True, stdout=writing, stderr=writing)
    supervisor.close()
    os.close(reading)
    os.close(writing)


@pytest.mark.parametrize("ask", [fail_to_execute, attach])
def test_what_is_asked_for_again_and_again_leaves_nothing(rack: Rack, ask: Callable[[Bundled], None]) -> None:
    """CVE-2022-23471, CVE-2025-64329: containerd kept something of every exec that failed, and of every attach."""
    container = rack.create("sleep", "60")
    shim = shim_of(container)

    def kept() -> tuple[int, int, int]:
        return open_in(os.getpid()), open_in(shim), len(children())

    ask(container)
    before = kept()
    for _ in range(30):
        ask(container)
    until(lambda: kept() <= before)
    assert peak_of(shim) < LARGEST


def test_container_that_runs_out_of_memory_does_not_take_its_supervisor_along(rack: Rack) -> None:
    """CVE-2019-14891: conmon was in the container's memory group, and whoever ended it was free of the limits."""
    options = ContainerOptions(limits=Limits(memory_bytes=16 * MIB))
    container = rack.create("sh", "-c", "sleep 0.2; exec tail /dev/zero", options=options)
    groups = Path(f"/proc/{shim_of(container)}/cgroup").read_text()
    assert container.spec["linux"]["cgroupsPath"] not in groups
    done = container.finish()
    assert (done.status.signal, done.status.oom_killed) == (9, True)
