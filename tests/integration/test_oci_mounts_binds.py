"""What a bind's options make of it and of the mounts below, and what propagates to where.

Spec: runtime-spec config.md#linux-mount-options, config-linux.md#rootfs-mount-propagation
"""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest

from containerlib.errors import StageError
from containerlib.runtime import BindRoot
from containerlib.spec.options import ContainerOptions
from rig.bundles import Rack
from rig.mounts import (
    Change,
    entry,
    look,
    mount,
    mounts_of,
    shell,
    with_mounts,
)

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

MOUNTER = ContainerOptions(cap_add=("SYS_ADMIN",), seccomp="unconfined", read_only=False)

# ---- binds ----

FORBIDDEN = "nosuid,nodev,noexec,noatime,nodiratime,nosymfollow"


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
