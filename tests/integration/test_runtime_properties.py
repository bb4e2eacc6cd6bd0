"""Properties of config.json that no other test shows, each by what the container's program finds.

Spec: runtime-spec config.md, config-linux.md
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from containerlib.errors import Error
from rig.bundles import Rack
from rig.process import status_of

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

KILL, NET_RAW = 1 << 5, 1 << 13


def status_with(rack: Rack, change: Any) -> dict[str, str]:
    return status_of(rack.run("cat", "/proc/self/status", change=change).text)


def links(rack: Rack, paths: list[str], **words: Any) -> list[str]:
    return rack.run("sh", "-c", 'for path; do readlink "$path"; done', "sh", *paths, **words).text.split()


def namespaces(*kinds: str) -> list[dict[str, str]]:
    return [{"type": kind} for kind in kinds]


def test_domainname_is_the_containers(rack: Rack) -> None:
    def change(spec: dict[str, Any]) -> None:
        spec["domainname"] = "example.test"

    before = Path("/proc/sys/kernel/domainname").read_text()
    assert rack.run("cat", "/proc/sys/kernel/domainname", change=change).text == "example.test"
    assert Path("/proc/sys/kernel/domainname").read_text() == before


def test_rlimits_are_those_of_the_config(rack: Rack) -> None:
    def change(spec: dict[str, Any]) -> None:
        spec["process"]["rlimits"] = [
            {"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200},
            {"type": "RLIMIT_CORE", "soft": 0, "hard": 4096},
        ]

    limits = rack.run("cat", "/proc/self/limits", change=change).text
    found = {line[:26].strip(): line[26:].split()[:2] for line in limits.splitlines()}
    assert found["Max open files"] == ["100", "200"]
    assert found["Max core file size"] == ["0", "4096"]


def test_ambient_capability_reaches_the_program_of_another_user(rack: Rack) -> None:
    def change(spec: dict[str, Any]) -> None:
        process = spec["process"]
        process["user"] = {"uid": 1000, "gid": 1000}
        sets = ("bounding", "permitted", "effective", "inheritable", "ambient")
        process["capabilities"] = {name: ["CAP_KILL"] for name in sets}
        process["capabilities"]["bounding"] = ["CAP_KILL", "CAP_NET_RAW"]

    status = status_with(rack, change)
    assert [int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")] == [KILL] * 4
    assert int(status["CapBnd"], 16) == KILL | NET_RAW


@pytest.mark.parametrize("wanted", [True, False])
def test_no_new_privileges_is_set_where_it_is_asked_for(rack: Rack, wanted: bool) -> None:
    def change(spec: dict[str, Any]) -> None:
        spec["process"]["noNewPrivileges"] = wanted

    assert status_with(rack, change)["NoNewPrivs"] == str(int(wanted))


def test_oom_score_is_that_of_the_config(rack: Rack) -> None:
    def change(spec: dict[str, Any]) -> None:
        spec["process"]["oomScoreAdj"] = 321

    assert rack.run("cat", "/proc/self/oom_score_adj", change=change).text == "321"


def test_umask_is_that_of_the_config(rack: Rack) -> None:
    def change(spec: dict[str, Any]) -> None:
        spec["process"]["user"]["umask"] = 0o077

    assert status_with(rack, change)["Umask"] == "0077"


def test_devices_are_made_with_type_number_mode_and_owner(rack: Rack) -> None:
    def change(spec: dict[str, Any]) -> None:
        spec["linux"]["devices"] = [
            {"path": "/dev/c", "type": "c", "major": 1, "minor": 3, "fileMode": 0o640, "uid": 7, "gid": 8},
            {"path": "/dev/u", "type": "u", "major": 1, "minor": 5, "fileMode": 0o600},
            {"path": "/srv/b", "type": "b", "major": 7, "minor": 260, "fileMode": 0o60644},
            {"path": "/dev/p", "type": "p", "fileMode": 0o666, "uid": 9},
        ]

    # %f and %t:%T are hexadecimal
    done = rack.run("stat", "-c", "%f %t:%T %u:%g", "/dev/c", "/dev/u", "/srv/b", "/dev/p", change=change)
    assert done.text.splitlines() == ["21a0 1:3 7:8", "2180 1:5 0:0", "61a4 7:104 0:0", "11b6 0:0 9:0"]


def test_device_where_another_file_is_fails(rack: Rack) -> None:
    def change(spec: dict[str, Any]) -> None:
        spec["linux"]["devices"] = [{"path": "/etc", "type": "c", "major": 1, "minor": 3}]

    with pytest.raises(Error, match=r"/etc: EEXIST"):
        rack.run("true", change=change)


def test_device_that_is_there_already_stays(rack: Rack, tmp_path: Path) -> None:
    (tmp_path / "layer").mkdir()
    os.mknod(tmp_path / "layer/node", stat.S_IFCHR | 0o600, os.makedev(1, 3))

    def change(spec: dict[str, Any]) -> None:
        spec["linux"]["devices"] = [{"path": "/node", "type": "c", "major": 1, "minor": 3, "uid": 7}]

    done = rack.run("stat", "-c", "%t:%T %u", "/node", change=change, lowers=(tmp_path / "layer",))
    assert done.text == "1:3 7"


def test_namespaces_that_are_not_listed_are_the_callers(rack: Rack) -> None:
    def change(spec: dict[str, Any]) -> None:
        spec["linux"]["namespaces"] = namespaces("mount", "pid")
        spec["linux"]["sysctl"] = {}
        del spec["hostname"]
        spec["mounts"] = [
            mount for mount in spec["mounts"] if mount["type"] not in ("sysfs", "cgroup", "mqueue")
        ]

    paths = [f"/proc/self/ns/{name}" for name in ("net", "uts", "ipc")]
    assert links(rack, paths, change=change) == [str(Path(path).readlink()) for path in paths]


def test_namespace_by_a_path_of_another_type_fails(rack: Rack) -> None:
    def change(spec: dict[str, Any]) -> None:
        for namespace in spec["linux"]["namespaces"]:
            if namespace["type"] == "ipc":
                namespace["path"] = "/proc/self/ns/uts"

    with pytest.raises(Error, match=r"linux\.namespaces ipc"):
        rack.run("true", change=change)


def test_links_of_dev_lead_to_the_descriptors(rack: Rack) -> None:
    assert links(rack, ["/dev/fd", "/dev/stdin", "/dev/stdout", "/dev/stderr"]) == [
        "/proc/self/fd",
        "/proc/self/fd/0",
        "/proc/self/fd/1",
        "/proc/self/fd/2",
    ]
