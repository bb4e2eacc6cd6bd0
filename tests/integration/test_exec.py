"""exec and spawn in a container that runs."""

from __future__ import annotations

import itertools
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import Popen
from types import FrameType

import pytest

import containerlib as cl
from rig.bundles import until
from rig.threads import at_once, interrupted

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")
Script = Callable[[str], "Popen[str]"]


@pytest.fixture
def running(box: cl.ContainerRecipe) -> Iterator[cl.Container]:
    with box.env(OWN="1").workdir("/tmp").start("sleep", "600") as container:
        yield container


def test_exec_output_and_exit_code_come_back(running: cl.Container) -> None:
    done = running.exec("sh", "-c", "echo out; echo err >&2; exit 4", check=False)
    assert (done.exit_code, done.stdout, done.stderr) == (4, b"out\n", b"err\n")


def test_exec_is_in_the_same_container(running: cl.Container) -> None:
    assert running.exec("cat", "/proc/1/cmdline").stdout == b"sleep\x00600\x00"
    running.exec("sh", "-c", "echo written >/tmp/f")
    assert running.exec("cat", "/tmp/f").text == "written\n"


def test_exec_is_in_the_containers_cgroup(running: cl.Container) -> None:
    assert running.id in running.exec("cat", "/proc/self/cgroup").text or (
        running.exec("cat", "/proc/self/cgroup").text == running.exec("cat", "/proc/1/cgroup").text
    )


def test_exec_has_the_containers_isolation(running: cl.Container) -> None:
    read = ("sh", "-c", "grep -E '^(Cap|Seccomp|NoNewPrivs)' /proc/self/status")
    first = running.exec("sh", "-c", "grep -E '^(Cap|Seccomp|NoNewPrivs)' /proc/1/status").text
    assert running.exec(*read).text == first


def test_exec_environment_and_directory_are_the_containers(running: cl.Container) -> None:
    assert running.exec("sh", "-c", 'echo "$OWN"; pwd').text == "1\n/tmp\n"
    done = running.exec("sh", "-c", 'echo "$OWN$NEW"; pwd', env={"NEW": "2"}, workdir="/etc")
    assert done.text == "12\n/etc\n"


def test_exec_user_is_looked_up_in_the_container(running: cl.Container) -> None:
    running.exec("sh", "-c", "echo new:x:4242:4243::/home/new:/bin/sh >>/etc/passwd")
    done = running.exec("sh", "-c", 'id -u; id -g; echo "$HOME"; grep CapEff /proc/self/status', user="new")
    assert done.text.splitlines()[:3] == ["4242", "4243", "/home/new"]
    assert int(done.text.split()[-1], 16) == 0


def test_exec_root_in_a_container_of_another_user_has_roots_capabilities(box: cl.ContainerRecipe) -> None:
    read = ("sh", "-c", "id -u; grep CapEff /proc/self/status")
    as_root = box.run(*read).text
    with box.user("nobody").start("sleep", "600") as container:
        assert container.exec(*read).text.split()[0] == "65534"
        assert int(container.exec(*read).text.split()[-1], 16) == 0
        assert container.exec(*read, user="root").text == as_root


def test_exec_privileged_has_every_capability_and_the_containers_filter(running: cl.Container) -> None:
    read = ("sh", "-c", "grep -E 'CapEff|CapBnd|Seccomp:' /proc/self/status | cut -f2")
    bounding = next(
        line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if "CapBnd" in line
    )
    assert running.exec(*read, privileged=True).text.split() == [bounding, bounding, "2"]
    assert running.exec(*read, privileged=True, user="nobody").text.split() == ["0" * 16, bounding, "2"]
    assert bounding not in running.exec(*read).text
    with running.spawn(*read, privileged=True) as process:
        assert process.stdout.read().split()[0] == bounding.encode()


