"""CDI specifications: which counts, what it says, and what is said where there is none."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from containerlib.bundles.cdi import find, find_gpus
from containerlib.bundles.cdi_edits import edited
from containerlib.errors import InvalidArgument, NotFound, Unsupported
from containerlib.spec.runtime import Device, Spec

NODE: Device = {
    "path": "/dev/x",
    "type": "c",
    "major": 10,
    "minor": 229,
    "fileMode": 0o660,
    "uid": 0,
    "gid": 7,
}


def document(*names: str, kind: str = "vendor.com/gpu", **more: Any) -> dict[str, Any]:
    devices = [{"name": name, "containerEdits": {"env": [f"GPU={name}"]}} for name in names]
    return {"cdiVersion": "0.6.0", "kind": kind, "devices": devices, **more}


def write(directory: Path, name: str, value: object) -> str:
    directory.mkdir(exist_ok=True)
    (directory / name).write_text(value if isinstance(value, str) else json.dumps(value))
    return str(directory)


def spec(**user: Any) -> Spec:
    return {
        "process": {"args": ["x"], "env": ["A=1"], "user": {"uid": 0, "gid": 0, **user}},  # type: ignore[typeddict-item]
        "mounts": [{"destination": "/proc"}],
        "linux": {"resources": {"devices": [{"allow": False}]}},
    }


def test_device_has_its_own_edits_and_those_of_its_file_once(tmp_path: Path) -> None:
    common = {"mounts": [{"hostPath": "/a", "containerPath": "/b"}]}
    place = write(tmp_path, "a.json", document("0", "1", containerEdits=common))
    edits = find(("vendor.com/gpu=1", "vendor.com/gpu=0"), (place,))
    assert edits == [common, {"env": ["GPU=1"]}, {"env": ["GPU=0"]}]


@pytest.mark.parametrize("devices", [[], None])
def test_specification_without_devices_is_in_nobodys_way(tmp_path: Path, devices: object) -> None:
    write(tmp_path, "a.json", {**document(), "devices": devices})
    place = write(tmp_path, "b.json", document("0", kind="vendor.com/nic"))
    assert {"env": ["GPU=0"]} in find(("vendor.com/nic=0",), (place,))


def test_device_of_the_later_directory_counts(tmp_path: Path) -> None:
    first = write(tmp_path / "first", "a.json", document("0"))
    second = write(tmp_path / "second", "a.json", document("0", containerEdits={"env": ["LATER=1"]}))
    assert {"env": ["LATER=1"]} in find(("vendor.com/gpu=0",), (first, second))


def test_device_of_two_files_of_one_directory_is_nobodys(tmp_path: Path) -> None:
    write(tmp_path, "a.json", document("0"))
    place = write(tmp_path, "b.json", document("0", "1"))
    with pytest.raises(InvalidArgument, match=r"a\.json and .*b\.json"):
        find(("vendor.com/gpu=0",), (place,))
    assert find(("vendor.com/gpu=1",), (place,))


def test_device_that_is_unknown_says_where_it_was_sought(tmp_path: Path) -> None:
    write(tmp_path / "b", "a.json", document("eth0", kind="vendor.com/net"))
    place, none = write(tmp_path / "a", "a.json", document("0")), str(tmp_path / "none")
    with pytest.raises(NotFound) as caught:
        find(("vendor.com/gpu=5",), (str(tmp_path / "b"), place, none))
    assert f"{place} (1 files), {none} (nothing there)" in str(caught.value)
    assert str(caught.value).endswith("; known of vendor.com/gpu: vendor.com/gpu=0")


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("{", InvalidArgument),
        ([], InvalidArgument),
        (document("0", kind="gpu"), InvalidArgument),
        (document("0", kind=5), InvalidArgument),
        (document("0", devices=[{}]), InvalidArgument),
        (document("0", devices=["0"]), InvalidArgument),
        (document("0", devices={"name": "0"}), InvalidArgument),
        (document("0", containerEdits=["x"]), InvalidArgument),
        (document("0", cdiVersion="2.0.0"), Unsupported),
    ],
)
def test_file_that_is_no_specification_is_named(tmp_path: Path, value: object, kind: type[Exception]) -> None:
    place = write(tmp_path, "a.json", value)
    with pytest.raises(kind, match=r"a\.json"):
        find(("vendor.com/gpu=0",), (place,))


def test_file_of_another_suffix_is_no_specification(tmp_path: Path) -> None:
    write(tmp_path, "README", "{")
    place = write(tmp_path, "a.json", document("0"))
    assert find(("vendor.com/gpu=0",), (place,))


def test_device_of_a_kind_that_nobody_describes_says_so(tmp_path: Path) -> None:
    place = write(tmp_path, "b.json", document("eth0", kind="vendor.com/net"))
    with pytest.raises(NotFound, match=r"known of vendor\.com/gpu: none$"):
        find(("vendor.com/gpu=0",), (place,))


def test_files_of_who_asks_for_nothing_are_not_read(tmp_path: Path) -> None:
    assert find((), (write(tmp_path, "a.json", "{"),)) == []


def test_device_of_three_files_names_them_all(tmp_path: Path) -> None:
    for name in ("a.json", "b.json", "c.json"):
        place = write(tmp_path, name, document("0"))
    with pytest.raises(InvalidArgument, match=r"a\.json and .*b\.json and .*c\.json"):
        find(("vendor.com/gpu=0",), (place,))


def test_yaml_where_nobody_can_read_it_is_passed_over_and_named(tmp_path: Path) -> None:
    """In a Python of its own, which has no PyYAML."""
    write(tmp_path, "b.json", document("0", "1", kind="nvidia.com/gpu"))
    place = write(tmp_path, "a.yaml", "kind: vendor.com/gpu")
    code = f"""
