"""Every option of a mount, as the kernel has it in the container: /proc/self/mountinfo is what is believed.

Spec: runtime-spec config.md#linux-mount-options, config-linux.md#rootfs-mount-propagation
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from containerlib.errors import InvalidArgument, StageError
from containerlib.runtime import BindRoot
from containerlib.spec.options import ContainerOptions
from rig.bundles import Bundled, Done, Rack
from rig.mounts import mounted_tmpfs

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

Change = Callable[[dict[str, Any]], None]
MOUNTER = ContainerOptions(cap_add=("SYS_ADMIN",), seccomp="unconfined", read_only=False)


@dataclass(frozen=True)
class Mounted:
    """A line of mountinfo. Spec: proc_pid_mountinfo(5)"""

    root: str
    options: frozenset[str]
    propagation: frozenset[str]
    """Without the numbers of the groups."""
    fstype: str
    source: str
    superblock: frozenset[str]


def mounts_of(mountinfo: str) -> dict[str, Mounted]:
    """By mount point, the uppermost of each."""
    found = {}
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        fields, (fstype, source, superblock) = left.split(), right.split()
        groups = frozenset(field.partition(":")[0] for field in fields[6:])
        found[fields[4]] = Mounted(
            fields[3],
            frozenset(fields[5].split(",")),
            groups,
            fstype,
            source,
            frozenset(superblock.split(",")),
        )
    return found


def entry(destination: str, kind: str, source: str, *options: str, **more: Any) -> dict[str, Any]:
    return {"destination": destination, "type": kind, "source": source, "options": list(options), **more}


def with_mounts(*mounts: dict[str, Any], **linux: Any) -> Change:
    def change(spec: dict[str, Any]) -> None:
        spec["mounts"] += mounts
        spec["linux"].update(linux)

    return change


def without(*destinations: str) -> Change:
    def change(spec: dict[str, Any]) -> None:
        spec["mounts"] = [m for m in spec["mounts"] if m["destination"] not in destinations]

    return change


def both(*changes: Change) -> Change:
    def change(spec: dict[str, Any]) -> None:
        for each in changes:
            each(spec)

    return change


def look(rack: Rack, *changes: Change, **words: Any) -> dict[str, Mounted]:
    done = rack.run("cat", "/proc/self/mountinfo", change=both(*changes), **words)
    return mounts_of(done.stdout.decode())


def shell(rack: Rack, script: str, *mounts: dict[str, Any], **words: Any) -> Done:
    return rack.run("sh", "-c", script, change=with_mounts(*mounts), **words)


def mount(*arguments: str | Path) -> None:
    subprocess.run(["mount", *arguments], check=True)


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of the host's with another below it, at `below`; whoever mounts more in it leaves that to us."""
    with mounted_tmpfs(tmp_path / "source", size="1m") as path:
        path.joinpath("below").mkdir()
        mount("-t", "tmpfs", "below", path / "below")
        try:
            yield path
        finally:
            own = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
            for point in sorted((p for p in own if p.startswith(f"{path}/")), reverse=True):
                subprocess.run(["umount", point], check=True)


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


# ---- binds ----

FORBIDDEN = "nosuid,nodev,noexec,noatime,nodiratime,nosymfollow"


@pytest.fixture
def strict(source: Path) -> Path:
    """A source whose mounts, both, forbid what can be forbidden."""
    for path in (source, source / "below"):
        mount("-o", f"remount,bind,ro,{FORBIDDEN}", path)
    return source


