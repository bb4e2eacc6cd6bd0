"""Which driver a name is, what it says of itself, and what it refuses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from containerlib.errors import NotFound, Unsupported
from containerlib.runtime.drivers.bundle import FIRST, VARIABLES, First, adapted
from containerlib.runtime.drivers.driver import NativeDriver, find_driver
from containerlib.runtime.drivers.external import ExternalRuntime
from containerlib.runtime.drivers.refusals import Facts, refuse_config, refuse_process
from containerlib.spec.runtime import Process, Spec


class Said:
    """What a runtime answers; it counts how often it was asked."""

    def __init__(self, version: str, features: str = "") -> None:
        self.answers = {"--version": version, "features": features}
        self.asked: list[str] = []

    def __call__(self, argv: Sequence[str]) -> str:
        self.asked.append(argv[1])
        return self.answers[argv[1]]


def program(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_find_driver_native_is_our_own() -> None:
    assert isinstance(find_driver("native"), NativeDriver)


def test_find_driver_missing_tells_what_to_install() -> None:
    with pytest.raises(NotFound, match="'no-such-runtime' is not on PATH: apt-get install no-such-runtime"):
        find_driver("no-such-runtime")


def test_find_driver_missing_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=str(tmp_path / "runc")):
        find_driver(str(tmp_path / "runc"))


@pytest.mark.parametrize("does", ["echo hello", "exit 1", "kill -9 $$"])
def test_find_driver_that_is_no_runtime_unsupported(tmp_path: Path, does: str) -> None:
    path = program(tmp_path / "odd", does)
    with pytest.raises(Unsupported, match="odd is no OCI runtime"):
        find_driver(path)


def test_find_driver_by_path_asks_the_program(tmp_path: Path) -> None:
    path = program(tmp_path / "mine", 'test "$1" = --version && echo "mine version 1.2.3"')
    driver = find_driver(path)
    assert (driver.name, cast(ExternalRuntime, driver).facts) == (path, Facts("mine", (1, 2, 3), {}))


@pytest.mark.parametrize(
    ("text", "kind", "version"),
    [
        ("runc version 1.1.5+ds1\ncommit: 1.1.5\nspec: 1.0.2-dev\n", "runc", (1, 1, 5)),
        ("crun version 1.8.1\ncommit: f8a0\n", "crun", (1, 8, 1)),
        ("runsc version 0.0~20221219.0\nspec: 1.0.2-dev\n", "runsc", (0, 0)),
        ("runsc version release-20240212.0\n", "runsc", (20240212, 0)),
        ("youki version: 0.5.3\ncommit: x\n", "youki", (0, 5, 3)),
    ],
)
def test_external_version_is_read(text: str, kind: str, version: tuple[int, ...]) -> None:
    facts = ExternalRuntime("x", "/x", ask=Said(text, "unknown command features")).facts
    assert facts == Facts(kind, version, {})


def test_external_is_asked_once() -> None:
    said = Said("runc version 1.4.0\n", '{"linux": {"netDevices": {"enabled": true}}}')
    driver = ExternalRuntime("runc", "/runc", ask=said)
    for _ in range(3):
        assert driver.facts.features["linux"]
    assert said.asked == ["--version", "features"]


OLD_RUNC = Facts("runc", (1, 1, 5), {})
NEW_RUNC = Facts(
    "runc", (1, 4), {"linux": {"netDevices": {"enabled": True}, "memoryPolicy": {"modes": ["x"]}}}
)
RUNSC = Facts("runsc", (0, 0), {})


def config(**linux: Any) -> Spec:
    return cast(Spec, {"process": {"args": ["x"]}, "linux": linux})


@pytest.mark.parametrize(
    ("spec", "what"),
    [
        (config(timeOffsets={"boottime": {"secs": 1}}), "linux.timeOffsets"),
        (config(netDevices={"eth0": {}}), "linux.netDevices"),
        (config(memoryPolicy={"mode": "MPOL_BIND"}), "linux.memoryPolicy"),
        (cast(Spec, {"domainname": "d"}), "domainname"),
        (cast(Spec, {"mounts": [{"destination": "/a", "options": ["idmap"]}]}), r"mounts\[0\]: idmap"),
    ],
)
def test_refuse_config_old_runtime_leaves_nothing_out_in_silence(spec: Spec, what: str) -> None:
    with pytest.raises(Unsupported, match=f"the driver 'runc' cannot do {what}"):
        refuse_config(spec, OLD_RUNC, "runc")
    refuse_config(spec, NEW_RUNC, "runc")


def test_refuse_config_names_both_versions() -> None:
    with pytest.raises(Unsupported, match=r"runc has it from 1\.2 on, and this is 1\.1\.5"):
        refuse_config(cast(Spec, {"domainname": "d"}), OLD_RUNC, "runc")


@pytest.mark.parametrize(
    "linux",
    [
        {"devices": [{"path": "/dev/x"}]},
        {"sysctl": {"net.ipv4.ip_forward": "1"}},
        {"resources": {"pids": {"limit": 5}}},
    ],
)
def test_refuse_config_sandbox(linux: dict[str, Any]) -> None:
    with pytest.raises(Unsupported, match="the driver 'runsc' cannot do linux"):
        refuse_config(config(**linux), RUNSC, "runsc")
    refuse_config(config(**linux), OLD_RUNC, "runc")


def test_refuse_config_sandbox_that_would_leave_out_another_containers_namespace() -> None:
    spec = config(namespaces=[{"type": "pid"}, {"type": "ipc", "path": "/c/late/ipc"}])
    with pytest.raises(Unsupported, match="the driver 'runsc' cannot do a ipc namespace"):
        refuse_config(spec, RUNSC, "runsc")
    refuse_config(spec, OLD_RUNC, "runc")


def test_refuse_config_what_is_empty_is_not_asked_for() -> None:
    spec = config(devices=[], sysctl={"net.ipv4.ip_unprivileged_port_start": "0"}, resources={"pids": {}})
    refuse_config(spec, RUNSC, "runsc")


def test_refuse_process_scheduler() -> None:
    process = cast(Process, {"args": ["x"], "scheduler": {"policy": "SCHED_BATCH"}})
    with pytest.raises(Unsupported, match=r"'runc' cannot do process\.scheduler"):
        refuse_process(process, OLD_RUNC, "runc")
    refuse_process(process, NEW_RUNC, "runc")


def test_adapted_recursive_options_are_of_all_in_a_sandbox() -> None:
    spec = cast(
        Spec,
        {
            "root": {"path": "rootfs", "readonly": True},
            "process": {"args": ["x"], "cwd": "/"},
            "mounts": [
                {"destination": "/a", "options": ["rbind", "rro", "rprivate"]},
                {"destination": "/proc"},
            ],
        },
    )
    assert adapted(spec, "/c/rootfs", sandbox=False, first=None) is None
    other = adapted(spec, "/c/rootfs", sandbox=True, first=None)
    assert other is not None
    assert other["root"] == {"path": "/c/rootfs", "readonly": True}
    assert other["mounts"][0]["options"] == ["rbind", "ro", "rprivate"]
    assert spec["mounts"][0]["options"] == ["rbind", "rro", "rprivate"]
    assert adapted(other, "/c/rootfs", sandbox=True, first=None) is None


@pytest.mark.parametrize(
    ("first", "words", "sources"),
    [
        (First("/c/late/init", stays=True), ["init", ""], ["/c/late/init"]),
        (
            First("/c/late/init", stays=False, variables="/c/late/env"),
            ["exec", VARIABLES],
            ["/c/late/init", "/c/late/env"],
        ),
    ],
)
def test_adapted_first_program_is_bound_into_the_container_and_runs_its_own(
    first: First, words: list[str], sources: list[str]
) -> None:
    spec = cast(Spec, {"root": {"path": "rootfs"}, "process": {"args": ["redis", "-v"], "cwd": "/"}})
    other = adapted(spec, "/c/rootfs", sandbox=False, first=first)
    assert other is not None
    assert other["process"]["args"] == [FIRST, *words, "redis", "-v"]
    assert [mount["source"] for mount in other["mounts"]] == sources
    assert all("ro" in mount["options"] for mount in other["mounts"])
    assert spec["process"]["args"] == ["redis", "-v"]


def test_images_as_mounts_are_the_native_drivers_alone() -> None:
    driver = ExternalRuntime("runc", "/runc", ask=Said("runc version 1.2.0"))
    nothing: Any = object()
    with pytest.raises(Unsupported, match="image"):
        driver.create(
            "/b",
            directory="/b",
            root=nothing,
            cgroup=nothing,
            owned=True,
            spec=cast(Spec, {}),
            images=((),),  # type: ignore[arg-type]
        )
