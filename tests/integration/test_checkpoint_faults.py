"""What goes wrong with a checkpoint: the container that was to be dumped runs on, and of a restore nothing is left."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from containerlib.errors import Conflict, InvalidArgument, StageError, Unavailable, Unsupported
from containerlib.runtime import state
from containerlib.runtime.checkpoint import Options, find_criu
from containerlib.runtime.checkpoint.criu import Conversation
from containerlib.spec.lifecycle import State
from rig.bundles import Bundled, Rack, log_of, shim_of, until
from rig.checkpoints import MOMENTS, PROGRAM, await_moment, checkpoint, criu, numbers, restore

pytestmark = [
    pytest.mark.privileged("CAP_SYS_ADMIN: makes containers, and CRIU dumps them"),
    pytest.mark.usefixtures("needs_criu"),
]


def is_unharmed(container: Bundled) -> bool:
    """It counts on, and has left out nothing."""
    seen = len(numbers(container))
    until(lambda: len(numbers(container)) > seen + 2)
    return numbers(container) == list(range(1, len(numbers(container)) + 1))


# ---- which CRIU ----


def test_criu_that_is_missing_is_unsupported_with_what_to_install() -> None:
    with pytest.raises(Unsupported, match=r"install criu 4\.2 or later"):
        find_criu("no-such-criu")


@pytest.mark.parametrize(("version", "words"), [((3, 17, 0), "3.17"), ((4, 1, 1), "4.1.1")])
def test_criu_that_is_too_old_is_unsupported_with_what_is_needed(
    tmp_path: Path, version: tuple[int, int, int], words: str
) -> None:
    major, minor, sublevel = version
    answer = bytes([8, 10, 16, 1, 82, 6, 8, major, 16, minor, 32, sublevel])
    lines = ("import os, sys", "fd = int(sys.argv[2])", "os.read(fd, 99)", f"os.write(fd, {answer})", "")
    program = tmp_path / "criu"
    program.write_text("\n".join((f"#!{sys.executable}", *lines)))
    program.chmod(0o755)
    with pytest.raises(Unsupported, match=rf"need CRIU 4\.2, and .*/criu is {re.escape(words)}:"):
        find_criu(str(program))


def test_program_that_is_no_criu_is_unsupported() -> None:
    with pytest.raises(Unsupported, match="is no CRIU"):
        find_criu("true")


def test_dump_upon_another_needs_a_kernel_that_tracks_memory(counter: Bundled, tmp_path: Path) -> None:
    if criu().features["mem_track"]:
        pytest.skip("this kernel tracks which memory is written to")
    with pytest.raises(Unsupported, match="CONFIG_MEM_SOFT_DIRTY"):
        checkpoint(counter, tmp_path / "images", parent="../before")
    assert not (tmp_path / "images").exists()
    assert is_unharmed(counter)


# ---- a dump that is interrupted ----

DIES = """
import os, signal, sys
from containerlib.runtime.checkpoint.criu import Conversation, find_criu
from containerlib.runtime.checkpoint.options import Options
from containerlib.runtime.checkpoint.requests import dump_request
from containerlib.runtime.checkpoint.mounts import external
criu, pid, images, point = sys.argv[1:]
outside = {path: path for path in external(open(f"/proc/{pid}/mountinfo").read())}
directory, network = os.open(images, os.O_RDONLY), os.stat(f"/proc/{pid}/ns/net").st_ino
asked = dump_request(
    int(pid), Options(tcp="established"), images=directory, work=directory, outside=outside, network=network
)
with Conversation(find_criu(criu)) as conversation:
    conversation.ask(asked)
    conversation.finish({point: lambda: os.kill(os.getpid(), signal.SIGKILL)})
