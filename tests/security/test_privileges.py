"""What root in a container may not do: capabilities, cgroups, devices, terminals, other people's files."""

from __future__ import annotations

import os
import pty
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from containerlib import Engine
from containerlib.bundles.users import ResolvedUser
from containerlib.runtime import Stdio
from containerlib.spec.options import ContainerOptions
from rig.bundles import Rack, until
from rig.process import status_of

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

DOCKERS_CAPABILITIES = 0xA80425FB
NOBODY = ResolvedUser(65534, 65534, (65534,), "/")


@pytest.fixture(params=["run", "exec"])
def status(request: pytest.FixtureRequest, rack: Rack) -> dict[str, str]:
    """/proc/self/status of a container's first process, and of an exec."""
    argv = ("cat", "/proc/self/status")
    if request.param == "run":
        return status_of(rack.run(*argv).text)
    return status_of(rack.create("sleep", "60").output(*argv).text)


def test_process_has_no_inheritable_and_no_ambient_capability(status: dict[str, str]) -> None:
    """CVE-2022-24769, CVE-2022-29162, CVE-2022-27649"""
    assert (int(status["CapInh"], 16), int(status["CapAmb"], 16)) == (0, 0)


def test_process_has_dockers_capabilities_and_no_more(status: dict[str, str]) -> None:
    own = status_of(Path("/proc/self/status").read_text())
    expected = DOCKERS_CAPABILITIES & int(own["CapBnd"], 16)
    assert {int(status[name], 16) for name in ("CapPrm", "CapEff", "CapBnd")} == {expected}


def test_process_is_filtered(status: dict[str, str]) -> None:
    assert status["Seccomp"].strip() == "2"