@pytest.mark.parametrize(
    ("word", "gone"),
    [
        ("rw", "ro"),
        ("suid", "nosuid"),
        ("dev", "nodev"),
        ("exec", "noexec"),
        ("atime", "noatime"),
        ("relatime", "noatime"),
        ("strictatime", "noatime"),
        ("diratime", "nodiratime"),
        ("symfollow", "nosymfollow"),
    ],
)
def test_bind_clears_only_what_its_words_clear(rack: Rack, strict: Path, word: str, gone: str) -> None:
    made = look(rack, with_mounts(entry("/new", "bind", str(strict), "rbind", word)))
    everything = {"ro", *FORBIDDEN.split(",")}
    assert made["/new"].options & everything == everything - {gone}
    assert made["/new/below"].options >= everything, "what is mounted below is not spoken of"


@pytest.mark.parametrize("word", ["rrw", "rsuid", "rdev", "rexec", "ratime", "rdiratime", "rsymfollow"])
def test_recursive_word_clears_below_too(rack: Rack, strict: Path, word: str) -> None:
    gone = {"rrw": "ro"}.get(word, f"no{word[1:]}")
    made = look(rack, with_mounts(entry("/new", "bind", str(strict), "rbind", word)))
    for place in ("/new", "/new/below"):
        assert made[place].options & {"ro", *FORBIDDEN.split(",")} == {"ro", *FORBIDDEN.split(",")} - {gone}


@pytest.mark.parametrize("word", ["ro", *FORBIDDEN.split(",")])
def test_bind_sets_its_attribute_on_itself_only(rack: Rack, source: Path, word: str) -> None:
    made = look(rack, with_mounts(entry("/new", "bind", str(source), "rbind", "rprivate", word)))
    assert word in made["/new"].options
    assert word not in made["/new/below"].options


@pytest.mark.parametrize("word", ["ro", *FORBIDDEN.split(",")])
def test_recursive_word_sets_below_too(rack: Rack, source: Path, word: str) -> None:
    made = look(rack, with_mounts(entry("/new", "bind", str(source), "rbind", f"r{word}")))
    assert word in made["/new"].options
    assert word in made["/new/below"].options


@pytest.mark.parametrize("word", ["rstrictatime", "rrelatime"])
def test_recursive_access_time_replaces_the_sources(rack: Rack, strict: Path, word: str) -> None:
    made = look(rack, with_mounts(entry("/new", "bind", str(strict), "rbind", word)))
    for place in ("/new", "/new/below"):
        assert "noatime" not in made[place].options
        assert ("relatime" in made[place].options) == (word == "rrelatime")


def test_word_for_all_and_a_later_one_for_the_mount_itself(rack: Rack, source: Path) -> None:
    made = look(rack, with_mounts(entry("/new", "bind", str(source), "rbind", "rro", "rw")))
    assert "rw" in made["/new"].options
    assert "ro" in made["/new/below"].options


def test_bind_without_r_has_nothing_below(rack: Rack, source: Path) -> None:
    made = look(rack, with_mounts(entry("/new", "bind", str(source), "bind")))
    assert "/new" in made
    assert "/new/below" not in made


def test_bind_passes_over_what_only_a_superblock_has(rack: Rack, source: Path) -> None:
    words = ("sync", "dirsync", "lazytime", "mand", "iversion", "silent")
    made = look(rack, with_mounts(entry("/new", "bind", str(source), "bind", *words)))
    assert not made["/new"].superblock & set(words)


def test_bind_of_a_kind_of_none_is_one_by_its_words(rack: Rack, source: Path) -> None:
    assert look(rack, with_mounts(entry("/new", "none", str(source), "bind", "ro")))["/new"].fstype == "tmpfs"


def test_copied_symlink_is_one_in_the_container(rack: Rack, source: Path) -> None:
    source.joinpath("link").symlink_to("../some/place")
    script = "readlink /new/link; grep -c /new/link /proc/mounts"
    done = shell(rack, script, entry("/new/link", "bind", str(source / "link"), "bind", "copy-symlink"))
    assert done.text.split() == ["../some/place", "0"]


def test_copied_symlink_that_leads_nowhere_is_one_in_the_container(rack: Rack, source: Path) -> None:
    source.joinpath("link").symlink_to("/no/such")
    done = shell(rack, "readlink /new", entry("/new", "bind", str(source / "link"), "bind", "copy-symlink"))
    assert done.text == "/no/such"