"""


@pytest.mark.parametrize("point", ["pre-dump", "network-lock", "query-ext-files", "post-dump"])
def test_dump_whose_caller_is_killed_leaves_the_container_unharmed(
    counter: Bundled, tmp_path: Path, point: str
) -> None:
    words = [PROGRAM, str(counter.supervisor.pid), str(tmp_path), point]
    done = subprocess.run([sys.executable, "-c", DIES, *words], check=False)
    assert done.returncode == -signal.SIGKILL
    assert is_unharmed(counter)
    until(lambda: not working_on(tmp_path))


def test_dump_whose_caller_is_interrupted_leaves_the_container_unharmed(
    counter: Bundled, tmp_path: Path
) -> None:
    script = f"""
    import json, signal, sys
    from containerlib.runtime.checkpoint import dump, find_criu
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whose tests run in the background ignores it
    def still():
        print("still", flush=True)
        signal.pause()
    dump(find_criu({PROGRAM!r}), {counter.directory!r}, {str(tmp_path / "images")!r},
         spec=json.load(open({counter.directory + "/config.json"!r})), still=still)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as caller:
        assert caller.stdout is not None
        assert caller.stdout.readline() == "still\n"
        caller.send_signal(signal.SIGINT)
        assert "KeyboardInterrupt" in caller.communicate()[1]
    assert is_unharmed(counter)
    assert [file.name for file in (tmp_path / "images").iterdir()] == ["dump.log"]


DUMPS = """
import json, sys
from containerlib.runtime.checkpoint import Options, dump, find_criu
words = json.loads(sys.argv[1])
with open(words["directory"] + "/config.json") as file:
    spec = json.load(file)
dump(find_criu(words["criu"]), words["directory"], words["images"], spec=spec, options=Options(leave_running=True))
"""


@pytest.mark.parametrize("moment", MOMENTS)
def test_container_that_is_killed_while_it_is_dumped_has_stopped(
    counter: Bundled, tmp_path: Path, moment: str
) -> None:
    images = tmp_path / "images"
    with ThreadPoolExecutor(1) as pool:
        dump = pool.submit(checkpoint, counter, images, leave_running=True)
        await_moment(images / "dump.log", moment)
        os.kill(counter.supervisor.pid, signal.SIGKILL)
        with pytest.raises(Conflict, match="is stopped"):
            dump.result(10.0)
    assert not list(images.glob("*.img"))


@pytest.mark.parametrize("moment", MOMENTS)
def test_container_that_is_killed_when_its_dump_has_lost_its_caller_has_stopped(
    counter: Bundled, tmp_path: Path, moment: str
) -> None:
    """Nobody but its supervisor is there to see that two wait for each other."""
    images = tmp_path / "images"
    words = json.dumps({"directory": counter.directory, "images": str(images), "criu": PROGRAM})
    with subprocess.Popen([sys.executable, "-P", "-c", DUMPS, words]) as caller:
        await_moment(images / "dump.log", moment)
        caller.kill()
        os.kill(counter.supervisor.pid, signal.SIGKILL)
    assert counter.supervisor.wait(10.0).signal == signal.SIGKILL
    until(lambda: not working_on(images))


@pytest.mark.parametrize("point", ["network-lock", "post-dump"])
def test_dump_whose_criu_is_killed_leaves_the_container_unharmed(
    counter: Bundled, tmp_path: Path, point: str
) -> None:
    from containerlib.runtime.checkpoint.mounts import external
    from containerlib.runtime.checkpoint.requests import dump_request

    directory = os.open(tmp_path, os.O_RDONLY)
    pid = counter.supervisor.pid
    asked = dump_request(
        pid,
        Options(),
        images=directory,
        work=directory,
        outside={path: path for path in external(Path(f"/proc/{pid}/mountinfo").read_text())},
        network=Path(f"/proc/{pid}/ns/net").stat().st_ino,
    )

    def kill() -> None:
        for each in working_on(tmp_path):
            os.kill(each, signal.SIGKILL)

    with Conversation(criu()) as conversation:
        conversation.ask(asked)
        with pytest.raises(Unavailable):
            conversation.finish({point: kill})
    os.close(directory)
    assert is_unharmed(counter)


