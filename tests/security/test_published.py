"""Published attacks on runtimes of this kind that the other files here have no place for, one after the other."""

from __future__ import annotations

import errno
import json
import os
import resource
import socket
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from containerlib import Engine
from containerlib.bundles.users import ResolvedUser, resolve_user
from containerlib.errors import Error, InvalidArgument, StageError
from containerlib.oci_cli.verb_spec import example, rootless
from containerlib.runtime.containers.notify import NotifySocket
from containerlib.spec.options import ContainerOptions, Limits
from rig.bundles import Rack, until
from rig.images import Image, busybox_layer
from rig.oci import Command, make_bundle
from rig.user_namespaces import HOST_ID, in_user_namespace, make_mapped_root

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A directory of the host, with what a runtime is known to have removed, replaced or changed."""
    path = tmp_path / "outside"
    path.mkdir()
    for name in ("ptmx", "null", "file"):
        path.joinpath(name).write_text("untouched")
    return path


def state_of(outside: Path) -> dict[str, tuple[int, int, int, str]]:
    """Every file of it with its mode, owner and content."""
    facts = {path: path.lstat() for path in (outside, *outside.rglob("*"))}
    return {
        str(path): (stat.st_mode, stat.st_uid, stat.st_gid, path.read_text() if path.is_file() else "")
        for path, stat in facts.items()
    }


def upwards(path: Path) -> str:
    """A link's text that leads to `path` from wherever it is, if nobody stops it at a root."""
    return f"{'../' * 30}{str(path).lstrip('/')}"


def without_dev(spec: dict[str, Any]) -> None:
    """What the image has in /dev stays in sight: no engine asks for that, but a bundle may."""
    spec["mounts"] = [mount for mount in spec["mounts"] if not mount["destination"].startswith("/dev")]


# ---- the image's /dev ----


@pytest.mark.parametrize(
    "kind", ["own /dev", "devices", "devices and a terminal", "a terminal and a read-only root"]
)
@pytest.mark.parametrize("link", ["dev", "dev/pts", "dev/console", "dev/null", "dev/ptmx", "dev/fd"])
def test_image_with_a_link_in_place_of_a_device_changes_nothing_on_the_host(
    rack: Rack, layer: Path, outside: Path, link: str, kind: str
) -> None:
    """CVE-2026-41579, CVE-2026-47766, CVE-2026-88264, CVE-2025-52565: devices and links are made, and an old ptmx
    removed, where /dev of the image leads to."""
    layer.joinpath(link).parent.mkdir(exist_ok=True)
    target = outside if link in ("dev", "dev/pts") else outside / "new"
    layer.joinpath(link).symlink_to(upwards(target))
    before, terminal = state_of(outside), "terminal" in kind

    def change(spec: dict[str, Any]) -> None:
        if kind != "own /dev":
            without_dev(spec)
        if "devices" in kind:
            node = {"type": "c", "major": 1, "minor": 3, "uid": 7, "gid": 7}
            paths = ("/dev/null", "/dev/ptmx", "/dev/pts/extra", "/dev/extra")
            spec["linux"]["devices"] = [{**node, "path": path} for path in paths]
        spec["root"]["readonly"] = "read-only" in kind
        spec["process"]["terminal"] = terminal

    with suppress(StageError):
        rack.run("true", lowers=(layer,), change=change, terminal=(24, 80) if terminal else None)
    assert state_of(outside) == before


@pytest.mark.parametrize("verb", ["run", "exec"])
def test_streams_on_null_are_not_reopened_through_a_link_of_the_image(
    rack: Rack, layer: Path, outside: Path, verb: str
) -> None:
    """CVE-2026-88265, CVE-2015-3627: the file of the host that it leads to became stdio, and the user's."""
    layer.joinpath("dev").mkdir()
    layer.joinpath("dev/null").symlink_to(upwards(outside / "file"))
    before = state_of(outside)
    user = ResolvedUser(1000, 1000, (), "/")
    script = "echo escaped; echo escaped >&2; echo escaped >&0; exit 0"
    words: dict[str, Any] = {"lowers": (layer,), "change": without_dev, "user": user}
    if verb == "run":
        rack.run("sh", "-c", script, log=None, **words)
    else:
        with rack.create("sleep", "60", **words).execute("sh", "-c", script) as supervisor:
            supervisor.wait(10.0)
            supervisor.finished()
    assert state_of(outside) == before