def test_copied_symlink_where_another_is_is_refused_and_the_same_is_not(
    rack: Rack, source: Path, tmp_path: Path
) -> None:
    source.joinpath("link").symlink_to("/target")
    layer = tmp_path / "layer"
    layer.mkdir()
    layer.joinpath("same").symlink_to("/target")
    layer.joinpath("other").symlink_to("/targeT")

    def at(place: str) -> Change:
        return with_mounts(entry(place, "bind", str(source / "link"), "bind", "copy-symlink"))

    assert rack.run("readlink", "/same", change=at("/same"), lowers=(layer,)).text == "/target"
    with pytest.raises(StageError) as caught:
        rack.run("true", change=at("/other"), lowers=(layer,))
    assert (caught.value.stage, caught.value.errno) == ("bind", errno.EEXIST)


def test_copy_symlink_of_what_is_none_binds_it(rack: Rack, source: Path) -> None:
    made = look(rack, with_mounts(entry("/new", "bind", str(source), "bind", "copy-symlink")))
    assert made["/new"].fstype == "tmpfs"


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


# ---- tmpfs ----


def layer_with_directory(tmp_path: Path, mode: int) -> Path:
    layer = tmp_path / "layer"
    layer.joinpath("data").mkdir(parents=True)
    layer.joinpath("data").chmod(mode)
    return layer


def test_tmpfs_is_as_open_as_the_directory_that_it_covers(rack: Rack, tmp_path: Path) -> None:
    layer = layer_with_directory(tmp_path, 0o1731)
    script = "stat -c %a /data /made /given"
    mounts = (
        entry("/data", "tmpfs", "tmpfs"),
        entry("/made", "tmpfs", "tmpfs"),
        entry("/given", "tmpfs", "tmpfs", "mode=0711"),
    )
    assert shell(rack, script, *mounts, lowers=(layer,)).text.split() == ["1731", "1777", "711"]


def test_read_only_tmpfs_can_have_mounts_in_it(rack: Rack) -> None:
    change = with_mounts(entry("/new", "tmpfs", "tmpfs", "ro"), entry("/new/in/it", "tmpfs", "tmpfs"))
    made = look(rack, change)
    assert "ro" in made["/new"].options
    assert "rw" in made["/new/in/it"].options
    done = rack.run("sh", "-c", "touch /new/in/it/x; touch /new/x", change=change)
    assert b"/new/x: Read-only" in done.stderr
    assert b"/new/in" not in done.stderr


@pytest.mark.parametrize("terminal", [None, (24, 80)])
def test_read_only_dev_has_its_devices(rack: Rack, terminal: tuple[int, int] | None) -> None:
    def change(spec: dict[str, Any]) -> None:
        next(m for m in spec["mounts"] if m["destination"] == "/dev")["options"].append("ro")
        spec["process"]["terminal"] = terminal is not None

    script = "echo x >/dev/null && head -c1 /dev/zero | wc -c; touch /dev/x"
    done = rack.run("sh", "-c", script, change=change, terminal=terminal)
    assert done.text.split()[0] == "1"
    assert b"Read-only file system" in done.stdout + done.stderr


