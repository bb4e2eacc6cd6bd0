"""A root that was moved on top of the host's, without pivot_root(2): what is below must stay out of reach."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from containerlib.spec.options import ContainerOptions
from rig.bundles import Rack
from rig.oci import Command, make_bundle

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

WITH_NAMESPACES = ContainerOptions(seccomp="unconfined")
NEW_PROC = "unshare -Urmpf sh -c 'mkdir -p /tmp/p && mount -t proc proc /tmp/p && echo mounted'"
MOUNTER = ContainerOptions(cap_add=("SYS_ADMIN",), seccomp="unconfined")


@pytest.mark.parametrize("pivot", [True, False])
def test_way_up_from_a_second_root_ends_in_the_container(rack: Rack, tmp_path: Path, *, pivot: bool) -> None:
    """CAP_SYS_CHROOT is among Docker's capabilities."""
    (tmp_path / "secret").touch()
    done = rack.run("attack", "leave-root", "/tmp", str(tmp_path / "secret"), pivot=pivot)
    assert (done.status.exit_code, "blocked" in done.text) == (0, True)


@pytest.mark.parametrize("pivot", [True, False])
def test_proc_without_masks_cannot_be_mounted_in_a_namespace_of_the_containers(
    rack: Rack, *, pivot: bool
) -> None:
    """The kernel allows a new /proc to who has one in sight already that nothing covers: the host's must be gone."""
    done = rack.run("sh", "-c", NEW_PROC, options=WITH_NAMESPACES, pivot=pivot)
    assert (done.text, b"permission denied" in done.stderr) == ("", True), done.stderr


def test_mounter_who_takes_the_root_away_finds_the_hosts_root_alone_and_read_only(rack: Rack) -> None:
    """This is what is given up: after a pivot_root(2) nothing but the initial ramdisk is below."""
    own = next(
        line.split()[2] for line in Path("/proc/self/mountinfo").read_text().splitlines() if " / / " in line
    )
    (line,) = rack.run("attack", "uncover", options=MOUNTER, pivot=False).text.splitlines()
    _, _, device, _, place, attributes, *_ = line.split()
    assert (device, place) == (own, "/")
    assert set(attributes.split(",")) >= {"ro", "nosuid", "nodev", "noexec"}
    assert own not in rack.run("attack", "uncover", options=MOUNTER).text


def test_mounts_that_the_host_makes_later_do_not_arrive_below(
    oci: Command, tmp_path: Path, busybox_rootfs: Path, attack_layer: Path
) -> None:
    """On a host whose root is shared, as systemd has it."""
    rootfs, later = tmp_path / "rootfs", tmp_path / "later"
    shutil.copytree(busybox_rootfs, rootfs, symlinks=True)
    shutil.copy(attack_layer / "bin/attack", rootfs / "bin")
    later.mkdir()
    host = ["unshare", "-m", "sh", "-c", "mount --make-rshared / && echo && exec sleep 100"]
    with subprocess.Popen(host, stdout=subprocess.PIPE) as keeper:
        assert keeper.stdout is not None
        keeper.stdout.readline()
        there = ("nsenter", "-t", str(keeper.pid), "-m")
        command = Command((*there, *oci.words), oci.root)
        flags = ("--no-pivot",)
        command.detach(make_bundle(tmp_path / "bundle", rootfs, "sleep", "60"), "c1", *flags).ok()
        subprocess.run([*there, "mount", "-t", "tmpfs", "later", str(later)], check=True)
        found = command(
            "exec", "--cap", "CAP_SYS_ADMIN", "--cap", "CAP_SYS_CHROOT", "c1", "attack", "uncover"
        )
        command("delete", "--force", "c1").ok()
        keeper.kill()
    assert [line.split()[4] for line in found.text.splitlines()] == ["/"]


def test_host_has_its_mounts_as_before(rack: Rack) -> None:
    before = own_mounts(rack)
    rack.run("true", pivot=False)
    assert own_mounts(rack) == before


def own_mounts(rack: Rack) -> list[str]:
    """Of the kernel's file systems and of this test; others run beside it."""
    words = (str(rack.directory), " /proc ", " /sys ", " /dev ")
    return [
        line
        for line in Path("/proc/self/mountinfo").read_text().splitlines()
        if any(w in line for w in words)
    ]


def test_proc_of_the_first_process_leads_to_the_containers_root(rack: Rack) -> None:
    done = rack.run(
        "sh",
        "-c",
        "ls /proc/1/root/ /proc/1/cwd/ /proc/self/root/ >/dev/null && stat -c %d:%i / /proc/1/root/",
        pivot=False,
    )
    own, first = done.text.splitlines()
    assert own == first


def in_user_namespace(spec: dict[str, Any]) -> None:
    spec["linux"]["namespaces"].append({"type": "user"})
    for name in ("uidMappings", "gidMappings"):
        spec["linux"][name] = [{"containerID": 0, "hostID": 0, "size": 65536}]
    spec["linux"]["sysctl"] = {}


@pytest.mark.parametrize("pivot", [True, False])
def test_proc_without_masks_cannot_be_mounted_below_a_user_namespace_either(
    rack: Rack, *, pivot: bool
) -> None:
    """The host's mounts are locked there, and are covered."""
    done = rack.run("sh", "-c", NEW_PROC, options=WITH_NAMESPACES, change=in_user_namespace, pivot=pivot)
    assert (done.text, b"permission denied" in done.stderr) == ("", True), done.stderr