@pytest.mark.parametrize("where", ["etc", "etc/mtab", "dev"])
def test_links_that_the_runtime_makes_stay_in_the_root(
    rack: Rack, layer: Path, outside: Path, where: str
) -> None:
    """CVE-2024-5154: a link called mtab was made on the host."""
    layer.joinpath(where).parent.mkdir(exist_ok=True)
    layer.joinpath(where).symlink_to(upwards(outside))
    before = state_of(outside)
    rack.run("true", lowers=(layer,))
    assert state_of(outside) == before


@pytest.mark.parametrize("kind", ["maskedPaths", "readonlyPaths"])
@pytest.mark.parametrize("path", ["/secret", "/deep/secret"])
def test_masked_path_that_is_a_link_of_the_image_is_refused(
    rack: Rack, layer: Path, outside: Path, kind: str, path: str
) -> None:
    """CVE-2019-18837: what the link points to on the host was masked, and the path in the container was not."""
    if path == "/secret":
        layer.joinpath("secret").symlink_to(upwards(outside / "file"))
    else:
        layer.joinpath("deep").symlink_to(upwards(outside))
    mounts = Path("/proc/self/mountinfo").read_text()
    with pytest.raises(StageError) as caught:
        rack.run("true", lowers=(layer,), change=lambda spec: spec["linux"].update({kind: [path]}))
    assert caught.value.errno == errno.ELOOP
    assert Path("/proc/self/mountinfo").read_text() == mounts


@pytest.mark.parametrize("target", ["file", "."])
def test_tmpcopyup_of_a_link_of_the_image_copies_nothing_of_the_host(
    rack: Rack, layer: Path, outside: Path, target: str
) -> None:
    """CVE-2022-23648: an image's volume was a link, and what it led to on the host was copied into the container."""
    layer.joinpath("data").symlink_to(upwards(outside / target))

    def change(spec: dict[str, Any]) -> None:
        copied = {"destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]}
        spec["mounts"].append(copied)

    with suppress(StageError):
        done = rack.run("grep", "-rs", "untouched", "/data/", lowers=(layer,), change=change)
        assert done.stdout == b""


@pytest.mark.parametrize("kind", ["bind", "tmpfs", "a device"])
def test_container_that_is_started_again_does_not_follow_the_links_that_it_left(
    rack: Rack, outside: Path, kind: str
) -> None:
    """CVE-2015-3629: what the first start had mounted on was a link by the second."""
    link = upwards(outside)

    def change(spec: dict[str, Any]) -> None:
        without_dev(spec)
        node = {"type": "c", "major": 1, "minor": 3, "uid": 7, "gid": 7, "path": "/data/new"}
        mount = {"destination": "/data", "type": "tmpfs", "source": "tmpfs"}
        if kind == "bind":
            mount = {
                "destination": "/data",
                "type": "bind",
                "source": str(rack.directory),
                "options": ["bind"],
            }
        if kind == "a device":
            spec["linux"]["devices"] = [node]
        else:
            spec["mounts"].append(mount)

    name = "again"
    before, mounts = state_of(outside), Path("/proc/self/mountinfo").read_text()
    rack.run("sh", "-c", f"rm -rf /data; ln -s {link} /data", name=name)
    with suppress(StageError):
        done = rack.run("sh", "-c", "ls /data/ && echo touched >/data/file", name=name, change=change)
        assert b"file" not in done.stdout
    assert state_of(outside) == before
    assert Path("/proc/self/mountinfo").read_text() == mounts


# ---- who the program is ----


@pytest.mark.parametrize("number", ["1000", "4294967296", "99999999999999999999"])
def test_number_that_the_image_has_as_a_name_is_not_that_users(layer: Path, number: str) -> None:
    """CVE-2016-3697, CVE-2026-46680: a line of passwd whose name is a number made the program root's."""
    layer.joinpath("etc").mkdir()
    layer.joinpath("etc/passwd").write_text(f"{number}:x:0:0::/root:/bin/sh\n")
    layer.joinpath("etc/group").write_text(f"{number}:x:0:\n")
    for text in (number, f"{number}:{number}", f"65534:{number}"):
        if number != "1000":
            with pytest.raises(InvalidArgument):
                resolve_user(text, (str(layer),))
            continue
        user = resolve_user(text, (str(layer),))
        assert user.uid in (1000, 65534)
        assert user.gid != 0 or ":" not in text


@pytest.mark.parametrize("uid", [2**31, 2**32 - 1, 2**32, 2**32 + 1000, 2**62, 2**64, -1, -(2**31)])
@pytest.mark.parametrize("kind", ["uid", "gid", "additionalGids"])
def test_id_beyond_the_kernels_does_not_come_round_to_root(rack: Rack, kind: str, uid: int) -> None:
    """CVE-2024-40635"""

    def change(spec: dict[str, Any]) -> None:
        spec["process"]["user"] = {"uid": 1, "gid": 1} | {kind: [uid] if kind == "additionalGids" else uid}

    try:
        done = rack.run("sh", "-c", "id -u; id -g; id -G", change=change)
    except Error:
        return
    assert "0" not in done.text.split(), done.text
    assert str(uid) in done.text.split(), done.text


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        ("1", ["1", "0"]),
        ("1:1", ["1", "1"]),
        ("0:5", ["0", "5"]),
        ("1000:", None),
        (":1", None),
        ("-1", None),
    ],
)
def test_user_of_an_exec_by_the_command_is_the_one_that_was_asked_for(
    oci: Command, tmp_path: Path, busybox_rootfs: Path, flag: str, expected: list[str] | None
) -> None:
    """CVE-2026-30892: `exec --user 1` was user 0."""
    oci.detach(make_bundle(tmp_path / "bundle", busybox_rootfs, "sleep", "60"), "c1").ok()
    answer = oci("exec", "--user", flag, "c1", "sh", "-c", "id -u; id -g")
    if expected is None:
        assert answer.status != 0
        assert answer.stdout == ""
    else:
        assert answer.text.split() == expected


