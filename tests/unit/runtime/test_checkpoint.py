"""The pure parts of checkpoints: mounts from outside, requests, descriptions, what CRIU's log means, the plan."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest

from containerlib._sys.native import lib
from containerlib.errors import Conflict, InvalidArgument, NotFound, StageError, Unsupported
from containerlib.runtime.checkpoint.description import (
    Description,
    FromOutside,
    described_by,
    read_description,
    write_description,
)
from containerlib.runtime.checkpoint.failures import explained
from containerlib.runtime.checkpoint.messages import DUMP, PRE_DUMP, RESTORE, read_request
from containerlib.runtime.checkpoint.mounts import external, mount_lines
from containerlib.runtime.checkpoint.options import Options
from containerlib.runtime.checkpoint.outside import names_of, sources_of
from containerlib.runtime.checkpoint.requests import dump_request, restore_request
from containerlib.runtime.plan.container import Manner
from containerlib.runtime.plan.groups import Groups
from containerlib.runtime.plan.hooks import Program
from containerlib.runtime.plan.restored import Outside, Restored, restored_plan
from containerlib.runtime.plan.roots import OverlayRoot
from containerlib.spec.runtime import Spec
from containerlib.spec.values import evolve

MOUNTS = r"""114 88 0:46 / / rw,relatime - overlay none rw,lowerdir+=.
115 114 0:48 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw
119 114 0:50 / /dev rw,nosuid - tmpfs tmpfs rw,size=65536k,mode=755
120 119 0:50 /null /dev/other ro - tmpfs tmpfs rw,size=65536k,mode=755
121 119 0:52 / /dev/pts rw,nosuid,noexec,relatime - devpts devpts rw,gid=5
126 114 0:33 /containerlib/x /sys/fs/cgroup/cpu,cpuacct ro,relatime - cgroup cgroup rw,cpu,cpuacct
127 114 0:34 / /sys/fs/cgroup/unified ro,relatime - cgroup2 cgroup rw,nsdelegate
138 115 0:6 /null /proc/keys ro,nosuid,noexec,relatime - devtmpfs devtmpfs rw,size=10k
127 115 0:48 /sys /proc/sys ro,nosuid,nodev,noexec,relatime - proc proc rw
289 114 254:0 /data/a\040b /mnt/a\040b ro,relatime - ext4 /dev/vda rw
290 114 254:1 / /disk rw,relatime master:3 - xfs /dev/vdb rw
291 114 254:1 /below /disk2 rw,relatime - xfs /dev/vdb rw
292 114 0:46 /etc /again rw,relatime - overlay none rw,lowerdir+=.
"""


def spec(
    *mounts: dict[str, Any], namespaces: tuple[str, ...] = ("pid", "mount", "network"), **more: Any
) -> Spec:
    return cast(
        Spec,
        {
            "process": {"args": ["true"], "cwd": "/"},
            "root": {"path": "rootfs"},
            "mounts": list(mounts),
            "linux": {"namespaces": [{"type": kind} for kind in namespaces], **more},
        },
    )


def bind(at: str, source: str, *options: str) -> dict[str, Any]:
    return {"destination": at, "type": "bind", "source": source, "options": ["rbind", *options]}


# ---- mounts ----


def test_mounts_from_outside_are_those_that_nothing_inside_shows_whole() -> None:
    assert external(MOUNTS) == {
        "/sys/fs/cgroup/cpu,cpuacct": ("cgroup:cpu,cpuacct", "ro,relatime"),
        "/sys/fs/cgroup/unified": ("cgroup:", "ro,relatime"),
        "/proc/keys": ("null", "ro,nosuid,noexec,relatime"),
        "/mnt/a b": ("bind", "ro,relatime"),
        "/disk": ("bind", "rw,relatime"),
        "/disk2": ("bind", "rw,relatime"),
    }


def test_own_mounts_are_read() -> None:
    paths = [line.path for line in mount_lines(Path("/proc/self/mountinfo").read_text())]
    assert "/proc" in paths


DESCRIPTION = Description(
    {
        "/run/data": FromOutside("bind", "/var/run/data", "rw"),
        "/run/data/deep": FromOutside("bind", "/var/run/data/deep", "ro,nosuid"),
        "/proc/keys": FromOutside("null", "/proc/keys", "ro,nosuid,noexec"),
        "/proc/timer_list": FromOutside("null", "/proc/timer_list", "ro,nosuid,noexec"),
        "/sys/fs/cgroup/memory": FromOutside("cgroup:memory", "/sys/fs/cgroup/memory", "ro"),
        "/sys/fs/cgroup/cpu": FromOutside("cgroup:cpu", "/sys/fs/cgroup/cpu", "ro"),
    }
)


def test_each_mount_has_a_source_and_what_it_was_mounted_with(tmp_path: Path) -> None:
    groups = {"cpu,cpuacct": "/cg/cpu/x"}
    (tmp_path / "new" / "deep").mkdir(parents=True)
    config = spec(bind("/var/run/data", "new"))
    found = sources_of(DESCRIPTION, config, bundle=str(tmp_path), groups=groups, place="/p", nothing="/n")
    assert {name: (each.source, each.attributes) for name, each in found.items()} == {
        "/run/data": (f"{tmp_path}/new", 0),
        "/run/data/deep": (f"{tmp_path}/new/deep", 0x3),
        "/dev/null": ("/dev/null", 0xB),
        "/sys/fs/cgroup/memory": ("/n", 0x1),
        "/sys/fs/cgroup/cpu": ("/cg/cpu/x", 0x1),
    }
    assert len({each.place for each in found.values()}) == len(found)
    assert names_of(DESCRIPTION)["/proc/timer_list"] == "/dev/null"
    assert set(names_of(DESCRIPTION).values()) == set(found)


def test_image_that_is_mounted_is_a_source() -> None:
    description = Description({"/img": FromOutside("bind", "/img", "ro")})
    found = sources_of(description, spec(), bundle="/b", groups={}, place="/p", nothing="/n", images=["/img"])
    assert found["/img"].source == "/p/image-0"


def test_group_of_cgroup_v2_is_a_source() -> None:
    description = Description({"/sys/fs/cgroup": FromOutside("cgroup:", "/sys/fs/cgroup", "ro")})
    found = sources_of(description, spec(), bundle="/b", groups={"": "/cg/x"}, place="/p", nothing="/n")
    assert found["/sys/fs/cgroup"].source == "/cg/x"


def test_mount_without_a_source_is_not_found_by_its_name() -> None:
    with pytest.raises(NotFound, match="/run/data"):
        sources_of(DESCRIPTION, spec(), bundle="/b", groups={}, place="/p", nothing="/n")


def test_mount_that_was_writable_cannot_be_read_only() -> None:
    with pytest.raises(Unsupported, match="/var/run/data"):
        sources_of(
            Description({"/run/data": FromOutside("bind", "/var/run/data", "rw")}),
            spec(bind("/var/run/data", "/x", "ro")),
            bundle="/b",
            groups={},
            place="/p",
            nothing="/n",
        )


@pytest.mark.parametrize("below", ["../outside", "link/outside", "../../../../../../../../etc"])
def test_mount_below_another_is_found_in_that_alone(tmp_path: Path, below: str) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "top").mkdir()
    (tmp_path / "top" / "link").symlink_to(tmp_path)
    description = Description({"/data/x": FromOutside("bind", f"/data/{below}", "rw")})
    config = spec(bind("/data", f"{tmp_path}/top"))
    with pytest.raises(NotFound):
        sources_of(description, config, bundle="/b", groups={}, place="/p", nothing="/n")


@pytest.mark.parametrize("kind", ["tmpfs", "proc", ""])
def test_what_is_no_bind_is_no_source(kind: str) -> None:
    description = Description({"/data": FromOutside("bind", "/data", "rw")})
    config = spec({"destination": "/data", "type": kind, "source": "/etc"})
    with pytest.raises(NotFound, match="/data"):
        sources_of(description, config, bundle="/b", groups={}, place="/p", nothing="/n")


# ---- requests ----


def test_request_for_a_dump_says_what_comes_from_outside() -> None:
    options = Options(tcp="established", leave_running=True, cgroups="soft", page_server=("::1", 27))
    data = dump_request(
        17, options, images=5, work=6, outside={"/proc/keys": "/dev/null"}, network=42, freezer="/cg/f"
    )
    asked = read_request(data)
    opts = asked["opts"]
    assert asked["type"] == DUMP
    assert (opts["pid"], opts["images_dir_fd"], opts["work_dir_fd"]) == (17, 5, 6)
    assert opts["ext_mnt"] == [{"key": "/proc/keys", "val": "/dev/null"}]
    assert opts["external"] == ["net[42]:extRootNetNS"]
    assert opts["ps"] == {"address": "::1", "port": 27}
    assert (opts["leave_running"], opts["tcp_established"], opts["tcp_close"]) == (True, True, False)
    assert (opts["network_lock"], opts["manage_cgroups_mode"], opts["freeze_cgroup"]) == (2, 3, "/cg/f")
    assert "track_mem" not in opts


def test_request_for_a_dump_before_the_dump_tracks_memory() -> None:
    data = dump_request(1, Options(parent="../one"), images=5, work=6, outside={}, network=None, pre=True)
    asked = read_request(data)
    assert asked["type"] == PRE_DUMP
    assert (asked["opts"]["track_mem"], asked["opts"]["parent_img"]) == (True, "../one")


def test_packets_are_kept_away_only_where_connections_go_on() -> None:
    data = dump_request(1, Options(tcp="close"), images=5, work=6, outside={}, network=None)
    assert read_request(data)["opts"]["network_lock"] == 3


def test_request_for_a_restore_names_descriptors_by_the_contract() -> None:
    data = restore_request(
        Options(network="empty", lsm_profile="apparmor:x"),
        root="/r",
        sources={"/a": "/p/outside-0"},
        streams=["pipe:[1]", None, "pipe:[3]"],
        network=True,
    )
    asked = read_request(data)
    opts = asked["opts"]
    assert asked["type"] == RESTORE
    assert opts["inherit_fd"] == [
        {"key": "pipe:[1]", "fd": lib.CLIB_RESTORE_STDIN},
        {"key": "pipe:[3]", "fd": lib.CLIB_RESTORE_STDIN + 2},
        {"key": "extRootNetNS", "fd": lib.CLIB_RESTORE_NETWORK},
    ]
    assert (opts["root"], opts["rst_sibling"], opts["empty_ns"]) == ("/r", True, 0x40000000)
    assert opts["ext_mnt"] == [{"key": "/a", "val": "/p/outside-0"}]
    assert opts["lsm_profile"] == "apparmor:x"


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (Options(cgroups="some"), "checkpoint.cgroups"),
        (Options(tcp=cast(Any, "maybe")), "checkpoint.tcp"),
        (Options(network=cast(Any, "mine")), "checkpoint.network"),
        (Options(parent="/abs"), "checkpoint.parent"),
    ],
)
def test_option_that_cannot_be_is_refused(options: Options, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        options.check()
    assert caught.value.field == field


# ---- what lies beside the images ----


def images_at(directory: Path) -> Path:
    for name, size in (("inventory.img", 10), ("pages-1.img", 4096)):
        (directory / name).write_bytes(bytes(size))
    return directory


def test_description_is_read_as_it_was_written(tmp_path: Path) -> None:
    images_at(tmp_path)
    written = Description(DESCRIPTION.outside, ("/dev/null", "pipe:[1]", "pipe:[2]"))
    write_description(str(tmp_path), written)
    found = read_description(str(tmp_path), spec())
    assert (found.outside, found.streams) == (written.outside, written.streams)
    assert found.sizes == {"inventory.img": 10, "pages-1.img": 4096}
    assert json.loads((tmp_path / "descriptors.json").read_text()) == list(written.streams)


def test_sizes_are_also_of_what_the_images_build_on(tmp_path: Path) -> None:
    for name, before in (("a", None), ("b", "../a"), ("c", "../b")):
        (tmp_path / name).mkdir()
        images_at(tmp_path / name)
        if before is not None:
            (tmp_path / name / "parent").symlink_to(before)
    write_description(str(tmp_path / "c"), DESCRIPTION)
    assert read_description(str(tmp_path / "c"), spec()).sizes["parent/parent/pages-1.img"] == 4096
    (tmp_path / "a/pages-1.img").unlink()
    with pytest.raises(InvalidArgument, match=r"parent/parent/pages-1\.img is missing"):
        read_description(str(tmp_path / "c"), spec())


@pytest.mark.parametrize("size", [4095, 4097, None])
def test_image_of_another_size_is_refused_by_name(tmp_path: Path, size: int | None) -> None:
    write_description(str(images_at(tmp_path)), DESCRIPTION)
    pages = tmp_path / "pages-1.img"
    pages.write_bytes(bytes(size)) if size is not None else pages.unlink()
    with pytest.raises(InvalidArgument, match=r"pages-1\.img"):
        read_description(str(tmp_path), spec())


def test_directory_without_images_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read_description(str(tmp_path), spec())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"version": 2}',
        b'{"version": 1, "outside": {"/a": 1}, "streams": [], "sizes": {}}',
        b'{"version": 1, "outside": {"/a": ["x"]}, "streams": [], "sizes": {}}',
        b'{"version": 1, "outside": {}, "streams": [], "sizes": {"a": "b"}}',
    ],
)
def test_damaged_description_is_refused(tmp_path: Path, data: bytes) -> None:
    (images_at(tmp_path) / "containerlib.json").write_bytes(data)
    with pytest.raises(InvalidArgument):
        read_description(str(tmp_path), spec())


def test_checkpoint_of_another_runtime_is_described_by_the_configuration(tmp_path: Path) -> None:
    (images_at(tmp_path) / "descriptors.json").write_text('["/dev/null", "pipe:[1]", "pipe:[2]"]')
    config = spec(bind("/data", "/srv", "ro"), maskedPaths=["/proc/keys"])
    found = read_description(str(tmp_path), config)
    assert found.streams == ("/dev/null", "pipe:[1]", "pipe:[2]")
    assert found.outside["/data"] == FromOutside("bind", "/data", "rbind,ro")
    assert found.outside["/proc/keys"].kind == "null"


def test_damaged_descriptors_of_another_runtime_are_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"descriptors\.json"):
        described_by(spec(), b"{")


# ---- failures ----

LOG = """(00.000007) Version: 4.2 (gitid 0)
(00.003) Error (criu/util.c:1534): rlimit: Can't setup RLIMIT_NOFILE for self: Operation not permitted
(00.004) Error (criu/tun.c:85): tun: Unable to create tun: Operation not permitted
(00.010) Dumping task (pid: 17 comm: redis-server)
(00.020) Error (criu/sk-inet.c:191): inet: Connected TCP socket, consider using --tcp-established option.
(00.021) Error (criu/cr-dump.c:1607): Dump files (pid: 17 comm: redis-server) failed with -1
(00.030) Error (criu/cr-dump.c:1975): Dumping FAILED.""".splitlines()


def test_failure_names_the_process_the_resource_and_what_to_do() -> None:
    error = explained("dump", 56, LOG, subject="container x", where="/w/dump.log")
    assert isinstance(error, Conflict)
    assert "process 17 (redis-server): a TCP connection is open" in str(error)
    assert 'tcp="established"' in str(error)
    assert error.__notes__[0].startswith("/w/dump.log:\n  | (00.000007) Version")


def test_failure_of_an_unknown_kind_quotes_the_first_error() -> None:
    lines = ["(00.010)     17: Error (criu/x.c:1): Can't do it: No space left on device", *LOG[-1:]]
    error = explained("restore", 56, lines, subject="/images", where="/w/restore.log")
    assert isinstance(error, StageError)
    assert (error.stage, error.errno) == ("restore", 0)
    assert str(error) == "restore: /images; Can't do it: No space left on device"


def test_failure_without_a_log_says_so() -> None:
    error = explained("dump", 3, [], subject="container x", where="/w/dump.log")
    assert isinstance(error, StageError)
    assert error.errno == 3
    assert error.__notes__ == ["/w/dump.log is empty"]


def test_what_a_process_calls_itself_drives_no_terminal() -> None:
    lines = ["(00.1) Error (a.c:1): pid 5 \x1b[2J fails", "(00.0) Dumping task (pid: 5 comm: \x1b]0;x)"]
    error = explained("dump", 0, lines, subject="container x", where="/w")
    assert "\x1b" not in str(error)
    assert "\x1b" not in error.__notes__[0]


# ---- the plan ----

RESTORED = Restored(
    "/usr/sbin/criu",
    "/images",
    "/work",
    "/place",
    b"request",
    (Outside("/srv", "/place/outside-0", 1, "/data"),),
    ("PATH=/bin",),
)


def plan(config: Spec, restored: Restored = RESTORED) -> list[tuple[str, str]]:
    made = restored_plan(
        config,
        "/bundle/rootfs",
        OverlayRoot(("/lower",), "/upper", "/work"),
        Groups(join_files=("/cg/tasks",)),
        restored,
        container_id="x",
        manner=Manner(links=("eth0",)),
    )
    assert made.clone_flags == 0x00020000 | (
        0x40000000 if any(n["type"] == "network" for n in config["linux"]["namespaces"]) else 0
    )
    return [(op.name, op.origin) for op in made.before]


def test_plan_has_who_brings_memory_where_that_comes_later() -> None:
    names = [name for name, _ in plan(spec(), evolve(RESTORED, pages=True))]
    assert names[-3:] == ["pages", "request", "restore"]
    assert [name for name in names if name != "pages"] == [name for name, _ in plan(spec())]


def test_plan_makes_what_is_the_hosts_and_leaves_the_rest_to_criu() -> None:
    names = [name for name, _ in plan(spec(namespaces=("pid", "mount", "network", "ipc", "uts", "cgroup")))]
    assert names == [
        "cgroup_join",
        "unshare",
        "loopback_up",
        "links",
        "propagation",
        "root_bind",
        "mount",
        "bind",
        "root_overlay",
        "target",
        "parent_death",
        "request",
        "restore",
    ]


def test_plan_puts_files_back_before_its_root_is_mounted() -> None:
    first = Program(("/usr/bin/python3", "-m", "x"), ("PATH=/bin",))
    names = [name for name, _ in plan(spec(namespaces=("pid", "mount")), evolve(RESTORED, first=first))]
    assert names[names.index("hook") - 1] == "handover"
    assert names.index("hook") < names.index("root_overlay")


def test_plan_shows_criu_what_it_has_found_of_the_kernel() -> None:
    facts = ("/kept/facts", "/run/criu.kdat")
    made = plan(spec(namespaces=("pid", "mount")), evolve(RESTORED, facts=facts))
    assert ("bind", "CRIU's facts") in made[made.index(("mount", "/place")) :]


def test_plan_without_a_network_of_its_own_connects_none() -> None:
    assert "loopback_up" not in [name for name, _ in plan(spec(namespaces=("pid", "mount")))]


@pytest.mark.parametrize(
    "config",
    [
        spec(namespaces=("pid", "mount", "user")),
        spec(namespaces=("pid",)),
        cast(
            Spec,
            {
                **spec(),
                "linux": {"namespaces": [{"type": "mount"}, {"type": "ipc", "path": "/proc/1/ns/ipc"}]},
            },
        ),
    ],
    ids=["user", "no-mount", "joined-ipc"],
)
def test_namespaces_that_cannot_be_restored_are_unsupported(config: Spec) -> None:
    with pytest.raises(Unsupported):
        plan(config)