def test_exec_user_file_that_leads_out_stays_inside(running: cl.Container, tmp_path: Path) -> None:
    outside = tmp_path / "passwd"
    outside.write_text("outsider:x:99:99::/:/bin/sh\n")
    running.exec("sh", "-c", f"rm /etc/passwd; ln -s {outside} /etc/passwd")
    with pytest.raises(cl.NotFound, match="outsider"):
        running.exec("id", user="outsider")


def test_exec_input_is_fed(running: cl.Container) -> None:
    assert running.exec("sort", input=b"b\na\n").stdout == b"a\nb\n"


def test_exec_nonzero_raises(running: cl.Container) -> None:
    with pytest.raises(cl.ExitError) as caught:
        running.exec("false")
    assert (caught.value.argv, caught.value.exit_code) == (("false",), 1)


def test_exec_missing_command_is_127(running: cl.Container) -> None:
    with pytest.raises(cl.StageError, match="no-such-program") as caught:
        running.exec("no-such-program")
    assert caught.value.exit_code == 127


def test_exec_timeout_kills_the_process_group(running: cl.Container) -> None:
    with pytest.raises(cl.Timeout, match=r"did not end within 0\.5 s"):
        running.exec("sh", "-c", "sleep 4321 & sleep 4321; true", timeout=0.5)
    assert "4321" not in running.exec("ps").text


def test_exec_timeout_kills_the_command_only(running: cl.Container) -> None:
    with pytest.raises(cl.Timeout):
        running.exec("sh", "-c", "echo $$ >/tmp/pid; sleep 60", timeout=0.5)
    pid = running.exec("cat", "/tmp/pid").text.strip()
    assert running.exec("ls", f"/proc/{pid}", check=False).exit_code != 0
    assert running.state is cl.State.RUNNING


def test_exec_terminal_is_one(running: cl.Container) -> None:
    done = running.exec("sh", "-c", "test -t 0 && test -t 1 && test -t 2 && echo terminal", tty=True)
    assert (done.stdout, done.stderr) == (b"terminal\r\n", b"")


def test_exec_stopped_container_conflicts(running: cl.Container) -> None:
    running.kill()
    running.wait(10.0)
    with pytest.raises(cl.Conflict, match="stopped") as caught:
        running.exec("true")
    assert caught.value.state == "stopped"


def test_exec_paused_container_conflicts(running: cl.Container) -> None:
    running.pause()
    with pytest.raises(cl.Conflict, match="paused"):
        running.exec("true")
    running.resume()
    running.exec("true")


def test_exec_from_many_threads_at_once(running: cl.Container) -> None:
    texts = at_once(lambda number: running.exec("echo", str(number)).text, threads=16)
    assert texts == [f"{number}\n" for number in range(16)]


def test_exec_spawn_is_a_conversation(running: cl.Container) -> None:
    with running.spawn("sh", "-c", 'while read line; do echo "got $line"; done') as process:
        process.stdin.write(b"one\n")
        assert process.stdout.readline() == b"got one\n"
        process.stdin.close()
        assert process.wait(10.0).exit_code == 0


def test_exec_spawn_terminal_resizes_and_ends(running: cl.Container) -> None:
    with running.spawn("sh", "-c", "stty -echo; echo ready; read line; stty size", tty=True) as process:
        assert process.stdout.readline() == b"ready\r\n"
        process.resize(rows=12, columns=34)
        process.stdin.write(b"go\n")
        assert process.stdout.read() == b"12 34\r\n"
        assert process.wait(10.0).exit_code == 0


def test_exec_spawn_without_a_terminal_has_nothing_to_resize(running: cl.Container) -> None:
    with running.spawn("cat") as process:
        process.resize(rows=12, columns=34)
        process.stdin.write(b"on")
        process.stdin.close()
        assert process.stdout.read() == b"on"


@pytest.mark.parametrize("verb", [cl.Process.terminate, lambda process: process.resize(rows=1, columns=1)])
def test_exec_spawn_that_has_ended_unseen_gets_no_signal_and_no_size(
    running: cl.Container, verb: Callable[[cl.Process], None]
) -> None:
    with running.spawn("true", tty=True) as process:
        until(lambda: not Path(f"/proc/{process.pid}").exists())
        verb(process)
        assert process.wait(10.0).exit_code == 0


