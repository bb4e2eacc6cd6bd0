"""The systemd cgroup driver against a real systemd: in the virtual machine, `tests/rig/vmrun --systemd`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("jeepney", reason="the extra containerlib[systemd] is not installed")

from containerlib.errors import AlreadyExists, NotFound, Unavailable
from containerlib.runtime.cgroups.cgroup import ContainerCgroup
from containerlib.runtime.cgroups.layout import Layout
from containerlib.runtime.cgroups.path import Place, resolve
from containerlib.runtime.cgroups.systemd import Manager, Scope
from rig.ordinary import as_user

pytestmark = [
    pytest.mark.privileged("CAP_SYS_ADMIN: makes cgroups"),
    pytest.mark.vm,
    pytest.mark.skipif(not Path("/run/systemd/system").is_dir(), reason="systemd is not this machine's init"),
]

MIB = 1 << 20
V2 = Layout.host().unified is not None
JOIN = 'for file; do [ "$file" = -- ] && break; echo 0 > "$file" || exit 99; shift; done; shift; exec "$@"'
DEVICES = [
    {"allow": False, "access": "rwm"},
    {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rw"},
]


def show(unit: str, *names: str) -> dict[str, str]:
    """What systemd itself says of the unit."""
    command = ["systemctl", "show", unit, *(f"--property={name}" for name in names)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return dict(line.split("=", 1) for line in done.stdout.splitlines())


@pytest.fixture
def place() -> Iterator[Place]:
    place = resolve(f"containerlib-test.slice:clib:{os.urandom(4).hex()}", "id", systemd=True)
    yield place
    cgroup = place.cgroup()
    cgroup.kill()
    cgroup.remove()


def start(cgroup: ContainerCgroup) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(["sh", "-c", JOIN, "sh", *cgroup.join_files, "--", "sleep", "1000"])
    deadline = time.monotonic() + 60
    while Path(f"/proc/{process.pid}/comm").read_text() != "sleep\n" and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process.pid in cgroup.pids()
    return process


def test_scope_is_made_limited_changed_and_gone_with_its_process(place: Place) -> None:
    assert place.scope is not None
    unit = place.scope.unit
    cgroup = place.cgroup({"org.systemd.property.TimeoutStopSec": "uint64 7"})
    limits: dict[str, Any] = {
        "cpu": {"shares": 2000, "quota": 25_500, "period": 100_000},
        "pids": {"limit": 50},
        "devices": DEVICES,
    }
    if V2:
        limits["memory"] = {"limit": 64 * MIB, "swap": 64 * MIB}
        limits["cpu"]["cpus"] = "0"
    cgroup.create(limits)
    (waiting,) = cgroup.pids()
    process = start(cgroup)
    cgroup.settle()
    assert cgroup.pids() == (process.pid,)
    assert not Path(f"/proc/{waiting}").exists()
    says = show(unit, "Slice", "Delegate", "MemoryMax", "CPUWeight", "CPUQuotaPerSecUSec", "TasksMax", "AllowedCPUs",
                "ControlGroup", "DefaultDependencies", "DevicePolicy", "ActiveState", "TimeoutStopUSec")  # fmt: skip
    assert says["TimeoutStopUSec"] == "7s"
    assert says["Slice"] == "containerlib-test.slice"
    assert says["ControlGroup"] == place.path == f"/containerlib.slice/containerlib-test.slice/{unit}"
    assert (says["Delegate"], says["DefaultDependencies"], says["ActiveState"]) == ("yes", "no", "active")
    if V2:
        assert (says["MemoryMax"], says["CPUWeight"], says["AllowedCPUs"]) == (str(64 * MIB), "170", "0")
    assert (says["TasksMax"], says["CPUQuotaPerSecUSec"], says["DevicePolicy"]) == ("50", "260ms", "strict")
    assert Path(cgroup.directories[0]).is_dir()

    cgroup.update({"pids": {"limit": 60}, "cpu": {"shares": 1024}})
    subprocess.run(["systemctl", "daemon-reload"], check=True, timeout=120)
    says = show(unit, "TasksMax", "CPUWeight", "CPUShares")
    assert (says["TasksMax"], says["CPUWeight" if V2 else "CPUShares"]) == ("60", "100" if V2 else "1024")
    (directory,) = (d for d in cgroup.directories if Path(d, "pids.max").exists())
    assert Path(directory, "pids.max").read_text().strip() == "60"
    assert cgroup.stats().pids is not None

    zero = {"allow": True, "type": "c", "major": 1, "minor": 5, "access": "r"}
    cgroup.update({"devices": [DEVICES[0], zero]}, devices_before=DEVICES)
    assert show(unit, "DeviceAllow")["DeviceAllow"] == "/dev/char/1:5 r"

    cgroup.freeze()
    assert cgroup.frozen
    cgroup.thaw()
    cgroup.kill()
    assert process.wait(60) == -signal.SIGKILL
    cgroup.remove()
    assert not Path(cgroup.v2_directory or directory).exists()
    with Manager() as manager, pytest.raises(NotFound):
        manager.group(unit)


def test_another_command_finds_the_scope_by_its_document(place: Place) -> None:
    cgroup = place.cgroup()
    cgroup.create({})
    process = start(cgroup)
    cgroup.settle()
    again = Place.of(place.document()).cgroup()
    assert again.pids() == (process.pid,)
    again.kill()
    process.wait(60)
    again.remove()


def test_name_that_is_taken_is_refused_and_its_owner_unharmed(place: Place) -> None:
    first = place.cgroup()
    first.create({})
    process = start(first)
    first.settle()
    with pytest.raises(AlreadyExists, match="clib-"):
        place.cgroup().create({})
    assert process.poll() is None
    assert first.pids() == (process.pid,)
    first.kill()
    process.wait(60)


def test_systemd_moves_a_process_into_the_scope(place: Place) -> None:
    assert place.scope is not None
    scope = Scope(place.scope)
    with subprocess.Popen(["sleep", "1000"]) as one, subprocess.Popen(["sleep", "1000"]) as two:
        try:
            scope.start({}, Layout.host(), pids=[one.pid])
            assert scope.group() == place.path
            scope.attach([two.pid])
            assert set(place.cgroup().pids()) == {one.pid, two.pid}
        finally:
            one.kill()
            two.kill()
    scope.stop()


def test_manager_says_its_version_and_its_group() -> None:
    with Manager() as manager:
        assert manager.version >= 200
        assert manager.control_group == ""


def test_bus_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="cgroupfs"):
        Manager(address="unix:path=/nowhere/bus", timeout=5.0).version  # noqa: B018


USER = """
import json, os, sys
from containerlib.runtime.cgroups.path import resolve
from containerlib.runtime.cgroups.systemd import Manager, Scope
with Manager(user=True) as manager:
    place = resolve(None, "web", systemd=True, user=True, manager_group=manager.control_group)
