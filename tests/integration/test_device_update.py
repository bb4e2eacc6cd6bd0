"""Other device rules for processes at work, on the kernel's own controllers: v1's lists and v2's eBPF programs."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from containerlib.runtime.cgroups.cgroup import ContainerCgroup
from containerlib.runtime.cgroups.device_filter import device_filter
from containerlib.runtime.cgroups.layout import Layout
from containerlib.runtime.cgroups.path import ScopeName
from containerlib.runtime.cgroups.systemd import Scope
from rig.bpf import attach_foreign
from rig.groups import maker

pytestmark = [pytest.mark.privileged("CAP_SYS_ADMIN: makes cgroups"), pytest.mark.vm]

PARENT = f"/containerlib-test-{os.getpid()}"
HOST = Layout.host()
DENY_ALL = {"allow": False, "access": "rwm"}
ALLOW_ALL = {"allow": True, "access": "rwm"}
NULL, ZERO, FULL, RANDOM = ({"allow": True, "type": "c", "major": 1, "minor": n} for n in (3, 5, 7, 8))
JOIN = 'for file; do [ "$file" = -- ] && break; echo 0 > "$file" || exit 99; shift; done; shift; exec "$@"'
READ = "for name in null zero full random; do head -c1 /dev/$name >&2 && echo $name; done"


@pytest.fixture(params=["v1", "v2"])
def make(request: pytest.FixtureRequest) -> Iterator[Callable[..., ContainerCgroup]]:
    """On a hybrid machine both are there: a v2 group's programs hold whichever controllers are v1's."""
    layout = HOST if (request.param == "v2") == bool(HOST.unified) else Layout({}, HOST.v2)
    if layout is not HOST and (request.param == "v1" or not HOST.v2):
        pytest.skip(f"no cgroup {request.param} is mounted")
    if request.param == "v1" and "devices" not in HOST.v1:
        pytest.skip("no devices controller is mounted")
    with maker(PARENT, layout) as make:
        yield lambda rules, **words: make({"devices": rules}, layout=layout, **words)


def run(cgroup: ContainerCgroup, *command: str) -> subprocess.Popen[str]:
    argv = ["sh", "-c", JOIN, "sh", *cgroup.join_files, "--", *command]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def readable(cgroup: ContainerCgroup) -> list[str]:
    return run(cgroup, "sh", "-c", READ).communicate(timeout=60)[0].split()


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([DENY_ALL, NULL, ZERO], [DENY_ALL, NULL, FULL], ["null", "full"]),
        ([DENY_ALL, NULL], [ALLOW_ALL], ["null", "zero", "full", "random"]),
        ([ALLOW_ALL], [DENY_ALL, NULL, RANDOM], ["null", "random"]),
        ([ALLOW_ALL], [ALLOW_ALL, {**ZERO, "allow": False}], ["null", "full", "random"]),
        ([ALLOW_ALL, {**ZERO, "allow": False}], [ALLOW_ALL], ["null", "zero", "full", "random"]),
    ],
)
def test_devices_are_those_of_the_update(
    make: Callable[..., ContainerCgroup],
    before: list[Mapping[str, Any]],
    after: list[Mapping[str, Any]],
    expected: list[str],
) -> None:
    cgroup = make(before)
    cgroup.update({"devices": after}, devices_before=before)
    assert readable(cgroup) == expected


class Refusing(Scope):
    """systemd, which makes the group and takes no update."""

    def start(self, *_: Any, **__: Any) -> None:
        pass

    def stop(self) -> None:
        pass

    def set(self, *_: Any) -> None:
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ([DENY_ALL, NULL, ZERO], ["null", "zero"]),
        ([ALLOW_ALL], ["null", "zero", "full", "random"]),
        ([ALLOW_ALL, {**ZERO, "allow": False}], ["null", "full", "random"]),
    ],
)
def test_devices_are_those_of_before_where_the_update_fails(
    make: Callable[..., ContainerCgroup], before: list[Mapping[str, Any]], expected: list[str]
) -> None:
    cgroup = make(before, scope=Refusing(ScopeName("x.scope", "x.slice")))
    with pytest.raises(KeyboardInterrupt):
        cgroup.update({"devices": [DENY_ALL, NULL]}, devices_before=before)
    assert readable(cgroup) == expected


@pytest.mark.parametrize("others", [[DENY_ALL, NULL, ZERO], [ALLOW_ALL]])
def test_device_that_stays_allowed_is_never_refused(
    make: Callable[..., ContainerCgroup], others: list[Mapping[str, Any]]
) -> None:
    """v1 denies everything on the way between a list and everything: nobody runs then."""
    rules: list[Mapping[str, Any]] = [DENY_ALL, NULL]
    cgroup = make(rules)
    script = "while :; do true </dev/null || { echo refused; exit; }; done"
    with run(cgroup, "sh", "-c", script) as process:
        deadline = time.monotonic() + 2.0
        while time.monotonic() < deadline:
            cgroup.update({"devices": others}, devices_before=rules)
            cgroup.update({"devices": rules}, devices_before=others)
        still = process.poll() is None
        process.kill()
        assert process.communicate()[0] == ""
        assert still
    assert readable(cgroup) == ["null"]


def test_update_of_a_frozen_group_leaves_it_frozen(make: Callable[..., ContainerCgroup]) -> None:
    cgroup = make([ALLOW_ALL])
    with run(cgroup, "sleep", "100") as process:
        while process.pid not in cgroup.pids():
            time.sleep(0.001)
        cgroup.freeze()
        cgroup.update({"devices": [DENY_ALL, NULL]})
        assert cgroup.frozen
        cgroup.thaw()
        process.kill()
    assert readable(cgroup) == ["null"]


def test_update_to_what_there_is_is_fine_where_the_container_has_groups_of_its_own(
    make: Callable[..., ContainerCgroup],
) -> None:
    """v1 refuses `a` to a group that has others below."""
    cgroup = make([ALLOW_ALL])
    (directory,) = (d for d in cgroup.directories if "freezer" not in d)
    below = Path(directory, "below")
    below.mkdir()
    cgroup.update({"devices": [ALLOW_ALL]})
    below.rmdir()
    assert len(readable(cgroup)) == 4


def test_program_of_others_on_the_same_group_stays(make: Callable[..., ContainerCgroup]) -> None:
    cgroup = make([DENY_ALL, NULL, ZERO])
    if cgroup.v2_directory is None:
        pytest.skip("v1 has no programs")
    attach_foreign(cgroup.v2_directory, device_filter([ALLOW_ALL, {**ZERO, "allow": False}]))
    cgroup.update({"devices": [DENY_ALL, NULL, ZERO, FULL]})
    assert readable(cgroup) == ["null", "full"]
