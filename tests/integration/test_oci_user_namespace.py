"""User namespaces: maps, the container's root, devices, exec, and what a namespace by path is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from containerlib.errors import InvalidArgument
from containerlib.runtime import BindRoot
from rig.bundles import Rack
from rig.user_namespaces import HOST_ID, SIZE, in_user_namespace, make_mapped_root

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")


@pytest.fixture
def mapped_root(tmp_path: Path, busybox_rootfs: Path) -> BindRoot:
    """A root whose files belong to the container's root, and that it can reach."""
    return make_mapped_root(tmp_path, busybox_rootfs)


def test_root_of_a_user_namespace_is_nobody_on_the_host(rack: Rack, mapped_root: BindRoot) -> None:
    container = rack.create("sleep", "60", change=in_user_namespace, root=mapped_root)
    status = Path(f"/proc/{container.supervisor.pid}/status").read_text().splitlines()
    ids = {line.split()[0]: line.split()[1:] for line in status if line.startswith(("Uid", "Gid"))}
    assert ids == {"Uid:": [str(HOST_ID)] * 4, "Gid:": [str(HOST_ID)] * 4}
    assert container.output("id", "-u").text == "0"
    assert container.output("cat", "/proc/self/uid_map").text.split() == ["0", str(HOST_ID), str(SIZE)]


def test_file_of_a_user_namespace_belongs_to_the_mapped_id(rack: Rack, mapped_root: BindRoot) -> None:
    done = rack.run(
        "sh",
        "-c",
        "touch /made && chown 7:8 /made && stat -c %u:%g /made",
        change=in_user_namespace,
        root=mapped_root,
    )
    assert done.text == "7:8"
    made = Path(mapped_root.path, "made").stat()
    assert (made.st_uid, made.st_gid) == (HOST_ID + 7, HOST_ID + 8)


def test_devices_in_a_user_namespace_are_the_hosts_and_work(rack: Rack, mapped_root: BindRoot) -> None:
    command = "echo x >/dev/null && head -c 4 /dev/zero | wc -c && test -c /dev/tty && test -c /dev/random && echo all"
    done = rack.run("sh", "-c", command, change=in_user_namespace, root=mapped_root)
    assert done.text.split() == ["4", "all"]


def test_exec_into_a_user_namespace_is_its_root(rack: Rack, mapped_root: BindRoot) -> None:
    container = rack.create("sleep", "60", change=in_user_namespace, root=mapped_root)
    done = container.output("sh", "-c", "id -u; readlink /proc/self/ns/user; readlink /proc/1/ns/user")
    user, mine, its = done.text.split()
    assert user == "0"
    assert mine == its != str(Path("/proc/self/ns/user").readlink())


def test_cgroups_of_a_user_namespace_hold_its_processes(rack: Rack, mapped_root: BindRoot) -> None:
    container = rack.create("sleep", "60", change=in_user_namespace, root=mapped_root)
    assert list(container.cgroup.pids()) == [container.supervisor.pid]


def test_capability_in_a_user_namespace_is_none_on_the_host(rack: Rack, mapped_root: BindRoot) -> None:
    done = rack.run(
        "sh", "-c", "mknod /node c 1 3 || echo refused", change=in_user_namespace, root=mapped_root
    )
    assert "refused" in done.text


def test_user_namespace_without_a_mapping_is_refused(rack: Rack) -> None:
    def change(spec: dict[str, Any]) -> None:
        spec["linux"]["namespaces"].append({"type": "user"})

    with pytest.raises(InvalidArgument) as caught:
        rack.create("true", change=change)
    assert caught.value.field == "linux.uidMappings"