scope = Scope(place.scope)
pid = os.posix_spawn("/bin/sleep", ["sleep", "1000"], os.environ)
try:
    scope.start({"pids": {"limit": 33}}, place.layout, pids=[pid])
    print(scope.group() == place.path, open(f"/sys/fs/cgroup{place.path}/pids.max").read().strip())
    print(os.access(f"/sys/fs/cgroup{place.path}", os.W_OK), place.cgroup().pids() == (pid,))
finally:
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    scope.stop()
"""


@pytest.mark.skipif(not V2, reason="cgroup v1 cannot be delegated to an ordinary user")
def test_user_manager_makes_a_scope_for_an_ordinary_user() -> None:
    """systemd's own user instance, on the bus that it has in the user's runtime directory."""
    uid = 65_534
    if subprocess.run(["systemctl", "start", f"user@{uid}.service"], check=False, timeout=120).returncode:
        pytest.skip(
            "this machine starts no user manager (systemd-logind, pam_systemd or dbus.socket are missing)"
        )
    try:
        deadline = time.monotonic() + 60
        while not Path(f"/run/user/{uid}/bus").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        if not Path(f"/run/user/{uid}/bus").exists():
            pytest.skip("the user manager has no bus (dbus-user-session)")
        done = subprocess.run(
            as_user(uid, sys.executable, "-c", USER),
            env={**os.environ, "XDG_RUNTIME_DIR": f"/run/user/{uid}"},
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )
        assert done.stdout.split() == ["True", "33", "True", "True"], done.stderr
    finally:
        subprocess.run(["systemctl", "stop", f"user@{uid}.service"], check=False, timeout=120)