def test_exec_spawn_block_left_early_kills(running: cl.Container) -> None:
    with running.spawn("sleep", "1234") as process:
        pass
    status = process.poll()
    assert status is not None
    assert status.signal == 9
    deadline = time.monotonic() + 5
    while "1234" in running.exec("ps").text and time.monotonic() < deadline:
        time.sleep(0.05)
    assert "1234" not in running.exec("ps").text


def test_exec_spawn_detached_outlives_its_caller_and_is_seen_by_others(
    running: cl.Container, script: Script
) -> None:
    code = f"""
    container = engine.containers.get({running.id!r})
    with container.spawn("sh", "-c", "echo begun >/begun; cat; sleep 4321", detach=True) as process:
        print(process.stdout.read() + process.stderr.read(), process.poll(), flush=True)
    import time; time.sleep(60)
    """
    with script(code) as caller:
        assert caller.stdout is not None
        assert caller.stdout.readline() == "b'' None\n"
        until(lambda: "sleep 4321" in running.exec("ps").text)
        caller.kill()
        caller.wait()
    assert running.path("/begun").read_text() == "begun\n"
    assert "sleep 4321" in running.exec("ps").text
    running.stop(timeout=0.0)
    assert running.state is cl.State.STOPPED


def test_exec_spawn_detached_tells_how_it_ends_and_takes_no_input(running: cl.Container) -> None:
    process = running.spawn(
        "sh", "-c", "trap 'exit 4' TERM; touch /ready; while :; do sleep 0.01; done", detach=True
    )
    until(lambda: running.path("/ready").exists())
    with pytest.raises(BrokenPipeError, match="/dev/null"):
        process.stdin.write(b"x")
    process.terminate()
    assert process.wait(10.0).exit_code == 4
    process.close()


def test_exec_spawn_detached_command_that_is_not_there_raises(running: cl.Container) -> None:
    with pytest.raises(cl.StageError) as caught:
        running.spawn("no-such-program", detach=True)
    assert caught.value.exit_code == 127


def test_exec_spawn_detached_with_a_terminal_is_refused(running: cl.Container) -> None:
    with pytest.raises(cl.InvalidArgument, match="terminal"):
        running.spawn("sh", tty=True, detach=True)


# an interrupt between two steps may leave a descriptor to the garbage collector, which closes it and says so
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_exec_interrupted_at_any_step_leaves_no_program(running: cl.Container, no_garbage: None) -> None:
    seeded = random.Random(3)
    timers: list[threading.Timer] = []
    for _ in range(60):
        with pytest.raises(KeyboardInterrupt):
            interrupted(lambda: running.exec("sleep", "601"), seeded.uniform(0, 0.005), timers)
    until(lambda: len(running.top()) == 1)


class InterruptedAt:
    """An interrupt at the step with that number behind the start of a supervisor: an interpreter looks for one at the
    begin of each function, and at the end of each that is in C. The last step is the wait for the program's end.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.has_begun = self.is_last = False

    def step(self, frame: FrameType, event: str, _: object) -> None:
        """For sys.setprofile."""
        name = frame.f_code.co_name
        if event == "return" and name == "start_helper":
            self.has_begun = True
        elif self.has_begun and event in ("call", "c_return"):
            self.is_last = event == "call" and name == "communicate"
            self.number -= 1
            if self.number < 0 or self.is_last:
                sys.setprofile(None)
                raise KeyboardInterrupt


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_exec_interrupted_at_each_step_after_its_start_leaves_no_program(
    running: cl.Container, no_garbage: None
) -> None:
    for number in itertools.count():
        interrupt = InterruptedAt(number)
        try:
            sys.setprofile(interrupt.step)
            with pytest.raises(KeyboardInterrupt):
                running.exec("sleep", "602")
        finally:
            sys.setprofile(None)
        if interrupt.is_last:
            break
    assert number > 20
    until(lambda: len(running.top()) == 1)
