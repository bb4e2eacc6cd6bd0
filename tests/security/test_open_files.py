"""Every descriptor of every process that is, or is going to be, a container's: what is not its own is a way out.

CVE-2024-21626, CVE-2016-9962, CVE-2016-8649, CVE-2015-3627. What a program has open it says itself; what a created
container's process has open, which waits for its start as the runtime's, is looked up from outside, where nothing is
hidden.
"""

from __future__ import annotations

import ctypes
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from containerlib._sys.native import become_subreaper
from containerlib.errors import StageError
from containerlib.runtime import OverlayRoot, Stdio
from containerlib.runtime.kernel import KernelFiles
from containerlib.runtime.unsupervised import start_unsupervised
from containerlib.spec.options import ContainerOptions
from rig.bundles import Bundled, Rack, until
from rig.oci import Command, make_bundle
from rig.ordinary import as_user
from rig.user_namespaces import in_user_namespace, make_mapped_root, open_parents

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

PR_SET_CHILD_SUBREAPER = 36
HOOKS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
WAYS = (
    "plain",
    "user namespace",
    "terminal",
    "seccomp agent",
    "no new privileges",
    "labels",
    "layers by mount(2)",
)
Words = dict[str, Any]


@pytest.fixture(autouse=True)
def careless_caller(tmp_path: Path) -> Iterator[None]:
    """A caller with inheritable descriptors of the host's root, a file, a pipe and a socket."""
    with ExitStack() as stack:
        root = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
        file = os.open(tmp_path / "secret", os.O_RDWR | os.O_CREAT)
        pair = socket.socketpair()
        fds = [root, file, *os.pipe(), *(end.detach() for end in pair), os.dup2(root, 200)]
        for fd in fds:
            os.set_inheritable(fd, True)
            stack.callback(os.close, fd)
        yield


@pytest.fixture
def subreaper() -> Iterator[None]:
    become_subreaper()
    yield
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


@contextmanager
def agent(path: Path) -> Iterator[None]:
    """Takes one filter's listener, and keeps it open."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()
        kept: list[int] = []

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                kept.extend(socket.recv_fds(connection, 65536, 1)[1])

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join(10.0)
        for fd in kept:
            os.close(fd)


@pytest.fixture
def words(tmp_path: Path, attack_layer: Path, busybox_rootfs: Path) -> Iterator[Callable[[str], Words]]:
    """What `Rack.create` takes for a container that is made in one of the WAYS."""
    layers = (busybox_rootfs, attack_layer)
    with ExitStack() as stack:

        def with_agent() -> Words:
            stack.enter_context(agent(tmp_path / "agent"))
            return {"change": lambda spec: judge(spec, str(tmp_path / "agent"))}

        ways: dict[str, Callable[[], Words]] = {
            "plain": dict,
            "user namespace": lambda: {
                "change": in_user_namespace,
                "root": make_mapped_root(tmp_path, *layers),
            },
            "terminal": lambda: {
                "change": lambda spec: spec["process"].update(terminal=True),
                "terminal": (24, 80),
            },
            "seccomp agent": with_agent,
            "no new privileges": lambda: {"options": ContainerOptions(no_new_privileges=True)},
            "labels": lambda: labelled(tmp_path),
            "layers by mount(2)": lambda: {"root": classic_root(tmp_path, *layers)},
        }
        yield lambda way: ways[way]()


def classic_root(directory: Path, *layers: Path) -> OverlayRoot:
    """Its layers are named by descriptors, which are the host's directories."""
    upper, work = directory / "upper", directory / "work"
    upper.mkdir()
    work.mkdir()
    return OverlayRoot(tuple(map(str, reversed(layers))), str(upper), str(work), classic=True)


def judge(spec: dict[str, Any], path: str) -> None:
    rules = [{"names": ["swapoff"], "action": "SCMP_ACT_NOTIFY"}]
    spec["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": path, "syscalls": rules}