def test_process_of_another_user_has_no_capability(rack: Rack) -> None:
    status = status_of(rack.run("cat", "/proc/self/status", user=NOBODY).text)
    assert [int(status[name], 16) for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")] == [0, 0, 0, 0]


def test_process_cannot_regain_dropped_capabilities_by_a_setuid_program(rack: Rack, layer: Path) -> None:
    layer.joinpath("bin").mkdir()
    program = layer / "bin/cat-as-root"
    program.write_bytes(Path(rack.lowers[-1], "bin/busybox").read_bytes())
    program.chmod(0o4755)
    options = ContainerOptions(no_new_privileges=True)
    done = rack.run(
        "sh",
        "-c",
        "ln -s /bin/cat-as-root /tmp/cat; exec /tmp/cat /proc/self/status",
        user=NOBODY,
        options=options,
        lowers=(layer,),
    )
    status = status_of(done.text)
    assert status["NoNewPrivs"].strip() == "1"
    assert int(status["CapEff"], 16) == 0
    assert set(status["Uid"].split()) == {"65534"}


def test_cgroup_files_cannot_be_written(rack: Rack) -> None:
    """CVE-2022-0492 (release_agent), CVE-2023-25809 (a writable /sys/fs/cgroup)"""
    script = (
        "find /sys/fs/cgroup -type f | head -1 | grep -q . || echo nothing to try;"
        "for f in $(find /sys/fs/cgroup -name release_agent -o -name notify_on_release -o -name cgroup.procs"
        " -o -name devices.allow -o -name tasks -o -name cgroup.subtree_control); do"
        " (echo 1 >$f) 2>/dev/null && echo wrote $f; done;"
        "for d in $(find /sys/fs/cgroup -type d); do mkdir $d/evil 2>/dev/null && echo made $d/evil; done; true"
    )
    done = rack.run("sh", "-c", script)
    assert done.status.exit_code == 0
    assert done.text == ""


@pytest.mark.parametrize("seccomp", ["default", "unconfined"])
def test_cgroup_mounted_in_a_new_user_namespace_has_no_release_agent(rack: Rack, seccomp: str) -> None:
    """CVE-2022-0492: root of a new user namespace mounts a hierarchy of its own and names the agent."""
    script = (
        "unshare -UrmC sh -c 'mkdir /tmp/c && mount -t cgroup -o rdma,memory,devices cgroup /tmp/c"
        " && echo /evil >/tmp/c/release_agent && echo escaped'"
    )
    done = rack.run("sh", "-c", script, options=ContainerOptions(seccomp=seccomp))
    assert done.status.exit_code != 0
    assert b"escaped" not in done.stdout


def disk_of_the_host() -> tuple[str, int, int]:
    for path in Path("/sys/class/block").iterdir():
        major, minor = path.joinpath("dev").read_text().split(":")
        return str(stat.S_IFBLK), int(major), int(minor)
    pytest.skip("this host has no block device")


def test_device_of_the_hosts_disk_can_be_made_and_not_opened(rack: Rack) -> None:
    kind, major, minor = disk_of_the_host()
    done = rack.run("attack", "disk", kind, str(major), str(minor))
    assert done.text == "blocked: the host's device (Operation not permitted)"


@pytest.mark.parametrize("minor", [1, 2, 4, 11])
def test_device_of_the_hosts_memory_can_be_made_and_not_opened(rack: Rack, minor: int) -> None:
    done = rack.run("attack", "disk", str(stat.S_IFCHR), "1", str(minor))
    assert done.text == "blocked: the host's device (Operation not permitted)"


def test_device_of_the_hosts_disk_stays_closed_for_an_exec(rack: Rack) -> None:
    kind, major, minor = disk_of_the_host()
    done = rack.create("sleep", "60").output("attack", "disk", kind, str(major), str(minor))
    assert done.text == "blocked: the host's device (Operation not permitted)"


def test_container_has_no_controlling_terminal_of_the_callers(rack: Rack) -> None:
    assert rack.run("attack", "tty").text == "blocked: /dev/tty of the caller (No such device or address)"


@pytest.fixture
def session_terminal() -> Iterator[int]:
    """A terminal that is another session's, as the caller's own would be."""
    master, slave = pty.openpty()
    # of a session's first process, the first terminal that it opens becomes the controlling one
    argv = ["sh", "-c", f"exec <{os.ttyname(slave)}; echo; sleep 60"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, start_new_session=True) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        try:
            yield slave
        finally:
            os.killpg(holder.pid, signal.SIGKILL)
            os.close(master)
            os.close(slave)


def test_exec_on_the_callers_terminal_cannot_push_input_into_it(rack: Rack, session_terminal: int) -> None:
    """CVE-2016-7545, CVE-2017-5226: TIOCSTI types commands into the shell that started the container."""
    container = rack.create("sleep", "60", options=ContainerOptions(seccomp="unconfined"))
    with container.execute("attack", "tiocsti", stdio=Stdio(stdin=session_terminal)) as supervisor:
        status = supervisor.wait(10.0)
        supervisor.finished()
    assert status.exit_code == 0


def test_state_directories_are_closed_to_other_users(rack: Rack, tmp_path: Path, busybox_image: Path) -> None:
    """CVE-2021-41091, CVE-2021-41103: another user runs set-uid programs of images, or reads containers' files."""
    root = tmp_path / "state"
    with Engine(root=root) as engine:
        (image,) = engine.images.load(busybox_image)
        with engine.container(image).start("sleep", "60"):
            reached = [path for path in everything(root) if is_reached_by_others(root, path)]
    assert reached == []


def test_container_that_outlives_its_supervisor_is_removed_by_force(
    engine: Engine, busybox_image: Path, attack_layer: Path
) -> None:
    """It undid PR_SET_PDEATHSIG, so that the kernel does not end it with the supervisor."""
    (image,) = engine.images.load(busybox_image)
    recipe = engine.container(image).mount(attack_layer / "bin", at="/attack", read_only=True)
    container = recipe.start("/attack/attack", "death", detach=True)
    container.wait_for(log="ready")
    (first,) = container._instance.cgroup.pids()
    supervisor = int(Path(f"/proc/{first}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(supervisor, signal.SIGKILL)
    until(lambda: Path(f"/proc/{first}/stat").read_text().rpartition(")")[2].split()[1] != str(supervisor))
    container.remove(force=True)
    assert not is_running(first)
    assert engine.containers.list() == []


def is_running(pid: int) -> bool:
    """Not so of a zombie, which whoever adopted it has still to reap."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def everything(root: Path) -> Iterator[Path]:
    """Every file that matters: those of layers, containers and blobs, the database and the sockets."""
    yield from (path for path in root.rglob("*") if not path.is_dir() and not path.is_symlink())


def is_reached_by_others(root: Path, path: Path) -> bool:
    """Whether a user without privilege could open or execute it, were the way to `root` open."""
    for parent in path.relative_to(root).parents:
        if not root.joinpath(parent).stat().st_mode & 0o001:
            return False
    return bool(path.stat().st_mode & 0o005)