@pytest.mark.parametrize(
    "words", [(), ("--cap", "CAP_NET_ADMIN"), ("--cap", "CAP_SYS_ADMIN", "--user", "1000:1000")]
)
def test_process_by_the_command_has_no_inheritable_and_no_ambient_capability(
    oci: Command, tmp_path: Path, busybox_rootfs: Path, words: tuple[str, ...]
) -> None:
    """CVE-2022-29162, CVE-2022-24769, CVE-2022-27649, CVE-2022-27650, CVE-2025-27612, CVE-2016-8867"""
    script = "cat /proc/self/status"
    bundle = make_bundle(tmp_path / "bundle", busybox_rootfs, "sh", "-c", f"{script} >/tmp/status; sleep 60")
    told = oci(
        "run", "--bundle", make_bundle(tmp_path / "other", busybox_rootfs, "sh", "-c", script), "c0"
    ).text
    oci.detach(bundle, "c1").ok()
    for text in (told, oci("exec", *words, "c1", "sh", "-c", script).text):
        status = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
        assert (int(status["CapInh"], 16), int(status["CapAmb"], 16)) == (0, 0)


@pytest.mark.parametrize("kind", ["run", "exec"])
def test_program_in_a_user_namespace_has_no_group_of_the_hosts(
    rack: Rack, tmp_path: Path, busybox_rootfs: Path, kind: str
) -> None:
    """CVE-2022-2989, CVE-2022-2990, CVE-2022-36109, CVE-2023-25173: groups that the caller has."""
    root = make_mapped_root(tmp_path, busybox_rootfs)
    before = os.getgroups()
    os.setgroups([0, 27, 44])
    try:
        argv = ("sh", "-c", "grep Groups /proc/self/status; exec sleep 60")
        container = rack.create(*argv, change=in_user_namespace, root=root)
        until(lambda: b"Groups" in Path(container.directory, "log").read_bytes())
        done = container.output("grep", "Groups", "/proc/self/status")
        container.supervisor.signal(9)
        text = done.text if kind == "exec" else container.finish().text
    finally:
        os.setgroups(before)
    assert text.split() == ["Groups:"]