def working_on(directory: Path) -> list[int]:
    """Every CRIU that works in that directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            is_there = (process / "cwd").readlink() == directory
            if is_there and b"criu" in (process / "cmdline").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue
    return found


# ---- a dump that fails ----


def test_full_disk_fails_the_dump_and_nothing_else(counter: Bundled, small_disk: Path) -> None:
    (small_disk / "fill").write_bytes(bytes((15 << 20) + (900 << 10)))
    with pytest.raises(StageError) as caught:
        checkpoint(counter, small_disk / "images")
    assert caught.value.stage == "dump"
    assert is_unharmed(counter)
    assert not list((small_disk / "images").glob("*.img"))


IO_URING = """
import ctypes, time
assert ctypes.CDLL(None).syscall(425, 8, ctypes.create_string_buffer(120)) > 0
print("ready", flush=True); time.sleep(60)
"""


def test_what_cannot_be_dumped_is_named_with_its_process(tmp_path: Path) -> None:
    with Rack(tmp_path / "containers", (Path("/"),)) as rack:
        container = rack.create(
            "sh", "-c", 'python3 -c "$0" & wait', IO_URING, change=lambda spec: spec["linux"].pop("seccomp")
        )
        until(lambda: log_of(container))
        with pytest.raises(Conflict) as caught:
            checkpoint(container, tmp_path / "images")
        assert re.search(r"process \d+ \(python3\): .* io_uring", str(caught.value))
        assert "dump.log" in caught.value.__notes__[0]
        assert state(container.directory) is State.RUNNING


def test_lock_on_a_file_is_refused_with_what_to_do_and_then_dumped(tmp_path: Path) -> None:
    program = "import fcntl, time; f = open('/tmp/lock', 'w'); fcntl.flock(f, 2); print(1, flush=True); time.sleep(60)"
    with Rack(tmp_path / "containers", (Path("/"),)) as rack:
        container = rack.create("python3", "-c", program)
        until(lambda: log_of(container))
        with pytest.raises(Conflict, match="file_locks=True"):
            checkpoint(container, tmp_path / "images")
        checkpoint(container, tmp_path / "images", file_locks=True)


# ---- a restore that fails or is interrupted ----


def left_nothing(container: Bundled, name: str = "again") -> bool:
    """No group is left of the one that was to go on, and so no process."""
    pattern = f"*{container.spec['linux']['cgroupsPath']}-{name}"
    return not list(Path("/sys/fs/cgroup").glob(pattern))


def test_images_that_are_cut_short_are_refused_by_name(rack: Rack, counter: Bundled, tmp_path: Path) -> None:
    images = checkpoint(counter, tmp_path / "images", leave_running=True)
    pages = images / "pages-1.img"
    os.truncate(pages, pages.stat().st_size // 2)
    with pytest.raises(InvalidArgument, match=r"pages-1\.img has \d+ bytes"):
        restore(rack, counter, images)
    pages.unlink()
    with pytest.raises(InvalidArgument, match=r"pages-1\.img is missing"):
        restore(rack, counter, images)


@pytest.mark.parametrize("name", ["mm-1.img", "inventory.img", "pagemap-1.img"])
def test_damaged_images_fail_the_restore_and_leave_nothing(
    rack: Rack, counter: Bundled, tmp_path: Path, name: str
) -> None:
    images = checkpoint(counter, tmp_path / "images")
    counter.finish()
    data = (images / name).read_bytes()
    (images / name).write_bytes(data[:8] + b"\xff" * (len(data) - 8))
    with pytest.raises(StageError) as caught:
        restore(rack, counter, images)
    assert caught.value.stage == "restore"
    assert "restore.log" in caught.value.__notes__[0]
    until(lambda: left_nothing(counter))


def test_file_that_is_gone_fails_the_restore_and_is_named(rack: Rack, tmp_path: Path) -> None:
    container = rack.create("sh", "-c", "exec 5>/kept; echo ready; sleep 60")
    until(lambda: log_of(container))
    images = checkpoint(container, tmp_path / "images")
    container.finish()
    Path(container.directory, "upper", "kept").unlink()
    with pytest.raises(StageError, match="kept"):
        restore(rack, container, images)
    until(lambda: left_nothing(container))


def test_restored_container_dies_with_its_supervisor(rack: Rack, counter: Bundled, tmp_path: Path) -> None:
    images = checkpoint(counter, tmp_path / "images")
    counter.finish()
    again = restore(rack, counter, images)
    child = int(again.output("cat", "/proc/1/task/1/children").text.split()[0])
    assert child > 1
    os.kill(shim_of(again), signal.SIGKILL)
    until(lambda: left_nothing(counter))


OWNER = """
import json, sys
from containerlib.runtime import ContainerCgroup, OverlayRoot
from containerlib.runtime.checkpoint import find_criu, restore
program, images, directory, lowers, spec = sys.argv[1:]
spec = json.loads(spec)
cgroup = ContainerCgroup(spec["linux"]["cgroupsPath"])
cgroup.create(spec["linux"]["resources"])
root = OverlayRoot(tuple(json.loads(lowers)), directory + "/upper", directory + "/work")
print("begins", flush=True)
supervisor = restore(
    find_criu(program), images, directory, directory=directory, root=root, cgroup=cgroup, owned=True, spec=spec
)
print(supervisor.pid, flush=True)
supervisor.wait()
"""


@pytest.fixture
def prepared(rack: Rack, counter: Bundled, tmp_path: Path) -> list[str]:
    """A command that restores the counter into a container that is its own."""
    images = checkpoint(counter, tmp_path / "images", leave_running=True)
    again = restore(rack, counter, images)
    again.supervisor.abandon()
    until(lambda: not any(Path(group).exists() for group in again.cgroup.directories))
    words = [PROGRAM, str(images), again.directory, json.dumps(rack.lowers), json.dumps(again.spec)]
    return [sys.executable, "-c", OWNER, *words]


def test_restored_container_dies_with_its_owner(rack: Rack, counter: Bundled, prepared: list[str]) -> None:
    with subprocess.Popen(prepared, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "begins\n"
        pid = int(owner.stdout.readline())
        assert Path(f"/proc/{pid}").exists()
        owner.kill()
    until(lambda: not Path(f"/proc/{pid}").exists())
    until(lambda: left_nothing(counter))


@pytest.mark.parametrize("milliseconds", [0, 10, 20, 30, 45, 60, 90])
def test_restore_whose_owner_is_killed_leaves_nothing_whenever_that_is(
    rack: Rack, counter: Bundled, prepared: list[str], milliseconds: int
) -> None:
    with subprocess.Popen(prepared, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "begins\n"
        time.sleep(milliseconds / 1000)
        owner.kill()
    until(lambda: not working_on(Path(prepared[5])))
    until(lambda: not processes_of(counter))


@pytest.mark.parametrize("milliseconds", [2, 10, 20, 30, 45, 60, 90])
def test_restore_whose_supervisor_is_killed_leaves_nothing_whenever_that_is(
    rack: Rack, counter: Bundled, tmp_path: Path, milliseconds: int
) -> None:
    images = checkpoint(counter, tmp_path / "images", leave_running=True)
    again = restore(rack, counter, images, wait=False)
    (supervisor,) = [pid for pid in children() if pid != shim_of(counter)]
    time.sleep(milliseconds / 1000)
    os.kill(supervisor, signal.SIGKILL)
    with contextlib.suppress(StageError, Unavailable):  # it may run by then
        again.supervisor.launched().wait()
    until(lambda: not working_on(Path(again.directory)))
    until(lambda: not processes_of(counter))


def processes_of(container: Bundled, name: str = "again") -> list[int]:
    """What is left in the groups of the one that was to go on; a supervisor removes these, where there is one."""
    found = []
    for file in Path("/sys/fs/cgroup").glob(f"*{container.spec['linux']['cgroupsPath']}-{name}/cgroup.procs"):
        with contextlib.suppress(OSError):  # it goes at this moment
            found += file.read_text().split()
    return [int(pid) for pid in found]


def children() -> list[int]:
    """This process's supervisors."""
    tasks = Path("/proc/self/task").glob("*/children")
    return [int(pid) for task in tasks for pid in task.read_text().split()]
