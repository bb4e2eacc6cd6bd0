"""Mounts under attack: destinations that a neighbour exchanges while containers start, and ways onto /proc.

The neighbour has a volume or a whole root in common with the container that starts, and exchanges a directory there
with a symlink out of it all the time. Nothing may be mounted, made, copied or made read-only outside.
"""

from __future__ import annotations

import errno
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from containerlib.errors import InvalidArgument, StageError
from containerlib.runtime import BindRoot
from rig.bundles import Done, Rack
from rig.mounts import Change, entry, with_mounts

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

STARTS = 200


@contextmanager
def exchanging(attack_layer: Path, a: Path, b: Path) -> Iterator[None]:
    """The neighbour, who has to be at it to the end."""
    argv = [str(attack_layer / "bin/attack"), "exchange", str(a), str(b), "120"]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as racer:
        try:
            yield
            assert racer.poll() is None, "the race was not on to the end"
        finally:
            racer.kill()


def state_of(outside: Path) -> list[tuple[str, int, int, int]]:
    """Every file of it with its mode, its owner and its device: a mount has another."""
    paths = sorted([outside, *outside.rglob("*")])
    return [(str(p), p.lstat().st_mode, p.lstat().st_uid, p.lstat().st_dev) for p in paths]


def mounts(path: Path) -> list[str]:
    """The host's mounts at or below `path`, with all that is said of them."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return sorted(line.split(" ", 2)[2] for line in lines if str(path) in line)


def upwards(path: Path) -> str:
    """A link's text that leads to `path` from wherever it is, if nobody stops it at a root."""
    return f"{'../' * 30}{str(path).lstrip('/')}"


MAPS = [{"containerID": 0, "hostID": 1000, "size": 10}]
RACES: dict[str, Callable[[Path], Change]] = {
    "new": lambda _: with_mounts(
        entry("/volume/a/deep", "tmpfs", "tmpfs", "ro"), entry("/volume/a/deep/er", "ramfs", "x", "silent")
    ),
    "bound": lambda source: with_mounts(
        entry("/volume/a/deep", "bind", str(source), "rbind", "ro", "rprivate"),
        entry("/volume/a/made/file", "bind", str(source / "file"), "bind", "nosuid"),
    ),
    "id-mapped": lambda source: with_mounts(
        entry("/volume/a/deep", "bind", str(source), "bind", "idmap", uidMappings=MAPS, gidMappings=MAPS)
    ),
    "remounted": lambda source: with_mounts(
        entry("/volume/a/deep", "bind", str(source), "bind"),
        entry("/volume/a/deep", "bind", "none", "bind", "remount", "ro", "noexec"),
    ),
    "symlink": lambda source: with_mounts(
        entry("/volume/a/made/link", "bind", str(source / "link"), "bind", "copy-symlink")
    ),
    "masked": lambda _: with_mounts(maskedPaths=["/volume/a/deep", "/volume/a/secret"]),
    "read-only": lambda _: with_mounts(readonlyPaths=["/volume/a"]),
    "device": lambda _: with_mounts(
        devices=[{"path": "/volume/a/deep/device", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666}]
    ),
}


@pytest.mark.parametrize("kind", RACES)
def test_mount_where_a_neighbour_exchanges_directory_and_link_stays_in_the_container(
    rack: Rack, attack_layer: Path, tmp_path: Path, outside: Path, kind: str
) -> None:
    """CVE-2021-30465, CVE-2024-45310, CVE-2025-31133"""
    volume, source = tmp_path / "volume", tmp_path / "source"
    volume.joinpath("a/deep").mkdir(parents=True)
    volume.joinpath("link").symlink_to(upwards(outside))
    source.mkdir()
    source.joinpath("file").touch()
    source.joinpath("link").symlink_to("nowhere")
    bind = with_mounts(entry("/volume", "bind", str(volume), "bind"))
    race = RACES[kind](source)

    def change(spec: dict[str, Any]) -> None:
        bind(spec)
        race(spec)

    before, before_mounts = state_of(outside), mounts(tmp_path)
    started = refused = 0
    with exchanging(attack_layer, volume / "a", volume / "link"):
        for _ in range(STARTS):
            try:
                done = rack.run("grep", "-rhs", "^secret$", "/volume", change=change)
                assert done.stdout == b""
                started += 1
            except StageError:
                refused += 1
    assert state_of(outside) == before
    assert mounts(tmp_path) == before_mounts
    assert started, f"all {refused} were refused, so little was tried"


@pytest.fixture
def common_root(busybox_rootfs: Path, tmp_path: Path) -> Path:
    """A root that a neighbour has too, with an empty /data."""
    root = tmp_path / "root"
    subprocess.run(["cp", "-a", busybox_rootfs, root], check=True)
    root.joinpath("data").mkdir()
    return root


def copy_up_and(rack: Rack, root: Path, *argv: str) -> Done | None:
    """What `argv` says after a copy of /data, where that was made."""
    change = with_mounts(entry("/data", "tmpfs", "tmpfs", "tmpcopyup"))
    with suppress(StageError):
        return rack.run(*argv, change=change, root=BindRoot(str(root)))
    return None


