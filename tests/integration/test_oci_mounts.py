"""A new file system's options and place, as the kernel shows them in the container: mountinfo is what is believed.

Spec: runtime-spec config.md#mounts, config.md#linux-mount-options
"""

from __future__ import annotations

import errno
import subprocess
from pathlib import Path
from typing import Any

import pytest

from containerlib.errors import InvalidArgument, StageError
from containerlib.spec.options import ContainerOptions
from rig.bundles import Rack
from rig.mounts import (
    entry,
    look,
    mounts_of,
    shell,
    with_mounts,
)

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

MOUNTER = ContainerOptions(cap_add=("SYS_ADMIN",), seccomp="unconfined", read_only=False)

# ---- attributes and options of a new file system ----


@pytest.mark.parametrize(
    ("word", "shown", "gone"),
    [
        ("ro", {"ro"}, {"rw"}),
        ("rw", {"rw"}, {"ro"}),
        ("nosuid", {"nosuid"}, set()),
        ("nodev", {"nodev"}, set()),
        ("noexec", {"noexec"}, set()),
        ("noatime", {"noatime"}, {"relatime"}),
        ("nodiratime", {"nodiratime", "relatime"}, set()),
        ("relatime", {"relatime"}, set()),
        ("strictatime", set(), {"relatime", "noatime"}),
        ("nosymfollow", {"nosymfollow"}, set()),
        ("defaults", {"rw", "relatime"}, {"nosuid", "nodev", "noexec"}),
        ("rro", {"ro"}, {"rw"}),
        ("rnosuid", {"nosuid"}, set()),
        ("rnoatime", {"noatime"}, {"relatime"}),
    ],
)
def test_new_file_system_has_the_attribute(rack: Rack, word: str, shown: set[str], gone: set[str]) -> None:
    made = look(rack, with_mounts(entry("/new", "tmpfs", "tmpfs", word)))["/new"]
    assert shown <= made.options
    assert not gone & made.options


@pytest.mark.parametrize(
    "words",
    [
        ("suid", "dev", "exec", "atime", "diratime", "norelatime", "nostrictatime", "symfollow"),
        ("async", "loud", "nolazytime", "nomand", "noiversion", "defaults"),
        (
            "ratime",
            "rdev",
            "rdiratime",
            "rexec",
            "rnorelatime",
            "rnostrictatime",
            "rsuid",
            "rsymfollow",
            "rrw",
        ),
    ],
)
def test_words_for_what_is_the_default_anyway_change_nothing(rack: Rack, words: tuple[str, ...]) -> None:
    made = look(rack, with_mounts(entry("/new", "tmpfs", "tmpfs", *words)))["/new"]
    assert made.options == {"rw", "relatime"}


@pytest.mark.parametrize(
    ("words", "shown", "gone"),
    [
        (("ro", "rw"), "rw", "ro"),
        (("rw", "ro"), "ro", "rw"),
        (("nosuid", "suid"), "rw", "nosuid"),
        (("noatime", "relatime"), "relatime", "noatime"),
        (("noatime", "atime"), "relatime", "noatime"),
        (("strictatime", "noatime"), "noatime", "relatime"),
    ],
)
def test_later_word_wins(rack: Rack, words: tuple[str, ...], shown: str, gone: str) -> None:
    made = look(rack, with_mounts(entry("/new", "tmpfs", "tmpfs", *words)))["/new"]
    assert shown in made.options
    assert gone not in made.options


@pytest.mark.parametrize("word", ["sync", "dirsync", "lazytime"])
def test_option_of_the_superblock_is_the_file_systems(rack: Rack, word: str) -> None:
    """It is set through fsopen(2), as every option here; a bind has none of its own."""
    assert word in look(rack, with_mounts(entry("/new", "ramfs", "x", word)))["/new"].superblock


@pytest.mark.parametrize("words", [("silent",), ("iversion",), ("silent", "sync", "noatime", "nodev", "ro")])
def test_option_that_only_mount_2_has_is_taken_there(rack: Rack, words: tuple[str, ...]) -> None:
    made = look(rack, with_mounts(entry("/new", "ramfs", "x", *words, "private")))["/new"]
    assert made.fstype == "ramfs"
    assert {"noatime", "nodev", "ro"} & set(words) <= made.options
    assert {"sync"} & set(words) <= made.superblock