def test_processes_in_a_user_namespace_are_held_by_the_containers_limits(
    rack: Rack, tmp_path: Path, busybox_rootfs: Path
) -> None:
    """CVE-2025-47291: with a user namespace they were in the runtime's own group."""
    root = make_mapped_root(tmp_path, busybox_rootfs)
    options = ContainerOptions(limits=Limits(pids=8))
    container = rack.create("sleep", "60", change=in_user_namespace, root=root, options=options)
    script = "for i in 1 2 3 4 5 6 7 8 9; do sleep 5 & done; wait"
    done = container.output("sh", "-c", script)
    assert b"fork" in done.stderr.lower()


# ---- hooks, and what a container may say of itself ----


def test_label_of_an_image_is_nothing_that_the_runtime_goes_by(
    engine: Engine, tmp_path: Path, busybox_rootfs: Path
) -> None:
    """CVE-2026-53488, CVE-2024-3154: labels and annotations that commands of the host were taken from."""
    witness = tmp_path / "witness"
    labels = {
        "org.systemd.property.ExecStartPre": f"[('/bin/touch', ['/bin/touch', '{witness}'], false)]",
        "containerd.io/restart.loguri": f"binary:///bin/touch?{witness}",
        "run.oci.hooks.stderr": str(witness),
        "run.oci.handler": "/bin/touch",
    }
    layout = Image((busybox_layer(),), {"Labels": labels}).write_layout(tmp_path / "image")
    (image,) = engine.images.load(layout)
    with engine.container(image).start("sleep", "60") as container:
        config = Path(engine.root, "containers", container.id, "config.json").read_text()
        assert not any(word in config for pair in labels.items() for word in pair)
    assert not witness.exists()


@pytest.mark.parametrize("kind", ["prestart", "createRuntime", "createContainer", "poststart"])
def test_hook_has_nothing_of_the_containers_environment(rack: Rack, tmp_path: Path, kind: str) -> None:
    """CVE-2025-23266: a hook that is a program of the host had LD_PRELOAD of the image."""
    record = tmp_path / "record"
    record.mkdir()
    told = "tr '\\0' '\\n' </proc/self/environ"

    def change(spec: dict[str, Any]) -> None:
        spec["process"]["env"] += [
            "LD_PRELOAD=./evil.so",
            "PATH=/tmp/evil",
            "BASH_ENV=/tmp/evil",
            "ENV=/tmp/evil",
        ]
        spec["process"]["cwd"] = "/tmp"
        script = f"export PATH=/bin:/usr/bin; {told} >{record}/env"
        spec["hooks"] = {kind: [{"path": "/bin/sh", "args": ["sh", "-c", script]}]}
        spec["mounts"].append(
            {"destination": str(record), "type": "bind", "source": str(record), "options": ["bind"]}
        )

    rack.run("/bin/true", change=change)
    assert record.joinpath("env").read_text().split() == []


@pytest.mark.parametrize("network", ["own", "host"])
def test_control_groups_of_a_rootless_config_cannot_be_written(
    rack: Rack, tmp_path: Path, busybox_rootfs: Path, network: str
) -> None:
    """CVE-2023-25809: /sys of a rootless container is the host's, where /sys/fs/cgroup stayed writable."""
    root = make_mapped_root(tmp_path, busybox_rootfs)
    spec = rootless(example(unified=Path("/sys/fs/cgroup/cgroup.controllers").exists()), HOST_ID, HOST_ID)
    mounts = [mount for mount in spec["mounts"] if mount["destination"].startswith("/sys")]

    def change(config: dict[str, Any]) -> None:
        in_user_namespace(config)
        config["mounts"] = [m for m in config["mounts"] if not m["destination"].startswith("/sys")] + mounts
        kinds = ("network", "cgroup") if network == "host" else ("cgroup",)
        linux = config["linux"]
        linux["namespaces"] = [n for n in linux["namespaces"] if n["type"] not in kinds]
        if network == "host":
            linux.pop("sysctl", None)

    script = "for d in $(find /sys/fs/cgroup -type d); do mkdir $d/evil; done"
    done = rack.run("sh", "-c", script, change=change, root=root)
    refusals = done.stderr.decode().splitlines()
    assert refusals, "there was nothing to try"
    assert [line for line in refusals if not line.endswith("Read-only file system")] == []


