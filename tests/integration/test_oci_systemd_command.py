"""The command with groups that systemd makes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rig.bundles import until
from rig.oci import Bundle, Command

pytest.importorskip("jeepney", reason="the extra containerlib[systemd] is not installed")
pytestmark = [
    pytest.mark.privileged("CAP_SYS_ADMIN: makes containers"),
    pytest.mark.vm,
    pytest.mark.skipif(not Path("/run/systemd/system").is_dir(), reason="needs systemd as the first process"),
]


def test_life_in_a_scope_of_a_slice(oci: Command, bundle: Bundle) -> None:
    def in_a_slice(spec: dict[str, Any]) -> None:
        spec["linux"]["cgroupsPath"] = "containerlibtest.slice:containerlib:c1"
        spec["linux"]["resources"]["pids"] = {"limit": 30}

    made = bundle("sleep", "1000", change=in_a_slice)
    oci.silently("--systemd-cgroup", "create", "--bundle", made, "c1").ok()
    oci("start", "c1").ok()
    scope = "/containerlibtest.slice/containerlib-c1.scope"
    assert oci("exec", "c1", "cat", "/proc/self/cgroup").text.strip().endswith(f":{scope}")
    group = next(path for path in Path("/sys/fs/cgroup").glob(f"**{scope}") if (path / "pids.max").exists())
    assert (group / "pids.max").read_text() == "30\n"
    oci("update", "--pids-limit", "22", "c1").ok()
    assert (group / "pids.max").read_text() == "22\n"
    oci("pause", "c1").ok()
    assert oci.state("c1")["status"] == "paused"
    oci("resume", "c1").ok()
    oci("kill", "c1", "KILL").ok()
    until(lambda: json.loads(oci("state", "c1").text)["status"] == "stopped", 60)
    oci("delete", "c1").ok()
    assert not group.exists()


@pytest.mark.parametrize("path", ["/not/of/this/form", "a:b", "a.slice:b:"])
def test_path_that_is_no_scope_is_refused(oci: Command, bundle: Bundle, path: str) -> None:
    made = bundle("true", change=lambda spec: spec["linux"].update(cgroupsPath=path))
    answer = oci.silently("--systemd-cgroup", "create", "--bundle", made, "c1")
    assert (answer.status, "linux.cgroupsPath" in answer.message) == (1, True)
