"""Mounts whose ids are mapped, and mounts in a user namespace.

Spec: runtime-spec config.md#mounts (uidMappings), config-linux.md#user-namespace-mappings
"""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from containerlib.errors import InvalidArgument, StageError
from containerlib.runtime import BindRoot
from rig.bundles import Done, Rack
from rig.mounts import (
    Change,
    both,
    entry,
    look,
    mount,
    shell,
    with_mounts,
)

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")


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