def labelled(tmp_path: Path) -> Words:
    """With a label that the kernel takes: what it is written through is the host's /proc."""
    sys_ = tmp_path / "sys"
    sys_.joinpath("fs/selinux").mkdir(parents=True)
    sys_.joinpath("fs/selinux/enforce").write_text("1")

    def change(spec: dict[str, Any]) -> None:
        spec["process"]["selinuxLabel"] = "system_u:system_r:container_t:s0"

    return {"change": change, "files": KernelFiles(sys=str(sys_))}


def create(rack: Rack, way: str, words: Words, *argv: str, **more: Any) -> Bundled:
    try:
        return rack.create(*argv, **words, **more)
    except StageError as error:
        if way == "labels" and error.stage == "label":
            pytest.skip(f"this kernel takes no label: {error}")
        raise


@pytest.mark.parametrize("way", WAYS)
def test_program_has_its_stdio_and_no_other(rack: Rack, words: Callable[[str], Words], way: str) -> None:
    container = create(rack, way, words(way), "sh", "-c", "attack descriptors; exec sleep 60")
    done = container.output("attack", "descriptors")
    assert (done.status.exit_code, done.text) == (0, "")
    container.supervisor.signal(9)
    assert container.finish().text == ""


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("count", [0, 4])
def test_preserved_descriptors_are_all_that_a_program_has_beyond_stdio(
    rack: Rack, words: Callable[[str], Words], subreaper: None, way: str, count: int
) -> None:
    """By a container that no shim stays with, whose process has a socket of its own until the exec."""
    with ExitStack() as stack:
        files = [stack.enter_context((rack.directory.parent / f"kept{n}").open("w+")) for n in range(count)]
        output = stack.enter_context((rack.directory.parent / "output").open("w+"))
        script = f"attack descriptors >&{count + 2}" if count else "attack descriptors"
        words_ = (
            words(way) | {"preserve": [*(f.fileno() for f in files[1:]), output.fileno()]}
            if count
            else words(way)
        )
        stdio = None if way == "terminal" else Stdio(stdout=output.fileno(), stderr=output.fileno())
        container = create(
            rack, way, words_, "sh", "-c", script, owned=False, hold=True, unsupervised=True, stdio=stdio
        )
        container.supervisor.finished()
        start_unsupervised(container.directory, container.spec)
        os.waitpid(container.supervisor.pid, 0)
        output.seek(0)
        expected = {f"descriptor {3 + n}" for n in range(count)}
        if count or way != "terminal":
            assert set(output.read().splitlines()) == expected


def open_files(pid: int) -> dict[int, str]:
    directory = Path(f"/proc/{pid}/fd")
    found = {}
    for entry in directory.iterdir():
        with suppress(FileNotFoundError):  # what reads the directory
            found[int(entry.name)] = str(entry.readlink())
    return found


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("supervised", [True, False])
def test_created_process_has_its_sockets_and_nothing_of_the_hosts(
    rack: Rack, words: Callable[[str], Words], subreaper: None, way: str, supervised: bool
) -> None:
    """It waits for days, maybe, in a pid namespace with others who may trace it."""
    given = words(way)
    if not supervised:
        given |= {"owned": False, "unsupervised": True}
    with (rack.directory.parent / "preserved").open("w+") as preserved:
        container = create(rack, way, given, "sleep", "60", hold=True, preserve=[preserved.fileno()])
    if not supervised:
        container.supervisor.finished()
    found = open_files(container.supervisor.pid)
    streams = [found.pop(fd) for fd in range(3)]
    assert all(re.fullmatch(r"/dev/null|pipe:\[\d+\]|/(dev/pts/)?\d+|/null", path) for path in streams), (
        streams
    )
    assert found.pop(6) == str(rack.directory.parent / "preserved")
    assert found.keys() == ({3} if supervised else {3, 5})
    assert all(path.startswith("socket:") for path in found.values()), found
    if not supervised:
        os.kill(container.supervisor.pid, 9)
        os.waitpid(container.supervisor.pid, 0)