@pytest.fixture
def full_layer(tmp_path: Path) -> Path:
    """A layer with /data, which has one of everything."""
    layer = layer_with_directory(tmp_path, 0o2750)
    data = layer / "data"
    data.joinpath("deep/er").mkdir(parents=True)
    data.joinpath("deep").chmod(0o711)
    data.joinpath("deep/er/file").write_bytes(os.urandom(300_000))
    data.joinpath("program").write_text("#!/bin/sh\n")
    data.joinpath("program").chmod(0o4755)
    data.joinpath("link").symlink_to("/etc/passwd")
    data.joinpath("dangling").symlink_to("nowhere")
    os.mkfifo(data / "fifo", 0o640)
    os.mknod(data / "device", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(data / "socket"))
    os.setxattr(data / "program", "user.kind", b"\0binary")
    for path in (data, data / "deep", data / "link"):
        os.lchown(path, 12, 34)
    os.chown(data / "deep/er/file", 56, 78)
    os.setxattr(data / "deep/er/file", "security.capability", CAP_KILL)
    os.utime(data / "deep", (1_000_000_000, 1_000_000_001))
    os.utime(data / "deep/er/file", (1_000_000_000, 1_000_000_002))
    return layer


CAP_KILL = bytes.fromhex("0100000220000000000000000000000000000000")
"""As a file has it. Spec: linux/capability.h, struct vfs_cap_data"""


def copied(rack: Rack, layer: Path, *options: str) -> Bundled:
    change = with_mounts(entry("/data", "tmpfs", "tmpfs", "tmpcopyup", *options))
    return rack.create("sleep", "60", change=change, lowers=(layer,))


def facts(path: Path) -> tuple[Any, ...]:
    status = path.lstat()
    is_file = stat.S_ISREG(status.st_mode)
    return (
        status.st_mode,
        status.st_uid,
        status.st_gid,
        int(status.st_mtime),
        status.st_size if is_file else 0,
    )


def test_tmpcopyup_has_what_the_image_has(rack: Rack, full_layer: Path) -> None:
    container = copied(rack, full_layer)
    there, image = Path(f"/proc/{container.supervisor.pid}/root/data"), full_layer / "data"
    expected = {
        p.relative_to(image): facts(p) for p in image.rglob("*") if p.name not in ("device", "socket")
    }
    assert {p.relative_to(there): facts(p) for p in there.rglob("*")} == expected
    assert there.stat()[:1] + there.stat()[4:6] == image.stat()[:1] + image.stat()[4:6]
    for link in ("link", "dangling"):
        assert there.joinpath(link).readlink() == image.joinpath(link).readlink()
    assert there.joinpath("deep/er/file").read_bytes() == image.joinpath("deep/er/file").read_bytes()
    assert os.getxattr(there / "program", "user.kind") == b"\0binary"
    assert os.getxattr(there / "deep/er/file", "security.capability") == CAP_KILL


def test_tmpcopyup_leaves_the_image_as_it_was(rack: Rack, full_layer: Path) -> None:
    container = copied(rack, full_layer)
    assert container.output("sh", "-c", "rm -r /data/* && touch /data/new").status.exit_code == 0
    assert not Path(container.directory, "upper/data/new").exists()
    assert full_layer.joinpath("data/deep/er/file").exists()


def test_tmpcopyup_takes_its_own_options_before_the_images(rack: Rack, full_layer: Path) -> None:
    container = copied(rack, full_layer, "mode=0700", "uid=5", "ro")
    done = container.output("sh", "-c", "stat -c %a:%u /data; touch /data/x; ls /data/deep/er")
    assert done.text.split() == ["700:5", "file"]
    assert b"Read-only" in done.stderr


def test_tmpcopyup_copies_nothing_of_what_is_mounted_below(
    rack: Rack, source: Path, full_layer: Path
) -> None:
    source.joinpath("secret").touch()
    done = shell(
        rack,
        "ls /data/deep/er",
        entry("/data/deep/er", "bind", str(source), "rbind"),
        entry("/data", "tmpfs", "tmpfs", "tmpcopyup"),
        lowers=(full_layer,),
    )
    assert done.text == "file"


def test_tmpcopyup_of_nothing_is_a_tmpfs(rack: Rack) -> None:
    done = shell(rack, "ls -A /data; stat -c %a /data", entry("/data", "tmpfs", "tmpfs", "tmpcopyup"))
    assert done.text == "1777"