def test_option_longer_than_fsconfig_takes_goes_through_mount_2(rack: Rack, tmp_path: Path) -> None:
    lowers = []
    for number in range(4):
        lower = tmp_path / f"{number}{'x' * 80}"
        lower.mkdir()
        lower.joinpath(str(number)).touch()
        lowers.append(str(lower))
    option = f"lowerdir={':'.join(lowers)}"
    assert len(option) > 300
    done = shell(
        rack, "ls /new; grep -c ' /new .*ro' /proc/mounts", entry("/new", "overlay", "x", option, "ro")
    )
    assert done.text.split() == ["0", "1", "2", "3", "1"]


def test_options_in_one_text_with_commas_are_all_taken(rack: Rack) -> None:
    made = look(rack, with_mounts(entry("/new", "tmpfs", "mine", "size=64k,mode=750", "nr_inodes=100")))[
        "/new"
    ]
    assert {"size=64k", "mode=750", "nr_inodes=100"} <= made.superblock
    assert made.source == "mine"


def test_option_that_the_file_system_does_not_know_is_refused(rack: Rack) -> None:
    with pytest.raises(StageError) as caught:
        look(rack, with_mounts(entry("/new", "tmpfs", "tmpfs", "nonsense=1")))
    assert (caught.value.stage, caught.value.errno) == ("mount", errno.EINVAL)
    assert "/new" in caught.value.detail


@pytest.mark.parametrize("kind", ["mqueue", "devpts", "proc", "sysfs", "ramfs"])
def test_file_systems_of_the_kernel_are_mounted(rack: Rack, kind: str) -> None:
    made = look(rack, with_mounts(entry("/new/there", kind, kind, "ro", "nosuid")))["/new/there"]
    assert made.fstype == kind
    assert {"ro", "nosuid"} <= made.options


def test_devpts_is_an_instance_of_its_own_with_its_group(rack: Rack) -> None:
    options = ("newinstance", "ptmxmode=0666", "mode=0620", "gid=5")
    done = shell(rack, "ls /new; grep ' /new ' /proc/mounts", entry("/new", "devpts", "x", *options))
    assert done.text.splitlines()[0] == "ptmx"
    assert "gid=5,mode=620,ptmxmode=666" in done.text


def allow_loop_devices(spec: dict[str, Any]) -> None:
    rule = {"allow": True, "type": "b", "major": 7, "access": "r"}
    spec["linux"]["resources"]["devices"] = [*spec["linux"]["resources"]["devices"], rule]