def test_tmpcopyup_where_a_neighbour_exchanges_directory_and_link_copies_nothing_from_outside(
    rack: Rack, attack_layer: Path, common_root: Path, outside: Path
) -> None:
    data = common_root / "data"
    data.joinpath("a/deep").mkdir(parents=True)
    for number in range(50):
        data.joinpath(f"a/{number}").write_text("public")
    data.joinpath("link").symlink_to(upwards(outside))
    with exchanging(attack_layer, data / "a", data / "link"):
        outcomes = [copy_up_and(rack, common_root, "grep", "-rs", "secret", "/data") for _ in range(STARTS)]
    made = [done for done in outcomes if done]
    assert made, "all were refused, so little was tried"
    assert {done.stdout for done in made} == {b""}


@pytest.mark.parametrize("other", ["mkfifo", "ln -s ../../etc/passwd", "mkdir"])
def test_tmpcopyup_of_a_file_that_becomes_something_else_ends(
    rack: Rack, attack_layer: Path, common_root: Path, other: str
) -> None:
    """Opening a FIFO waits for ever, and a link leads anywhere."""
    data = common_root / "data"
    data.joinpath("file").write_text("public")
    subprocess.run([*other.split(), data / "other"], check=True)
    script = "find /data -type f -exec cat {} ;"
    with exchanging(attack_layer, data / "file", data / "other"):
        outcomes = [copy_up_and(rack, common_root, *script.split()) for _ in range(STARTS)]
    made = {done.text for done in outcomes if done}
    assert "public" in made, "all were refused, so little was tried"
    assert made <= {"", "public", "publicpublic"}


# ---- ways onto /proc ----


@pytest.mark.parametrize(
    ("link", "destination", "mount"),
    [
        ("/proc", "/door/self/attr", ("tmpfs", "tmpfs")),
        ("/proc/self/attr", "/door", ("tmpfs", "tmpfs")),
        ("/proc/self/attr", "/door/exec", ("bind", "/proc/self/sched", "bind")),
        ("/proc/sys", "/door", ("bind", "/tmp", "rbind")),
        ("/proc", "/door", ("bind", "/proc", "rbind")),
        ("/proc", "/door", ("bind", "none", "bind", "remount", "rw")),
        ("/proc", "/door", ("proc", "none", "remount", "hidepid=0")),
        ("../../proc/sys/kernel", "/door/core_pattern", ("bind", "/dev/null", "bind")),
        ("/proc/self/attr", "/door", ("overlay", "x", "silent", "lowerdir=/tmp:/usr")),
    ],
)
def test_destination_that_a_link_leads_onto_proc_is_refused(
    rack: Rack, layer: Path, link: str, destination: str, mount: tuple[str, ...]
) -> None:
    """CVE-2019-16884, CVE-2019-19921, CVE-2023-27561, CVE-2023-28642, CVE-2025-52881: labels go to a false file."""
    layer.joinpath("door").symlink_to(link)
    with pytest.raises(StageError) as caught:
        rack.run("true", lowers=(layer,), change=with_mounts(entry(destination, *mount)))
    assert caught.value.errno == errno.ELOOP
    assert "not to be trusted" in str(caught.value)


@pytest.mark.parametrize("name", ["uptime", "sys"])
def test_image_with_a_link_for_a_replaceable_file_of_proc_is_refused(
    rack: Rack, layer: Path, tmp_path: Path, name: str
) -> None:
    """A name that is allowed must be that file, and not what the image has made of it before /proc is there."""
    layer.joinpath("proc").mkdir()
    target = "/proc/uptime" if name == "uptime" else "/proc/sys/kernel/ns_last_pid"
    layer.joinpath("proc", name).symlink_to("/etc")
    tmp_path.joinpath("figures").touch()

    def change(spec: dict[str, Any]) -> None:
        spec["mounts"] = [entry(target, "bind", str(tmp_path / "figures"), "bind"), *spec["mounts"]]

    with pytest.raises(StageError) as caught:
        rack.run("true", lowers=(layer,), change=change)
    assert (caught.value.stage, caught.value.errno) == ("bind", errno.ELOOP)


@pytest.mark.parametrize("destination", ["/proc", "//proc/", "/tmp/../proc", "proc"])
@pytest.mark.parametrize("kind", ["tmpfs", "overlay", "sysfs"])
def test_proc_of_another_kind_is_refused(rack: Rack, destination: str, kind: str) -> None:
    """CVE-2019-16884"""
    with pytest.raises(InvalidArgument):
        rack.run("true", change=with_mounts(entry(destination, kind, kind)))


def test_bind_on_proc_of_what_is_none_is_refused(rack: Rack, outside: Path) -> None:
    """CVE-2019-16884: a directory with the looks of a /proc."""
    with pytest.raises(StageError, match="only a procfs") as caught:
        rack.run("true", change=with_mounts(entry("/proc", "bind", str(outside), "rbind")))
    assert (caught.value.stage, caught.value.errno) == ("bind", errno.ENODEV)


def test_attributes_of_the_host_survive_a_recursive_bind_that_clears_them(rack: Rack, tmp_path: Path) -> None:
    """A mount in the container is another one than its source: words never reach that."""
    source = tmp_path / "source"
    source.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "x", source], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro,nosuid,nodev,noexec", source], check=True)
        before = mounts(source)
        words = ("rbind", "rrw", "rsuid", "rdev", "rexec", "rshared")
        change = with_mounts(entry("/new", "bind", str(source), *words))
        options = rack.run("grep", " /new ", "/proc/mounts", change=change).text.split()[3].split(",")
        assert {"ro", "nosuid", "nodev", "noexec"}.isdisjoint(options)
        assert mounts(source) == before
    finally:
        subprocess.run(["umount", source], check=True)