def test_created_process_shows_nothing_of_the_hosts_to_one_that_may_trace_it(rack: Rack) -> None:
    """From inside: a container with CAP_SYS_PTRACE and the same pid namespace."""
    options = ContainerOptions(cap_add=("SYS_PTRACE",), seccomp="unconfined")
    observer = rack.create("sleep", "60", options=options)
    shared = {"type": "pid", "path": f"/proc/{observer.supervisor.pid}/ns/pid"}

    def change(spec: dict[str, Any]) -> None:
        linux = spec["linux"]
        linux["namespaces"] = [*(n for n in linux["namespaces"] if n["type"] != "pid"), shared]

    rack.create("sleep", "60", hold=True, change=change)
    pids = observer.output("sh", "-c", "grep -l containerlib /proc/[0-9]*/comm").text.split()
    (pid,) = [path.split("/")[2] for path in pids]
    lines = observer.output("attack", "files", pid).text.splitlines()
    assert len(lines) == 4, lines
    assert all(re.fullmatch(r"\d+ (/dev/null|pipe:\[\d+\]|socket:\[\d+\])", line) for line in lines), lines


@pytest.mark.parametrize("way", ["plain", "user namespace", "terminal"])
def test_hooks_of_every_kind_have_stdio_and_no_other(
    rack: Rack, tmp_path: Path, words: Callable[[str], Words], way: str
) -> None:
    record = tmp_path / "record"
    record.mkdir()
    record.chmod(0o777)
    open_parents(tmp_path)
    given = words(way)
    before = given.get("change", lambda _: None)

    def change(spec: dict[str, Any]) -> None:
        before(spec)
        # ls has one more, the directory that it reads, which is 3 where nothing else is there
        hook = "ls -l /proc/self/fd >{0}/{1}.new; mv {0}/{1}.new {0}/{1}"
        spec["hooks"] = {
            kind: [
                {
                    "path": "/bin/sh",
                    "args": ["sh", "-c", hook.format(record, kind)],
                    "env": ["PATH=/bin:/usr/bin"],
                }
            ]
            for kind in HOOKS
        }
        bind = {"destination": str(record), "type": "bind", "source": str(record), "options": ["bind"]}
        spec["mounts"].append(bind)

    container = rack.create("sleep", "60", **{**given, "change": change})
    container.supervisor.signal(9)
    container.finish()
    until((record / "poststop").exists)
    for kind in HOOKS:
        found = dict(re.findall(r" (\d+) -> (.+)$", (record / kind).read_text(), re.MULTILINE))
        assert re.fullmatch(r"/proc/\d+/fd", found.pop("3", "/proc/1/fd")), (kind, found)
        assert found.keys() == {"0", "1", "2"}, (kind, found)
        assert found["0"].startswith("/memfd:state"), (kind, found)


def test_hooks_of_a_container_in_another_pid_namespace_are_not_in_it(rack: Rack, tmp_path: Path) -> None:
    """prestart, createRuntime, poststart: they are the host's root, and none of the container's business."""
    first = rack.create("sleep", "60")
    record = tmp_path / "record"
    record.mkdir()

    def change(spec: dict[str, Any]) -> None:
        linux = spec["linux"]
        shared = {"type": "pid", "path": f"/proc/{first.supervisor.pid}/ns/pid"}
        linux["namespaces"] = [*(n for n in linux["namespaces"] if n["type"] != "pid"), shared]
        spec["hooks"] = {
            kind: [{"path": "/bin/sh", "args": ["sh", "-c", f"readlink /proc/self/ns/pid >{record}/{kind}"]}]
            for kind in ("prestart", "createRuntime", "poststart")
        }

    rack.create("sleep", "60", change=change)
    here = str(Path("/proc/self/ns/pid").readlink())
    assert {path.name: path.read_text().strip() for path in record.iterdir()} == {
        "prestart": here,
        "createRuntime": here,
        "poststart": here,
    }