def test_read_only_file_system_on_a_device_is_so_in_its_superblock(rack: Rack, tmp_path: Path) -> None:
    """So that it writes nothing to the device; other mounts of the kernel's own file systems are not touched."""
    image = tmp_path / "image"
    subprocess.run(["truncate", "-s", "16M", image], check=True)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    command = ["losetup", "--find", "--show", "--read-only", str(image)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no loop devices: {done.stderr}")
    device = done.stdout.strip()
    try:
        mounted = with_mounts(entry("/new", "ext4", device, "ro", "noexec", "lazytime"))
        with pytest.raises(StageError, match=f"{device} on /new: EPERM"):
            look(rack, mounted)
        made = look(rack, mounted, allow_loop_devices)["/new"]
        assert (made.fstype, made.source) == ("ext4", device)
        assert {"ro", "noexec"} <= made.options
        assert {"ro", "lazytime"} <= made.superblock
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


def test_read_only_sysfs_leaves_the_superblock_writable(rack: Rack) -> None:
    """Another container of the same network namespace has the same one."""
    made = look(rack)["/sys"]
    assert "ro" in made.options
    assert "rw" in made.superblock


# ---- where it goes ----


def test_destinations_that_are_missing_are_made(rack: Rack, source: Path) -> None:
    source.joinpath("file").write_text("content")
    script = "cat /a/b/file; grep -c ' /c/d/e ' /proc/mounts"
    done = shell(
        rack,
        script,
        entry("/a/b/file", "bind", str(source / "file"), "bind"),
        entry("/c/d/e", "tmpfs", "tmpfs"),
    )
    assert done.text == "content1"


def test_relative_destination_is_taken_from_the_root(rack: Rack) -> None:
    assert look(rack, with_mounts(entry("some/where", "tmpfs", "tmpfs")))["/some/where"].fstype == "tmpfs"


def test_destination_behind_a_symlink_is_resolved_in_the_root(rack: Rack, tmp_path: Path) -> None:
    layer = tmp_path / "layer"
    layer.joinpath("real").mkdir(parents=True)
    layer.joinpath("link").symlink_to("/real")
    made = look(rack, with_mounts(entry("/link/new", "tmpfs", "tmpfs")), lowers=(layer,))
    assert made["/real/new"].fstype == "tmpfs"


@pytest.mark.parametrize("destination", ["/", ".", "//"])
def test_destination_that_is_the_root_becomes_the_root(
    rack: Rack, busybox_rootfs: Path, tmp_path: Path, destination: str
) -> None:
    """The mounts that follow go into it."""
    root = tmp_path / "another"
    subprocess.run(["cp", "-a", busybox_rootfs, root], check=True)
    root.joinpath("another").touch()

    def change(spec: dict[str, Any]) -> None:
        spec["mounts"].insert(0, entry(destination, "bind", str(root), "bind"))

    done = rack.run("sh", "-c", "ls -d /another; cat /proc/self/mountinfo", change=change)
    assert done.text.startswith("/another\n")
    assert mounts_of(done.text.partition("\n")[2])["/proc"].fstype == "proc"


@pytest.mark.parametrize("on_file", [True, False])
def test_file_and_directory_on_each_other_are_refused_with_advice(
    rack: Rack, source: Path, *, on_file: bool
) -> None:
    source.joinpath("file").touch()
    bound = source if on_file else source / "file"
    target = "/bin/busybox" if on_file else "/bin"
    with pytest.raises(StageError, match="cannot be mounted on a file") as caught:
        look(rack, with_mounts(entry(target, "bind", str(bound), "bind")))
    assert caught.value.stage == "bind"


def test_source_of_a_bind_may_be_relative_to_the_bundle(rack: Rack) -> None:
    rack.directory.joinpath("mine/data").mkdir(parents=True)
    rack.directory.joinpath("mine/data/file").write_text("found")
    change = with_mounts(entry("/new", "bind", "data", "bind"))
    assert rack.run("cat", "/new/file", change=change, name="mine").text == "found"


def test_bind_of_what_is_not_there_names_it(rack: Rack) -> None:
    with pytest.raises(StageError, match="/no/such") as caught:
        look(rack, with_mounts(entry("/new", "bind", "/no/such", "bind")))
    assert (caught.value.stage, caught.value.errno) == ("bind", errno.ENOENT)


@pytest.mark.parametrize("target", ["/proc/self/attr", "/proc/sys/kernel/hostname", "/sys/../proc/1"])
def test_destination_below_proc_is_refused(rack: Rack, source: Path, target: str) -> None:
    with pytest.raises(InvalidArgument, match="below /proc") as caught:
        look(rack, with_mounts(entry(target, "bind", str(source), "bind")))
    assert caught.value.field.endswith(".destination")


def test_figures_of_proc_may_be_replaced(rack: Rack, source: Path) -> None:
    source.joinpath("uptime").write_text("1.00 1.00\n")
    done = shell(
        rack, "cat /proc/uptime", entry("/proc/uptime", "bind", str(source / "uptime"), "bind", "ro")
    )
    assert done.text == "1.00 1.00"


# ---- remount ----


def test_remount_of_a_bind_changes_the_mount_that_is_there(rack: Rack, source: Path) -> None:
    made = look(
        rack,
        with_mounts(
            entry("/new", "bind", str(source), "rbind", "nosuid"),
            entry("/new", "bind", "none", "bind", "remount", "ro", "suid"),
        ),
    )
    assert "ro" in made["/new"].options
    assert "nosuid" not in made["/new"].options
    assert "rw" in made["/new/below"].options


def test_remount_of_a_file_system_changes_its_options(rack: Rack) -> None:
    made = look(
        rack,
        with_mounts(
            entry("/new", "tmpfs", "tmpfs", "size=64k", "noexec"),
            entry("/new", "tmpfs", "tmpfs", "remount", "size=128k", "nosuid", "exec"),
        ),
    )
    assert "size=128k" in made["/new"].superblock
    assert "nosuid" in made["/new"].options
    assert "noexec" not in made["/new"].options


@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
def test_remount_of_what_is_not_mounted_is_refused(rack: Rack, kind: str) -> None:
    words = ("remount", "ro") if kind == "tmpfs" else ("bind", "remount", "ro")
    with pytest.raises(StageError) as caught:
        look(rack, with_mounts(entry("/bin", kind, "none", *words)))
    assert caught.value.errno == errno.EINVAL