COMPARISONS: list[tuple[str, int, int, bool]] = [
    (operator, value, argument, holds)
    for operator, function in (
        ("SCMP_CMP_LT", int.__lt__),
        ("SCMP_CMP_LE", int.__le__),
        ("SCMP_CMP_GT", int.__gt__),
        ("SCMP_CMP_GE", int.__ge__),
        ("SCMP_CMP_EQ", int.__eq__),
        ("SCMP_CMP_NE", int.__ne__),
    )
    for value, argument in (
        (0x1_0000_0000, 0x0_FFFF_FFFF),
        (0x1_0000_0005, 0x2_0000_0001),
        (0x2_0000_0001, 0x1_0000_0005),
        (0x1_0000_0005, 0x1_0000_0005),
        (0x0_0000_0005, 0x1_0000_0000),
        (0x8000_0000_0000_0000, 0x7FFF_FFFF_FFFF_FFFF),
    )
    for holds in (bool(function(argument, value)),)
]


def test_comparison_of_an_argument_of_64_bits_is_the_kernels(rack: Rack) -> None:
    """CVE-2019-9893: LT, GT, LE and GE compared halves of the numbers wrongly, so that a call came through."""
    wrong = []
    for operator, value, argument, holds in COMPARISONS:
        rule = {
            "names": ["getppid"],
            "action": "SCMP_ACT_ERRNO",
            "errnoRet": errno.EMLINK,
            "args": [{"index": 0, "value": value, "op": operator}],
        }
        profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
        done = rack.run(
            "attack", "getppid", str(argument), change=lambda spec, p=profile: spec["linux"].update(seccomp=p)
        )
        if (done.text == "refused") != holds:
            wrong.append((operator, hex(value), hex(argument), done.text))
    assert wrong == []


def test_argument_with_bits_that_the_kernel_does_not_read_is_judged_by_the_others(rack: Rack) -> None:
    """CVE-2026-123876, CVE-2026-112917: the filter took AF_VSOCK | 1 << 32 for another family, and the kernel did not;
    socketcall(2) of i386 has the family behind a pointer."""
    done = rack.run("attack", "upper-bits")
    assert done.text.startswith("blocked: every call")


@pytest.mark.parametrize(("argument", "said"), [(1, "refused"), (2, "refused"), (3, "allowed")])
def test_call_is_allowed_where_all_comparisons_of_a_rule_hold_and_not_one(
    rack: Rack, argument: int, said: str
) -> None:
    """CVE-2017-18367: libseccomp's Go bindings allowed a call of which one argument was right."""

    def change(spec: dict[str, Any]) -> None:
        rules = [
            {**rule, "names": [name for name in rule["names"] if name != "getppid"]}
            for rule in spec["linux"]["seccomp"]["syscalls"]
        ]
        for first, second in ((1, 2), (3, 3)):
            args = [{"index": i, "op": "SCMP_CMP_EQ", "value": v} for i, v in enumerate((first, second))]
            rules.append({"names": ["getppid"], "action": "SCMP_ACT_ALLOW", "args": args})
        spec["linux"]["seccomp"] = {**spec["linux"]["seccomp"], "syscalls": rules}

    assert rack.run("attack", "getppid", str(argument), change=change).text == said


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("rules", "argument"),
    [
        ([[(0, "LE", 0)], [(0, "LT", (1 << 32) + 5)]], 5),
        ([[(0, "NE", 1), (1, "LT", 2)], [(0, "NE", 1), (1, "EQ", 2)]], 0),
    ],
    ids=["it is allowed", "it is never compiled"],
)
def test_call_that_one_of_two_rules_refuses_is_refused(
    rack: Rack, rules: list[list[tuple[int, str, int]]], argument: int
) -> None:
    """What libseccomp 2.5.4 makes of such rules."""
    syscalls = [
        {
            "names": ["getppid"],
            "action": "SCMP_ACT_ERRNO",
            "errnoRet": errno.EMLINK,
            "args": [{"index": i, "op": f"SCMP_CMP_{op}", "value": value} for i, op, value in rule],
        }
        for rule in rules
    ]
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": syscalls}
    done = rack.run(
        "attack", "getppid", str(argument), change=lambda spec: spec["linux"].update(seccomp=profile)
    )
    assert done.text == "refused"