def test_tmpcopyup_that_does_not_fit_is_refused(rack: Rack, full_layer: Path) -> None:
    with pytest.raises(StageError) as caught:
        copied(rack, full_layer, "size=64k")
    assert (caught.value.stage, caught.value.errno) == ("mount", errno.ENOSPC)


def test_tmpcopyup_of_a_directory_that_never_ends_is_refused(rack: Rack, tmp_path: Path) -> None:
    layer = layer_with_directory(tmp_path, 0o755)
    place = os.open(layer / "data", os.O_RDONLY)
    for _ in range(300):
        os.mkdir("d", dir_fd=place)
        deeper = os.open("d", os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = deeper
    os.close(place)
    with pytest.raises(StageError) as caught:
        copied(rack, layer)
    assert (caught.value.stage, caught.value.errno) == ("mount", errno.ENAMETOOLONG)


@pytest.mark.parametrize("kind", ["bind", "ramfs"])
def test_tmpcopyup_of_what_is_no_tmpfs_is_refused(rack: Rack, source: Path, kind: str) -> None:
    words = ("bind", "tmpcopyup") if kind == "bind" else ("tmpcopyup",)
    with pytest.raises(InvalidArgument, match="tmpfs"):
        look(rack, with_mounts(entry("/data", kind, str(source), *words)))


# ---- propagation ----


@pytest.mark.parametrize(
    ("word", "own", "below"),
    [
        ("private", set(), {"master"}),
        ("rprivate", set(), set()),
        ("slave", {"master"}, {"master"}),
        ("rslave", {"master"}, {"master"}),
        ("shared", {"shared", "master"}, {"master"}),
        ("rshared", {"shared", "master"}, {"shared", "master"}),
        ("unbindable", {"unbindable"}, {"master"}),
        ("runbindable", {"unbindable"}, {"unbindable"}),
        ("rw", {"master"}, {"master"}),
    ],
)
def test_propagation_of_a_bind(rack: Rack, source: Path, word: str, own: set[str], below: set[str]) -> None:
    """From a source that is shared on the host; without a word it is that of the root: rslave."""
    mount("--make-rshared", source)
    made = look(rack, with_mounts(entry("/new", "bind", str(source), "rbind", word)))
    assert made["/new"].propagation == own
    assert made["/new/below"].propagation == below


@pytest.mark.parametrize(
    ("word", "shown"), [("shared", {"shared"}), ("unbindable", {"unbindable"}), ("slave", set())]
)
def test_propagation_of_a_new_file_system(rack: Rack, word: str, shown: set[str]) -> None:
    assert look(rack, with_mounts(entry("/new", "tmpfs", "tmpfs", word)))["/new"].propagation == shown


@pytest.mark.parametrize(
    ("word", "root", "bound"),
    [
        (f"{prefix}{word}", root, bound)
        for prefix in ("", "r")
        for word, root, bound in (
            ("shared", {"shared"}, {"shared"}),
            ("slave", set(), {"master"}),
            ("private", set(), set()),
            ("unbindable", {"unbindable"}, set()),
        )
    ],
)
def test_propagation_of_the_root(
    rack: Rack, source: Path, word: str, root: set[str], bound: set[str]
) -> None:
    mount("--make-rshared", source)
    made = look(rack, with_mounts(entry("/new", "bind", str(source), "rbind"), rootfsPropagation=word))
    assert made["/"].propagation == root
    assert made["/new"].propagation == made["/new/below"].propagation == bound


def test_propagation_of_a_root_that_is_a_directory_of_a_shared_mount(
    rack: Rack, source: Path, busybox_rootfs: Path
) -> None:
    """Making the container is seen nowhere else, also where its root shares the mount that it lies in."""
    mount("--make-rshared", source)
    mount("-o", "remount,size=64m", source)
    subprocess.run(["cp", "-a", busybox_rootfs, source / "rootfs"], check=True)
    before = Path("/proc/self/mountinfo").read_text()
    change = with_mounts(rootfsPropagation="shared")
    made = look(rack, change, root=BindRoot(str(source / "rootfs")))
    assert made["/"].propagation == {"shared", "master"}
    assert Path("/proc/self/mountinfo").read_text() == before


def test_mount_in_a_shared_bind_of_a_shared_root_reaches_the_host(rack: Rack, source: Path) -> None:
    mount("--make-rshared", source)
    change = with_mounts(entry("/new", "bind", str(source), "rbind", "rshared"), rootfsPropagation="shared")
    container = rack.create("sleep", "60", change=change, options=MOUNTER)
    assert container.output("sh", "-c", "mkdir /new/x && mount -t tmpfs x /new/x").status.exit_code == 0
    assert os.path.ismount(source / "x")


@pytest.mark.parametrize("word", ["rslave", "rshared"])
def test_mount_on_the_host_reaches_a_bind_that_follows_it_but_not_the_other_way(
    rack: Rack, source: Path, word: str
) -> None:
    mount("--make-rshared", source)
    change = with_mounts(entry("/new", "bind", str(source), "rbind", word))
    container = rack.create("sleep", "60", change=change, options=MOUNTER)
    source.joinpath("x").mkdir()
    source.joinpath("y").mkdir()
    mount("-t", "tmpfs", "x", source / "x")
    assert "/new/x" in mounts_of(container.output("cat", "/proc/self/mountinfo").text)
    assert container.output("mount", "-t", "tmpfs", "y", "/new/y").status.exit_code == 0
    assert not os.path.ismount(source / "y")


# ---- id-mapped ----

MAPS = {
    "uidMappings": [{"containerID": 0, "hostID": 3000, "size": 1000}],
    "gidMappings": [{"containerID": 0, "hostID": 5000, "size": 1000}],
}


@pytest.fixture(params=["tmpfs", "ext4"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A file system with /file of 1:2 and, on a mount below it, below/file of 3:4."""
    image, path = tmp_path / "image", tmp_path / "disk"
    path.mkdir()
    if request.param == "ext4":
        subprocess.run(["truncate", "-s", "16M", image], check=True)
        subprocess.run(["mkfs.ext4", "-q", image], check=True)
        done = subprocess.run(
            ["mount", "-o", "loop", image, path], check=False, capture_output=True, text=True
        )
        if done.returncode:
            pytest.skip(f"no loop devices: {done.stderr}")
    else:
        mount("-t", "tmpfs", "disk", path)
    try:
        path.joinpath("below").mkdir()
        mount("-t", "tmpfs", "below", path / "below")
        for name, ids in (("file", (1, 2)), ("below/file", (3, 4))):
            path.joinpath(name).touch()
            os.chown(path / name, *ids)
        yield path
    finally:
        subprocess.run(["umount", "-R", path], check=True)


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


def owners(done: Done) -> list[str]:
    return done.text.split()


@pytest.mark.parametrize(("word", "below"), [("idmap", "3:4"), ("ridmap", "3003:5004"), ("", "3:4")])
def test_id_mapped_bind_shows_the_mapped_owners(rack: Rack, disk: Path, word: str, below: str) -> None:
    words = ("rbind", word) if word else ("rbind",)
    done = shell(
        rack,
        "stat -c %u:%g /new/file /new/below/file; touch /new/made",
        entry("/new", "bind", str(disk), *words, **MAPS),
    )
    assert owners(done) == ["3001:5002", below]
    assert done.stderr.count(b"touch") == 1, "root itself is not mapped to any id of the disk"


def test_id_mapped_bind_writes_the_ids_of_the_disk(rack: Rack, disk: Path) -> None:
    disk.chmod(0o777)
    script = "touch /new/made; stat -c %u:%g /new/made"
    change = with_mounts(entry("/new", "bind", str(disk), "bind", "idmap", **MAPS))

    def as_user(spec: dict[str, Any]) -> None:
        spec["process"]["user"] = {"uid": 3042, "gid": 5043}

    assert rack.run("sh", "-c", script, change=both(change, as_user)).text == "3042:5043"
    made = disk.joinpath("made").stat()
    assert (made.st_uid, made.st_gid) == (42, 43)


def test_id_mapped_bind_takes_its_other_words_too(rack: Rack, source: Path) -> None:
    mount("--make-rshared", source)
    made = look(
        rack, with_mounts(entry("/new", "bind", str(source), "rbind", "idmap", "rro", "nosuid", **MAPS))
    )
    assert {"ro", "nosuid", "idmapped"} <= made["/new"].options
    assert "ro" in made["/new/below"].options
    assert "idmapped" not in made["/new/below"].options
    assert made["/new"].propagation == made["/new/below"].propagation == {"master"}


def test_id_mapped_bind_of_what_cannot_be_mapped_is_refused_with_advice(rack: Rack) -> None:
    with pytest.raises(StageError, match="id-map the source's file system") as caught:
        look(rack, with_mounts(entry("/new", "bind", "/sys", "bind", "idmap", **MAPS)))
    assert (caught.value.stage, caught.value.errno) == ("tree", errno.EINVAL)
    assert "/sys on /new" in caught.value.detail


@pytest.mark.parametrize(
    ("mounted", "word"),
    [
        (entry("/new", "bind", "/tmp", "bind", "idmap"), "user namespace"),
        (entry("/new", "bind", "/tmp", "bind", uidMappings=MAPS["uidMappings"]), "gidMappings"),
        (entry("/new", "tmpfs", "tmpfs", "idmap"), "only a bind"),
    ],
)
def test_id_mapping_that_cannot_be_is_refused(rack: Rack, mounted: dict[str, Any], word: str) -> None:
    with pytest.raises(InvalidArgument, match=word):
        look(rack, with_mounts(mounted))


# ---- in a user namespace ----

HOST_ID = 200_000


def in_user_namespace(*without: str) -> Change:
    def change(spec: dict[str, Any]) -> None:
        linux = spec["linux"]
        linux["sysctl"] = {}
        linux["namespaces"] = [n for n in linux["namespaces"] if n["type"] not in without] + [
            {"type": "user"}
        ]
        for name in ("uidMappings", "gidMappings"):
            linux[name] = [{"containerID": 0, "hostID": HOST_ID, "size": 1000}]

    return change


@pytest.fixture
def mapped(rack: Rack, tmp_path: Path, busybox_rootfs: Path) -> BindRoot:
    """A root that root of the user namespace owns and can reach."""
    root = tmp_path / "mapped"
    subprocess.run(["cp", "-a", busybox_rootfs, root], check=True)
    for path in (root, *root.rglob("*")):
        os.lchown(path, HOST_ID, HOST_ID)
    for parent in (tmp_path, *tmp_path.parents):
        if parent.name.startswith("pytest-") or parent == tmp_path:
            parent.chmod(0o755)
    return BindRoot(str(root))


def test_default_file_systems_work_in_a_user_namespace(rack: Rack, mapped: BindRoot) -> None:
    made = look(rack, in_user_namespace(), root=mapped)
    kinds = {"/proc": "proc", "/dev": "tmpfs", "/dev/pts": "devpts", "/sys": "sysfs", "/dev/mqueue": "mqueue"}
    assert {place: made[place].fstype for place in kinds} == kinds
    assert made["/sys"].root == "/"


@pytest.mark.parametrize(
    ("shared", "place", "kind"),
    [("network", "/sys", "sysfs"), ("ipc", "/dev/mqueue", "mqueue"), ("pid", "/proc", "proc")],
)
def test_file_system_of_a_namespace_that_is_the_hosts_is_the_hosts_in_a_user_namespace(
    rack: Rack, mapped: BindRoot, shared: str, place: str, kind: str
) -> None:
    if not os.path.ismount(place):
        pytest.skip(f"the host has no {place}")
    made = look(rack, in_user_namespace(shared), root=mapped)
    assert made[place].fstype == kind
    assert {"nosuid", "nodev", "noexec"} <= made[place].options


@pytest.mark.parametrize(("gid", "shown"), [(5, True), (1005, False)])
def test_devpts_of_a_group_that_is_not_mapped_is_mounted_without_it(
    rack: Rack, mapped: BindRoot, gid: int, *, shown: bool
) -> None:
    mounted = entry("/new", "devpts", "devpts", "newinstance", f"gid={gid}")
    made = look(rack, in_user_namespace(), with_mounts(mounted), root=mapped)["/new"]
    assert (f"gid={HOST_ID + gid}" in made.superblock or f"gid={gid}" in made.superblock) == shown


def test_source_that_only_the_hosts_root_can_reach_is_bound_in_a_user_namespace(
    rack: Rack, mapped: BindRoot, source: Path
) -> None:
    source.joinpath("hidden/public").mkdir(parents=True)
    source.joinpath("hidden/public/file").write_text("found")
    source.joinpath("hidden").chmod(0o700)
    mount("--make-rshared", source)
    change = both(
        in_user_namespace(), with_mounts(entry("/new", "bind", str(source / "hidden/public"), "rbind", "ro"))
    )
    assert rack.run("cat", "/new/file", change=change, root=mapped).text == "found"
    made = look(rack, change, root=mapped)["/new"]
    assert made.propagation == {"master"}
    assert "ro" in made.options


def test_bind_in_a_user_namespace_keeps_what_the_hosts_mount_forbids(
    rack: Rack, mapped: BindRoot, strict: Path
) -> None:
    made = look(
        rack,
        in_user_namespace(),
        with_mounts(entry("/new", "bind", str(strict), "rbind", "nodev")),
        root=mapped,
    )
    for place in ("/new", "/new/below"):
        assert made[place].options >= {"ro", "nosuid", "nodev", "noexec", "noatime"}


@pytest.mark.parametrize(("word", "below"), [("idmap", "65534:65534"), ("ridmap", "3:4")])
def test_id_mapped_bind_without_maps_takes_the_user_namespaces(
    rack: Rack, mapped: BindRoot, disk: Path, word: str, below: str
) -> None:
    script = "stat -c %u:%g /new/file /new/below/file; touch /new/made"
    change = both(in_user_namespace(), with_mounts(entry("/new", "bind", str(disk), "rbind", word)))
    done = rack.run("sh", "-c", script, change=change, root=mapped)
    assert owners(done) == ["1:2", below]
    assert disk.joinpath("made").stat().st_uid == 0


def test_tmpcopyup_works_in_a_user_namespace(rack: Rack, mapped: BindRoot) -> None:
    data = Path(mapped.path, "data")
    data.mkdir()
    data.joinpath("file").write_text("content")
    for path in (data, data / "file"):
        os.chown(path, HOST_ID + 7, HOST_ID + 8)
    change = both(in_user_namespace(), with_mounts(entry("/data", "tmpfs", "tmpfs", "tmpcopyup")))
    done = rack.run(
        "sh", "-c", "cat /data/file; stat -c ' %u:%g' /data /data/file", change=change, root=mapped
    )
    assert done.text.split() == ["content", "7:8", "7:8"]


def test_masked_and_read_only_paths_hold_in_a_user_namespace(rack: Rack, mapped: BindRoot) -> None:
    made = look(rack, in_user_namespace(), root=mapped)
    assert "ro" in made["/proc/sys"].options
    assert made["/proc/keys"].fstype in ("tmpfs", "devtmpfs")
    done = rack.run("sh", "-c", "wc -c </proc/keys", change=in_user_namespace(), root=mapped)
    assert done.text == "0"
