"""Groups on the machine's own cgroup trees, whichever version they are. Only groups of its own are touched."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from containerlib.bundles.config import make_config
from containerlib.bundles.users import ResolvedUser
from containerlib.errors import Conflict, StageError, Unsupported
from containerlib.runtime.cgroups.cgroup import ContainerCgroup, remove_if_empty
from containerlib.runtime.cgroups.layout import Layout
from containerlib.spec.image import ImageConfig
from containerlib.spec.options import ContainerOptions, Limits

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes cgroups")

PARENT = f"/containerlib-test-{os.getpid()}"
MIB = 1 << 20
# the process joins by itself, as a container's first process does, and then becomes what is asked for
JOIN = 'for file; do [ "$file" = -- ] && break; echo 0 > "$file" || exit 99; shift; done; shift; exec "$@"'


@pytest.fixture
def cgroup() -> Iterator[ContainerCgroup]:
    layout = Layout.host()
    if layout.version == "none":
        pytest.skip("no cgroup tree is mounted")
    cgroup = ContainerCgroup(f"{PARENT}/{os.urandom(4).hex()}", layout)
    yield cgroup
    cgroup.kill()
    cgroup.remove()
    remove_if_empty(PARENT, layout)


def resources(**limits: Any) -> dict[str, Any]:
    spec = make_config(
        ImageConfig(cmd=("sh",)),
        ContainerOptions(limits=Limits(**limits)),
        user=ResolvedUser(),
        extra_mounts=[],
        cgroups_path="/x",
        container_id="0" * 64,
    )
    return spec["linux"]["resources"]


def create(cgroup: ContainerCgroup, **limits: Any) -> None:
    try:
        cgroup.create(resources(**limits))
    except Unsupported as error:
        pytest.skip(f"this machine's cgroups lack it: {error}")


def argv(cgroup: ContainerCgroup, *command: str) -> list[str]:
    return ["sh", "-c", JOIN, "sh", *cgroup.join_files, "--", *command]


def run(cgroup: ContainerCgroup, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv(cgroup, *command), capture_output=True, text=True, check=False, timeout=60)


@contextlib.contextmanager
def running(cgroup: ContainerCgroup, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(argv(cgroup, *command)) as process:
        try:
            deadline = time.monotonic() + 10
            while process.pid not in cgroup.pids() and time.monotonic() < deadline:
                time.sleep(0.001)
            yield process
        finally:
            process.kill()
            cgroup.kill()


def our_groups() -> set[str]:
    return {
        path for path, _, _ in os.walk("/sys/fs/cgroup") if PARENT in path
    }  # others come and go meanwhile


def test_harmless_devices_work_and_others_do_not(cgroup: ContainerCgroup) -> None:
    create(cgroup)
    assert run(cgroup, "sh", "-c", "head -c 9 /dev/zero /dev/urandom > /dev/null").returncode == 0
    refused = run(cgroup, "head", "-c", "1", "/dev/kmsg")
    assert refused.returncode != 0
    assert "Operation not permitted" in refused.stderr


def test_container_without_device_rules_opens_what_the_host_opens(cgroup: ContainerCgroup) -> None:
    cgroup.create({"devices": [{"allow": True, "access": "rwm"}]})
    code = "import os; os.close(os.open('/dev/kmsg', os.O_RDONLY | os.O_NONBLOCK))"
    assert run(cgroup, sys.executable, "-c", code).returncode == 0


def test_memory_limit_kills_and_is_counted(cgroup: ContainerCgroup) -> None:
    create(cgroup, memory_bytes=32 * MIB, swap_bytes=0)
    assert run(cgroup, "true").returncode == 0
    result = run(cgroup, sys.executable, "-c", "bytearray(b'x' * (128 << 20))")
    assert result.returncode == -signal.SIGKILL
    assert cgroup.oom_file is not None
    counts = dict(line.split() for line in Path(cgroup.oom_file).read_text().splitlines())
    assert counts["oom_kill"] == "1"


def test_pids_limit_stops_forks(cgroup: ContainerCgroup) -> None:
    create(cgroup, pids=3)
    result = run(cgroup, "sh", "-c", "sleep 0.1 & sleep 0.1 & sleep 0.1 & sleep 0.1 & wait")
    assert "fork" in result.stderr.lower()


def test_cpu_limit_slows_a_busy_process(cgroup: ContainerCgroup) -> None:
    create(cgroup, cpus=0.1)
    code = (
        "import time; used, end = time.process_time(), time.monotonic() + 1\n"
        "while time.monotonic() < end: pass\n"
        "print(time.process_time() - used)"
    )
    assert float(run(cgroup, sys.executable, "-c", code).stdout) < 0.5


def test_frozen_process_stands_still_and_goes_on(cgroup: ContainerCgroup, tmp_path: Path) -> None:
    create(cgroup)
    counter = tmp_path / "counter"
    counter.touch()
    with running(cgroup, "sh", "-c", f"while :; do echo x >> {counter}; sleep 0.001; done"):
        cgroup.freeze()
        assert cgroup.frozen
        size = counter.stat().st_size
        time.sleep(0.05)
        assert counter.stat().st_size == size
        cgroup.thaw()
        assert not cgroup.frozen
        deadline = time.monotonic() + 10
        while counter.stat().st_size == size and time.monotonic() < deadline:
            time.sleep(0.001)
        assert counter.stat().st_size > size
        cgroup.kill()


def test_kill_ends_every_process_even_frozen_ones(cgroup: ContainerCgroup) -> None:
    create(cgroup)
    with running(cgroup, "sh", "-c", "sleep 100 & sleep 100 & wait") as process:
        deadline = time.monotonic() + 10
        while len(cgroup.pids()) < 3 and time.monotonic() < deadline:
            time.sleep(0.001)
        assert len(cgroup.pids()) == 3
        cgroup.freeze()
        cgroup.kill()
        assert cgroup.pids() == ()
        assert process.wait(10) == -signal.SIGKILL


def test_kill_reaches_processes_in_groups_that_the_container_made_and_froze(cgroup: ContainerCgroup) -> None:
    create(cgroup)
    freezer = cgroup.hierarchies.get("freezer") or cgroup.v2_directory
    assert freezer is not None
    inner = Path(freezer, "inner")
    inner.mkdir()
    with running(cgroup, "sleep", "100") as process:
        (inner / "cgroup.procs").write_text(str(process.pid))
        name, value = ("cgroup.freeze", "1") if cgroup.v2_directory else ("freezer.state", "FROZEN")
        (inner / name).write_text(value)
        cgroup.kill()
        assert process.wait(10) == -signal.SIGKILL


@pytest.mark.vm
def test_processes_of_a_threaded_group_are_listed_and_killed(cgroup: ContainerCgroup) -> None:
    if not cgroup.v2_directory:
        pytest.skip("threaded groups are cgroup v2's")
    create(cgroup)
    inner = Path(cgroup.v2_directory, "inner")
    inner.mkdir()
    (inner / "cgroup.type").write_text("threaded")
    with running(cgroup, "sleep", "100") as process:
        (inner / "cgroup.threads").write_text(str(process.pid))
        assert cgroup.pids() == (process.pid,)
        cgroup.kill()
        assert process.wait(10) == -signal.SIGKILL


def test_group_is_removed_as_soon_as_its_process_is_reaped(cgroup: ContainerCgroup) -> None:
    create(cgroup)
    for _ in range(20):
        assert run(cgroup, "true").returncode == 0
    cgroup.remove()
    assert not [name for name in our_groups() if cgroup.path in name]


def test_group_in_use_is_not_removed(cgroup: ContainerCgroup) -> None:
    create(cgroup)
    with running(cgroup, "sleep", "100") as process:
        with pytest.raises(Conflict):
            cgroup.remove(timeout=0.05)
        process.kill()
        process.wait()
    cgroup.remove()


def test_refused_value_leaves_nothing(cgroup: ContainerCgroup) -> None:
    with pytest.raises((StageError, Unsupported)):
        cgroup.create({"cpu": {"quota": 1, "period": 1}})
    assert not [name for name in our_groups() if cgroup.path in name]
    create(cgroup)