@pytest.mark.parametrize("shared", [("user", "pid"), ("user",)])
def test_user_namespace_by_path_is_joined(rack: Rack, mapped_root: BindRoot, shared: tuple[str, ...]) -> None:
    first = rack.create("sleep", "60", change=in_user_namespace, root=mapped_root)
    pid = first.supervisor.pid

    def change(spec: dict[str, Any]) -> None:
        del spec["linux"]["sysctl"]["net.ipv4.ping_group_range"]
        others = [n for n in spec["linux"]["namespaces"] if n["type"] not in shared]
        spec["linux"]["namespaces"] = [
            *others,
            *({"type": kind, "path": f"/proc/{pid}/ns/{kind}"} for kind in shared),
        ]

    container = rack.create("sleep", "60", change=change, root=mapped_root)
    for kind in ("user", "pid", "mnt", "net"):
        here, there = (Path(f"/proc/{p}/ns/{kind}").readlink() for p in (container.supervisor.pid, pid))
        assert (here == there) is (kind in shared), kind
    assert container.output("id", "-u").text == "0"
    container.supervisor.signal(9)
    assert container.finish().status.signal == 9


NAMES = {"network": "net", "mount": "mnt"}


def beside(kind: str, pid: int) -> Any:
    """A change to a config: a new user namespace, and a namespace of that kind that is the host's child."""

    def change(spec: dict[str, Any]) -> None:
        in_user_namespace(spec)
        linux = spec["linux"]
        linux.pop("sysctl")  # those of a network that is another's are not to be changed
        others = [n for n in linux["namespaces"] if n["type"] != kind]
        joined = {"type": kind, "path": f"/proc/{pid}/ns/{NAMES.get(kind, kind)}"}
        linux["namespaces"] = [*others, joined]

    return change


@pytest.mark.parametrize("kind", ["pid", "network", "ipc", "uts", "cgroup", "time"])
def test_new_user_namespace_beside_a_namespace_by_path(rack: Rack, mapped_root: BindRoot, kind: str) -> None:
    def with_clocks(spec: dict[str, Any]) -> None:
        spec["linux"]["namespaces"].append({"type": "time"})

    first = rack.create("sleep", "60", change=with_clocks)
    pid = first.supervisor.pid
    container = rack.create("sleep", "60", change=beside(kind, pid), root=mapped_root)
    for other in ("user", "pid", "mnt", "net", "ipc", "uts", "cgroup"):
        here, there = (Path(f"/proc/{p}/ns/{other}").readlink() for p in (container.supervisor.pid, pid))
        assert (here == there) is (other == NAMES.get(kind, kind)), other
    status = Path(f"/proc/{container.supervisor.pid}/status").read_text()
    assert f"Uid:\t{HOST_ID}\t{HOST_ID}\t{HOST_ID}\t{HOST_ID}\n" in status
    assert "CapBnd:\t00000000a80425fb\n" in status
    shown = container.output("sh", "-c", f"id -u; readlink /proc/self/ns/{NAMES.get(kind, kind)}")
    assert shown.text.split() == ["0", str(Path(f"/proc/{pid}/ns/{NAMES.get(kind, kind)}").readlink())]
    container.supervisor.signal(9)
    assert container.finish().status.signal == 9
    assert first.supervisor.poll() is None


def test_proc_of_a_joined_pid_namespace_shows_that_and_not_the_hosts(
    rack: Rack, mapped_root: BindRoot
) -> None:
    """Only who owns a pid namespace may mount a procfs of it, and in the new user namespace nobody does."""
    first = rack.create("sleep", "61")
    container = rack.create("sleep", "62", change=beside("pid", first.supervisor.pid), root=mapped_root)
    done = container.output("sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    assert done.text.startswith("sleep 61 sleep 62 sh -c ")


def test_sys_of_a_joined_network_shows_that_and_not_the_hosts(rack: Rack, mapped_root: BindRoot) -> None:
    first = rack.create("sleep", "60")
    done = rack.run("ls", "/sys/class/net", change=beside("network", first.supervisor.pid), root=mapped_root)
    assert done.text == first.output("ls", "/sys/class/net").text == "lo"


def test_new_user_namespace_beside_a_mount_namespace_by_path_is_refused(
    rack: Rack, mapped_root: BindRoot
) -> None:
    first = rack.create("sleep", "60")
    with pytest.raises(InvalidArgument, match="mount nothing") as caught:
        rack.create("true", change=beside("mount", first.supervisor.pid), root=mapped_root)
    assert caught.value.field == "linux.namespaces"