import sys
sys.modules["yaml"] = None
from containerlib.bundles.cdi import find, find_gpus
print(len(find(("nvidia.com/gpu=1",), ({place!r},))))
for ask in (lambda: find(("vendor.com/gpu=0",), ({place!r},)), lambda: find_gpus(3, ({place!r},))):
    try:
        ask()
    except Exception as error:
        print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found, device, gpus = done.stdout.splitlines()
    assert found == "2"
    assert device.startswith("Unsupported ")
    assert f"{place}/a.yaml" in device
    assert "containerlib[cdi]" in device
    assert gpus.startswith("NotFound 3 GPUs were asked for, and there are 2")
    assert f"without PyYAML not at {place}/a.yaml" in gpus


def test_yaml_is_read_as_json_is(tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    text = """
cdiVersion: "1.0.0"
kind: vendor.com/gpu
devices:
- name: "0"
  containerEdits:
    env: [A=b]
"""
    assert find(("vendor.com/gpu=0",), (write(tmp_path, "a.yaml", text),))[1] == {"env": ["A=b"]}


def test_gpus_are_the_first_by_number(tmp_path: Path) -> None:
    place = write(tmp_path, "a.json", document("10", "all", "9", "0", "GPU-ab", kind="nvidia.com/gpu"))
    assert find_gpus(2, (place,)) == ("nvidia.com/gpu=0", "nvidia.com/gpu=9")
    assert len(find_gpus(3, (place,))) == 3
    assert find_gpus(-1, (place,)) == ("nvidia.com/gpu=all",)
    with pytest.raises(NotFound, match="there are 3") as caught:
        find_gpus(4, (place,))
    assert "PyYAML" not in str(caught.value)


def test_edits_of_the_process_replace_variables_and_add_groups() -> None:
    made = edited(spec(additionalGids=[5]), [{"env": ["A=2", "B=x=y"], "additionalGids": [5, 6, 0]}])
    assert made["process"]["env"] == ["A=2", "B=x=y"]
    assert made["process"]["user"]["additionalGids"] == [5, 6]


def test_edits_of_devices_take_from_the_host_what_they_leave_open() -> None:
    nodes = [
        {"path": "/dev/y", "hostPath": "/dev/x", "fileMode": 0o666},
        {**NODE, "permissions": "r", "uid": 3},
    ]
    made = edited(spec(), [{"deviceNodes": nodes}], look={"/dev/x": NODE}.get)
    assert made["linux"]["devices"] == [{**NODE, "path": "/dev/y", "fileMode": 0o666}, {**NODE, "uid": 3}]
    rule = {"allow": True, "type": "c", "major": 10, "minor": 229}
    assert made["linux"]["resources"]["devices"] == [
        {"allow": False},
        {**rule, "access": "rwm"},
        {**rule, "access": "r"},
    ]


def test_edits_of_a_device_give_it_to_a_user_that_is_not_root() -> None:
    made = edited(spec(uid=1000, gid=1001), [{"deviceNodes": [{"path": "/dev/x"}]}], look=lambda _: NODE)
    assert made["linux"]["devices"] == [{**NODE, "uid": 1000, "gid": 1001}]


def test_edits_of_a_device_without_a_node_name_it() -> None:
    with pytest.raises(NotFound, match="/dev/x"):
        edited(spec(), [{"deviceNodes": [{"path": "/dev/x"}]}], look=lambda _: None)


def test_edits_of_mounts_hooks_and_the_rest_are_the_specs() -> None:
    made = edited(
        spec(),
        [
            {
                "mounts": [{"hostPath": "/a", "containerPath": "/b", "options": ["ro"]}],
                "hooks": [{"hookName": "createContainer", "path": "/hook", "args": ["hook", "x"]}],
                "intelRdt": {"closID": "c", "enableCMT": True},
                "netDevices": [{"hostInterfaceName": "eth9", "name": "eth0"}],
            }
        ],
    )
    assert made["mounts"][-1] == {
        "destination": "/b",
        "source": "/a",
        "type": "bind",
        "options": ["ro", "rbind"],
    }
    assert made["hooks"] == {"createContainer": [{"path": "/hook", "args": ["hook", "x"]}]}
    assert made["linux"]["intelRdt"] == {"closID": "c", "enableMonitoring": True}
    assert made["linux"]["netDevices"] == {"eth9": {"name": "eth0"}}


@pytest.mark.parametrize(
    "edit", [{"mounts": [{}]}, {"hooks": [{"hookName": "whenever"}]}, {"env": 5}, {"deviceNodes": ["x"]}]
)
def test_edits_that_are_none_are_refused(edit: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        edited(spec(), [edit])
    assert caught.value.field == "device"


def test_edits_leave_the_first_specification_as_it_was() -> None:
    first = spec()
    before = json.dumps(first)
    edited(
        first,
        [{"env": ["A=2"], "deviceNodes": [{**NODE}], "mounts": [{"hostPath": "/a", "containerPath": "/b"}]}],
    )
    assert json.dumps(first) == before
