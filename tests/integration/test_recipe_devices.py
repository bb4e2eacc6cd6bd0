"""Devices that a container is given, by path and by CDI."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import containerlib as cl

pytestmark = [
    pytest.mark.privileged("CAP_SYS_ADMIN: makes containers"),
    pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="no /dev/fuse"),
]

FUSE = "/dev/fuse"
OPEN = ("sh", "-c", "exec 3<$0 && echo read; exec 3>$0 && echo written")


def test_device_that_is_given_may_be_used(box: cl.ContainerRecipe) -> None:
    refused = box.run("sh", "-c", "mknod /x c 10 229; exec 3</x", check=False)
    assert b"Operation not permitted" in refused.stderr
    assert box.device(FUSE, at="/dev/other").run(*OPEN, "/dev/other").text == "read\nwritten\n"


def test_device_that_is_given_to_be_read_is_not_written(box: cl.ContainerRecipe) -> None:
    done = box.device(FUSE, access="r").run(*OPEN, FUSE, check=False)
    assert done.text == "read\n"
    assert b"Operation not permitted" in done.stderr


def test_rule_lets_a_node_be_used_that_the_container_makes(box: cl.ContainerRecipe) -> None:
    recipe = box.device_cgroup_rule("c 10:229 r")
    assert recipe.run("sh", "-c", "mknod /x c 10 229; exec 3</x; echo read").text == "read\n"


def test_device_that_is_not_there_leaves_no_container(box: cl.ContainerRecipe) -> None:
    with pytest.raises(cl.NotFound, match="/dev/none"):
        box.device("/dev/none").run("true")
    assert box.engine.containers.list() == []


def test_cdi_device_is_what_its_specification_says(box: cl.ContainerRecipe, tmp_path: Path) -> None:
    (tmp_path / "driver").write_text("the driver")
    (tmp_path / "hook").write_text(f"#!/bin/sh\ncat > {tmp_path}/state\n")
    (tmp_path / "hook").chmod(0o755)
    edits = {
        "env": ["DEVICE=0"],
        "deviceNodes": [{"path": "/dev/log0", "hostPath": FUSE, "permissions": "r"}],
        "mounts": [
            {"hostPath": str(tmp_path / "driver"), "containerPath": "/lib/driver", "options": ["ro", "bind"]}
        ],
        "additionalGids": [4242],
        "hooks": [{"hookName": "createRuntime", "path": str(tmp_path / "hook")}],
    }
    document = {
        "cdiVersion": "1.0.0",
        "kind": "example.com/log",
        "devices": [{"name": "0", "containerEdits": edits}],
        "containerEdits": {"env": ["ALL=1"]},
    }
    (tmp_path / "cdi").mkdir()
    (tmp_path / "cdi" / "log.json").write_text(json.dumps(document))
    recipe = box.cdi(str(tmp_path / "cdi")).device("example.com/log=0")
    show = "echo $ALL $DEVICE; cat /lib/driver; echo; id -G; exec 3</dev/log0; echo read; touch /lib/driver"
    done = recipe.run("sh", "-c", show, check=False)
    assert done.text.splitlines() == ["1 0", "the driver", "0 4242", "read"]
    assert b"Read-only" in done.stderr
    assert json.loads((tmp_path / "state").read_text())["status"] == "creating"


def test_gpus_are_as_many_as_were_asked_for(box: cl.ContainerRecipe, tmp_path: Path) -> None:
    def gpu(name: str, *numbers: int) -> dict[str, object]:
        nodes = [{"path": f"/dev/nvidia{number}", "hostPath": "/dev/null"} for number in numbers]
        return {"name": name, "containerEdits": {"deviceNodes": nodes}}

    devices = [gpu("0", 0), gpu("1", 1), gpu("2", 2), gpu("all", 0, 1, 2)]
    document = {"cdiVersion": "0.5.0", "kind": "nvidia.com/gpu", "devices": devices}
    (tmp_path / "nvidia.json").write_text(json.dumps(document))
    recipe = box.cdi(str(tmp_path))
    show = ("sh", "-c", "ls /dev | grep nvidia")
    assert recipe.gpus(2).run(*show).text.split() == ["nvidia0", "nvidia1"]
    assert recipe.gpus("all").run(*show).text.split() == ["nvidia0", "nvidia1", "nvidia2"]


def test_cdi_device_that_nobody_describes_says_where_it_was_sought(
    box: cl.ContainerRecipe, tmp_path: Path
) -> None:
    with pytest.raises(cl.NotFound) as caught:
        box.cdi(str(tmp_path)).gpus(1).run("true")
    assert str(tmp_path) in str(caught.value)
    assert box.engine.containers.list() == []
