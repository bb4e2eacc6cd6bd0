"""Other limits for a container at work: by the command, and by the call that changes devices and classes too."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from containerlib.errors import InvalidArgument, StageError, Unsupported
from containerlib.runtime.containers.containers import Container, Containers
from containerlib.runtime.containers.update import update
from containerlib.runtime.kernel import KernelFiles
from rig.oci import Bundle, Command, group_of, status_of

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

DENY_ALL = {"allow": False, "access": "rwm"}
FUSE = {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rwm"}


@pytest.mark.vm
def test_update_changes_limits_of_a_running_container(oci: Command, bundle: Bundle) -> None:
    made = bundle("sleep", "100")
    oci.detach(made, "c1").ok()
    oci("update", "--pids-limit", "33", "--memory", "48M", "c1").ok()
    oci("update", "-r", "-", "c1", stdin=None, input='{"cpu": {"shares": 512}}').ok()
    files = {
        "pids": ("pids.max", "33"),
        "memory": ("memory.limit_in_bytes", str(48 << 20)),
        "cpu": ("cpu.shares", "512"),
    }
    for controller, (file, value) in files.items():
        if Path("/sys/fs/cgroup", controller).is_dir():  # else v2
            assert Path(f"/sys/fs/cgroup/{controller}{group_of(made)}/{file}").read_text().strip() == value


def test_update_what_is_wrong_changes_nothing(oci: Command, running: str) -> None:
    for words in (("--cpuset-cpus", "9999"), ("--memory", "lots"), ("--pids-limit", "x")):
        assert oci("update", *words, running).status == 1
    assert status_of(oci, running) == "running"


# ---- devices ----


@pytest.fixture
def container(oci: Command, bundle: Bundle) -> Container:
    """It may do what the specification lets every container do; mknod goes into a tmpfs."""

    def change(spec: dict[str, Any]) -> None:
        spec["linux"]["resources"]["devices"] = [DENY_ALL]
        spec["mounts"].append({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"})
        for names in spec["process"]["capabilities"].values():
            names.append("CAP_MKNOD")

    oci.detach(bundle("sleep", "100", change=change), "c1").ok()
    return Containers(str(oci.root)).get("c1")


def allows(oci: Command, major: int, minor: int, access: str = "r") -> bool:
    """Whether an access gets as far as to the device, which need not be there."""
    way = "<" if access == "r" else ">"
    script = f"cd /tmp && mknod n c {major} {minor} && (: {way}n); rm n"
    return "Operation not permitted" not in oci("exec", "c1", "sh", "-c", script).stderr


@pytest.mark.vm
def test_update_of_devices_allows_them_and_those_of_every_container(
    oci: Command, container: Container
) -> None:
    assert not allows(oci, 10, 229)
    update(container, {"devices": [DENY_ALL, FUSE]})
    assert allows(oci, 10, 229)
    assert allows(oci, 1, 3, "w")
    assert not allows(oci, 1, 1)
    update(container, {"devices": [DENY_ALL]})
    assert not allows(oci, 10, 229)


@pytest.mark.vm
def test_update_of_devices_that_fails_leaves_them(oci: Command, container: Container) -> None:
    before = container.spec()
    with pytest.raises((StageError, Unsupported)):
        update(container, {"devices": [DENY_ALL, FUSE], "cpu": {"cpus": "9999"}})
    assert not allows(oci, 10, 229)
    assert container.spec() == before


@pytest.mark.vm
def test_update_of_devices_by_the_command_is_passed_over_as_runc_does(
    oci: Command, container: Container
) -> None:
    resources = {"devices": [DENY_ALL, FUSE], "pids": {"limit": 44}}
    oci("update", "-r", "-", "c1", stdin=None, input=json.dumps(resources)).ok()
    assert not allows(oci, 10, 229)
    assert container.spec()["linux"]["resources"]["pids"] == {"limit": 44}


def test_update_is_known_to_the_next_one(container: Container) -> None:
    update(container, {"devices": [FUSE], "pids": {"limit": 5}})
    update(container, {"memory": {"limit": 64 << 20}})
    resources: Mapping[str, Any] = container.spec()["linux"]["resources"]
    assert (resources["devices"], resources["pids"], resources["memory"]["limit"]) == (
        [FUSE],
        {"limit": 5},
        64 << 20,
    )


# ---- class of service ----


class Resctrl:
    """A directory in the place of the kernel's file system: each class has a file that keeps what is written to it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()
        self.make(str(root / "gold"))
        self.files = KernelFiles(resctrl=str(root), mkdir=self.make)

    def make(self, path: str) -> None:
        Path(path).mkdir()
        Path(path, "schemata").write_text("MB:0=100\n")
        Path(path, "tasks").write_text("")

    def schemata(self, name: str) -> str:
        return (self.root / name / "schemata").read_text()