@pytest.mark.parametrize("verb", ["run", "exec"])
def test_program_of_the_command_has_its_stdio_and_no_other(
    oci: Command, tmp_path: Path, attack_layer: Path, busybox_rootfs: Path, verb: str
) -> None:
    root = tmp_path / "root"
    for layer in (busybox_rootfs, attack_layer):
        subprocess.run(["cp", "-a", f"{layer}/.", root], check=True)
    descriptors = [fd for fd in open_files(os.getpid()) if fd > 2 and os.get_inheritable(fd)]
    assert descriptors, "the command's caller has some to inherit"
    if verb == "run":
        bundle = make_bundle(tmp_path / "bundle", root, "attack", "descriptors")
        answer = oci("run", "--bundle", bundle, "c1", close_fds=False)
    else:
        oci.detach(make_bundle(tmp_path / "bundle", root, "sleep", "60"), "c1").ok()
        answer = oci("exec", "c1", "attack", "descriptors", close_fds=False)
    assert (answer.status, answer.stdout) == (0, "")


@pytest.mark.parametrize("fd", range(3, 12))
@pytest.mark.parametrize("up", ["", "/../.."])
def test_exec_of_the_command_in_a_directory_behind_a_descriptor_is_not_the_hosts(
    oci: Command, tmp_path: Path, busybox_rootfs: Path, fd: int, up: str
) -> None:
    """CVE-2024-21626: `exec --cwd /proc/self/fd/7`."""
    oci.detach(make_bundle(tmp_path / "bundle", busybox_rootfs, "sleep", "60"), "c1").ok()
    answer = oci("exec", "--cwd", f"/proc/self/fd/{fd}{up}", "c1", "ls", "-a", ".")
    inside = {".", "..", *(path.name for path in busybox_rootfs.iterdir()), "dev", "proc", "sys", "tmp"}
    assert answer.status != 0 or set(answer.stdout.split()) <= inside


SOCKETS = """
import os, socket, sys
os.chdir(sys.argv[1])
channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
try:
    channel.connect(sys.argv[2])
except PermissionError:
    sys.exit(7)
"""


@pytest.mark.parametrize("name", ["shim.sock", "start.sock"])
@pytest.mark.parametrize("umask", [0, 0o077])
def test_control_socket_is_closed_to_other_users_whatever_the_callers_umask(
    rack: Rack, tmp_path: Path, subreaper: None, name: str, umask: int
) -> None:
    """CVE-2020-15257, CVE-2021-41103: who may connect may start, signal and end the container."""
    before = os.umask(umask)
    words: Words = {"owned": False, "unsupervised": True} if name == "start.sock" else {}
    try:
        container = rack.create("sleep", "60", hold=True, **words)
    finally:
        os.umask(before)
    open_parents(tmp_path)
    for path in (rack.directory, Path(container.directory)):
        path.chmod(0o755)
    argv = as_user(65534, sys.executable, "-c", SOCKETS, container.directory, name)
    done = subprocess.run(argv, check=False, capture_output=True)
    assert done.returncode == 7, done
    assert Path(container.directory, name).stat().st_mode & 0o077 == 0
    if words:
        container.supervisor.finished()
        os.kill(container.supervisor.pid, 9)
        os.waitpid(container.supervisor.pid, 0)


def test_created_program_gets_the_callers_umask_and_not_the_sockets(rack: Rack) -> None:
    def change(spec: dict[str, Any]) -> None:
        spec["process"]["user"].pop("umask", None)

    before = os.umask(0o027)
    try:
        container = rack.create("sh", "-c", "umask", hold=True, change=change)
    finally:
        os.umask(before)
    container.supervisor.start()
    assert container.finish().text == "0027"