def test_user_looked_up_in_files_of_any_size_costs_little(layer: Path) -> None:
    """CVE-2026-47262, CVE-2024-9676: passwd and group of the image were read whole, whatever they were."""
    layer.joinpath("etc").mkdir()
    for name in ("passwd", "group"):
        with layer.joinpath("etc", name).open("wb") as file:
            file.truncate(1 << 40)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(Error):
        resolve_user("somebody", (str(layer),))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10, "KiB"


def test_home_looked_up_by_the_command_in_files_of_any_size_and_kind_costs_little(
    oci: Command, tmp_path: Path, busybox_rootfs: Path
) -> None:
    """CVE-2024-9676, CVE-2018-15664: a FIFO, a device or a link out in place of the container's /etc/passwd."""
    root = tmp_path / "root"
    subprocess.run(["cp", "-a", busybox_rootfs, root], check=True)
    secret = tmp_path / "secret"
    secret.write_text("evil:x:0:0::/evil:/bin/sh\n")
    passwd = root / "etc/passwd"
    passwd.parent.mkdir(exist_ok=True)
    oci.detach(make_bundle(tmp_path / "bundle", root, "sleep", "60"), "c1").ok()
    for make in (
        lambda: os.mkfifo(passwd),
        lambda: passwd.symlink_to("/dev/zero"),
        lambda: passwd.symlink_to(upwards(secret)),
        lambda: passwd.symlink_to("/proc/1/root/etc/passwd"),
        passwd.mkdir,
        lambda: passwd.write_bytes(b"x" * (2 << 20)),
    ):
        subprocess.run(["rm", "-rf", passwd], check=True)
        make()
        assert oci("exec", "c1", "sh", "-c", "echo $HOME").text == "/\n"


def test_readiness_that_a_container_tells_is_all_that_the_host_hears(tmp_path: Path) -> None:
    """A container is no service: what else it says to its socket, systemd would do."""
    directory = tmp_path / "state"
    directory.joinpath("notify").mkdir(parents=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "systemd"))
        proxy = NotifySocket(str(directory), str(tmp_path / "systemd"))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as inside:
            inside.connect(str(directory / "notify/notify.sock"))
            hostile = [b"MAINPID=1", b"FDSTORE=1", b"STATUS=x", b"WATCHDOG=trigger", b"STOPPING=1"]
            inside.send(b"\n".join(hostile))
            assert not proxy.take(os.getpid())
            inside.send(b"\n".join([*hostile, b"READY=1", *hostile]))
            systemd.settimeout(5.0)
            thread = threading.Thread(target=proxy.take, args=(os.getpid(),))
            thread.start()
            heard = []
            while len(heard) < 3:
                data, fds, _, _ = socket.recv_fds(systemd, 4096, 4)
                heard.append(data)
                for fd in fds:
                    os.close(fd)
            thread.join(10.0)
        proxy.close()
    assert heard == [b"READY=1\n", f"MAINPID={os.getpid()}\n".encode(), b"BARRIER=1"]


def test_config_of_another_is_not_taken_through_a_link_for_the_state(
    oci: Command, tmp_path: Path, busybox_rootfs: Path
) -> None:
    """CVE-2019-12439, CVE-2025-0750: ids and places that lead out of the state directory."""
    bundle = make_bundle(tmp_path / "bundle", busybox_rootfs, "true")
    victim = tmp_path / "victim"
    victim.mkdir()
    victim.joinpath("state.json").write_text("untouched")
    for name in ("../victim", "..", ".", "a/../../victim", "x/y", "\n", "a\0b"[:1] + "%00", "é", "a" * 256):
        assert oci("create", "--bundle", bundle, name).status != 0
        assert oci("delete", "--force", name).status != 0
    assert victim.joinpath("state.json").read_text() == "untouched"
    assert json.loads((Path(bundle) / "config.json").read_text())