@pytest.fixture
def resctrl(tmp_path: Path) -> Resctrl:
    return Resctrl(tmp_path / "resctrl")


def give_class(container: Container, rdt: dict[str, str]) -> None:
    """As if it had been made with it, on a machine that has resctrl."""
    path = Path(container.directory, "config.json")
    spec = json.loads(path.read_text())
    spec["linux"]["intelRdt"] = rdt
    path.write_text(json.dumps(spec))


def test_update_of_a_schema_is_written_to_the_containers_class(
    container: Container, resctrl: Resctrl
) -> None:
    give_class(container, {"closID": "gold"})
    update(container, {"pids": {"limit": 5}}, {"memBwSchema": "MB:0=050"}, files=resctrl.files)
    assert resctrl.schemata("gold") == "MB:0=050\n"
    assert container.spec()["linux"]["intelRdt"] == {"closID": "gold", "memBwSchema": "MB:0=050"}


def test_update_that_fails_leaves_the_schema(container: Container, resctrl: Resctrl) -> None:
    give_class(container, {"closID": "gold"})
    before = container.spec()
    with pytest.raises((StageError, Unsupported)):
        update(container, {"cpu": {"cpus": "9999"}}, {"memBwSchema": "MB:0=050"}, files=resctrl.files)
    assert resctrl.schemata("gold") == "MB:0=100\n"
    assert container.spec() == before


def test_update_of_a_container_without_a_class_gives_it_one_of_its_own(
    container: Container, resctrl: Resctrl
) -> None:
    update(container, {}, {"memBwSchema": "MB:0=050"}, files=resctrl.files)
    assert resctrl.schemata("c1") == "MB:0=050\n"
    assert (resctrl.root / "c1/tasks").read_text() == str(container.pid)
    update(container, {}, {"memBwSchema": "MB:0=070"}, files=resctrl.files)
    assert resctrl.schemata("c1") == "MB:0=070\n"
    assert resctrl.schemata("gold") == "MB:0=100\n"


def test_update_that_fails_leaves_no_class(container: Container, tmp_path: Path) -> None:
    """The directory of a class that has nothing in it can be removed, as the kernel's can."""
    tmp_path.joinpath("empty").mkdir()
    with pytest.raises(StageError, match="schemata"):
        update(container, {}, {"memBwSchema": "MB:0=050"}, files=KernelFiles(resctrl=str(tmp_path / "empty")))
    assert list(tmp_path.joinpath("empty").iterdir()) == []
    assert "intelRdt" not in container.spec()["linux"]


@pytest.mark.parametrize(
    ("rdt", "field"),
    [({"closID": "gold"}, "intelRdt.closID"), ({"memBwSchema": "L3:0=1"}, "intelRdt.memBwSchema")],
)
def test_update_of_a_class_to_what_cannot_be_is_refused(
    container: Container, resctrl: Resctrl, rdt: Any, field: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        update(container, {}, rdt, files=resctrl.files)
    assert caught.value.field == field


@pytest.mark.parametrize("flag", ["--l3-cache-schema", "--mem-bw-schema"])
def test_update_of_a_schema_without_resctrl_is_refused(oci: Command, container: Container, flag: str) -> None:
    if "resctrl" in Path("/proc/self/mounts").read_text():
        pytest.skip("resctrl is mounted here")
    answer = oci("update", flag, "MB:0=1", container.id)
    assert (answer.status, "no resctrl file system is mounted" in answer.message) == (1, True)
    assert status_of(oci, container.id) == "running"
