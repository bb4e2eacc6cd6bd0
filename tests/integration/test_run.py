"""run and spawn: a container for the time of one command."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import pytest

import containerlib as cl
from rig.host import has_sanitizers
from rig.snapshotters import EACH
from rig.threads import at_once, interrupted

pytestmark = [*EACH, pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")]


def test_run_output_and_exit_code_come_back(box: cl.ContainerRecipe) -> None:
    done = box.run("sh", "-c", "echo out; echo err >&2; exit 3", check=False)
    assert (done.exit_code, done.stdout, done.stderr) == (3, b"out\n", b"err\n")
    assert done.text == "out\n"


def test_run_is_a_container_of_its_own(box: cl.ContainerRecipe) -> None:
    assert box.run("sh", "-c", "echo $$").text == "1\n"
    assert box.hostname("mine").run("hostname").text == "mine\n"
    assert box.run("ls", "/sys/class/net").text.split() == ["lo"]


def test_run_container_is_removed(box: cl.ContainerRecipe, left_nothing: Callable[[], None]) -> None:
    box.run("true")
    left_nothing()


def test_run_root_is_never_synced_and_that_of_a_container_that_stays_is(box: cl.ContainerRecipe) -> None:
    show = ("grep", " / overlay ", "/proc/mounts")
    with box.start("sleep", "1000") as container:
        assert "volatile" in box.run(*show).text
        assert "volatile" not in container.exec(*show).text


def test_run_image_command_is_the_default(box: cl.ContainerRecipe) -> None:
    assert box.run(input=b"echo from sh\n").text == "from sh\n"


def test_run_entrypoint_takes_argv_as_arguments(box: cl.ContainerRecipe) -> None:
    assert box.entrypoint("echo", "-n").run("a", "b").text == "a b"


def test_run_nonzero_raises_with_command_and_output(box: cl.ContainerRecipe) -> None:
    with pytest.raises(cl.ExitError, match="oh no") as caught:
        box.run("sh", "-c", "echo oh no >&2; exit 7")
    assert caught.value.exit_code == 7
    assert caught.value.argv == ("sh", "-c", "echo oh no >&2; exit 7")
    assert caught.value.stderr == b"oh no\n"


def test_run_signal_is_128_and_its_number(box: cl.ContainerRecipe) -> None:
    done = box.run("sh", "-c", "sh -c 'kill -9 $$'; echo $?")
    assert done.text.split()[-1] == "137"


def test_run_large_input_comes_back_whole(box: cl.ContainerRecipe) -> None:
    data = os.urandom(3_000_000)
    assert box.run("cat", input=data).stdout == data


def test_run_without_input_reads_nothing(box: cl.ContainerRecipe) -> None:
    assert box.run("cat", timeout=10.0).stdout == b""


def test_run_both_streams_large_kept_apart(box: cl.ContainerRecipe) -> None:
    code = "i=0; while [ $i -lt 2000 ]; do echo out$i; echo err$i >&2; i=$((i+1)); done"
    done = box.run("sh", "-c", code)
    assert done.stdout == b"".join(b"out%d\n" % n for n in range(2000))
    assert done.stderr == b"".join(b"err%d\n" % n for n in range(2000))


def test_run_of_what_does_not_read_ends_no_caller_that_a_broken_pipe_would(
    script: Callable[[str], Popen[str]],
) -> None:
    code = """
    import signal
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # as in a command that is in a shell's pipe itself
    print(box.run("true", input=b"x" * 3_000_000).exit_code)
    container = box.start("true", detach=True)
    container.wait()
    container.stop()
    container.remove()
    print(len(signal.sigpending()), signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set())
    """
    with script(code) as caller:
        assert caller.communicate()[0] == "0\n0 True\n"


def test_run_timeout_kills_and_removes(box: cl.ContainerRecipe, left_nothing: Callable[[], None]) -> None:
    started = time.monotonic()
    with pytest.raises(cl.Timeout, match=r"did not end within 0\.5 s") as caught:
        box.run("sh", "-c", "echo waiting; sleep 60", timeout=0.5)
    assert time.monotonic() - started < 10
    assert caught.value.log_tail == ("waiting",)
    left_nothing()


def test_run_words_reach_the_program(box: cl.ContainerRecipe) -> None:
    recipe = box.env(A="1", B="two words").workdir("/var/made").user("nobody")
    done = recipe.run("sh", "-c", 'echo "$A|$B"; pwd; id -u')
    assert done.text.splitlines() == ["1|two words", "/var/made", "65534"]


def test_run_bind_mount_is_shown_and_read_only_kept(box: cl.ContainerRecipe, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "in").write_text("from the host")
    box.mount(shared, at="/data").run("sh", "-c", "cp /data/in /data/out")
    assert (shared / "out").read_text() == "from the host"
    done = box.mount(shared, at="/data", read_only=True).run("touch", "/data/no", check=False)
    assert done.exit_code == 1
    assert b"Read-only" in done.stderr
    assert not (shared / "no").exists()


def test_run_tmpfs_has_its_size(box: cl.ContainerRecipe) -> None:
    done = box.mount(cl.tmpfs(size="1MiB"), at="/scratch").run(
        "dd", "if=/dev/zero", "of=/scratch/f", "bs=64k", "count=20", check=False
    )
    assert done.exit_code == 1
    assert b"No space" in done.stderr


def test_run_volume_outlives_the_container(box: cl.ContainerRecipe) -> None:
    volume = box.engine.volume("kept")
    box.mount(volume, at="/v").run("sh", "-c", "echo kept >/v/f")
    assert box.mount(volume, at="/v", read_only=True).run("cat", "/v/f").text == "kept\n"
    assert [v.name for v in box.engine.volumes.list()] == ["kept"]


def test_run_read_only_root_cannot_be_written(box: cl.ContainerRecipe) -> None:
    done = box.read_only().run("touch", "/x", check=False)
    assert done.exit_code == 1
    assert b"Read-only" in done.stderr


def test_run_writes_do_not_reach_image_or_next_container(box: cl.ContainerRecipe) -> None:
    box.run("sh", "-c", "echo x >/x; rm /bin/vi")
    assert box.run("ls", "/bin/vi", "/x", check=False).stdout == b"/bin/vi\n"


def test_run_host_image_is_this_machine_and_stays_as_it_is(host: cl.ContainerRecipe) -> None:
    name = f"/written-by-a-test-{os.getpid()}"
    done = host.run("sh", "-c", f"cat /etc/os-release; echo x >{name} && cat {name}")
    assert done.text == Path("/etc/os-release").read_text() + "x\n"
    assert not Path(name).exists()


def test_run_capability_dropped_is_gone(box: cl.ContainerRecipe) -> None:
    assert box.run("chown", "1", "/tmp").exit_code == 0
    assert box.cap_drop("CHOWN").run("chown", "1", "/tmp", check=False).exit_code == 1


def test_run_terminal_is_one(box: cl.ContainerRecipe) -> None:
    assert box.run("sh", "-c", "test -t 1", check=False).exit_code == 1
    assert box.tty().run("sh", "-c", "test -t 0 && test -t 1 && tty").stdout == b"/dev/pts/0\r\n"


def test_run_from_many_threads_at_once(box: cl.ContainerRecipe, left_nothing: Callable[[], None]) -> None:
    texts = at_once(lambda number: box.run("echo", str(number)).text, threads=16)
    assert texts == [f"{number}\n" for number in range(16)]
    left_nothing()


def test_run_interrupt_removes_the_container(
    box: cl.ContainerRecipe, left_nothing: Callable[[], None]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupted(lambda: box.run("sleep", "60"), 0.5, [])
    left_nothing()


def test_spawn_is_a_conversation(box: cl.ContainerRecipe, left_nothing: Callable[[], None]) -> None:
    with box.spawn("sh", "-c", 'while read line; do echo "got $line"; done; exit 5') as process:
        process.stdin.write(b"one\n")
        assert process.stdout.readline() == b"got one\n"
        assert process.poll() is None
        process.stdin.write(b"two\n")
        assert process.stdout.readline() == b"got two\n"
        process.stdin.close()
        assert process.wait(10.0).exit_code == 5
        assert process.stdout.read() == b""
    left_nothing()


def test_spawn_signals_reach_the_program(box: cl.ContainerRecipe) -> None:
    code = "trap 'echo usr1' USR1; trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done"
    with box.spawn("sh", "-c", code) as process:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal("USR1")
        assert process.stdout.readline() == b"usr1\n"
        process.terminate()
        assert process.wait(10.0).exit_code == 9


def test_spawn_block_left_early_kills_and_removes(
    box: cl.ContainerRecipe, left_nothing: Callable[[], None]
) -> None:
    with box.spawn("sleep", "60") as process:
        with pytest.raises(cl.Timeout):
            process.wait(0.1)
    status = process.poll()
    assert status is not None
    assert (status.exit_code, status.signal) == (137, 9)
    left_nothing()


def test_spawn_terminal_has_its_size_and_echo(box: cl.ContainerRecipe) -> None:
    with box.tty().spawn("sh", "-c", "read line; stty size") as process:
        process.resize(rows=12, columns=34)
        process.stdin.write(b"go\n")
        process.wait(10.0)
        assert process.stdout.read() == b"go\r\n12 34\r\n"


# an interrupt between two steps may leave a descriptor to the garbage collector, which closes it and says so
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_run_interrupted_at_any_step_leaves_nothing(
    box: cl.ContainerRecipe, left_nothing: Callable[[], None], no_garbage: None
) -> None:
    seeded = random.Random(2)
    started = time.monotonic()
    timers: list[threading.Timer] = []
    for _ in range(40):
        with pytest.raises(KeyboardInterrupt):
            interrupted(lambda: box.run("sleep", "60"), seeded.uniform(0, 0.01), timers)
    assert time.monotonic() - started < 30
    left_nothing()


def test_container_that_wrote_nothing_has_an_empty_writable_layer(box: cl.ContainerRecipe) -> None:
    with box.start("sleep", "60") as container:
        upper = Path(box.engine.root, "containers", container.id, "upper")
        assert list(upper.iterdir()) == []


def test_privileged_run_has_the_hosts_devices_and_a_terminal_of_its_own(box: cl.ContainerRecipe) -> None:
    done = box.privileged().run(
        "sh", "-c", "ls -l /dev/ptmx; ls -l /dev/null; grep CapEff /proc/self/status; ls /dev | wc -l"
    )
    links, null, effective, count = done.text.splitlines()
    assert links.endswith("/dev/ptmx -> pts/ptmx")
    assert null.startswith("crw-rw-rw-")
    assert int(effective.split()[1], 16) & 1 << 21, "CAP_SYS_ADMIN"
    assert int(count) > 15


@pytest.mark.skipif(has_sanitizers(), reason="the sanitizers' runtime does not end when its exit is refused")
@pytest.mark.parametrize("action", ["ERRNO", "KILL", "KILL_PROCESS", "TRAP"])
def test_run_under_a_filter_that_refuses_everything_fails_at_once(
    box: cl.ContainerRecipe, action: str
) -> None:
    with pytest.raises(cl.StageError, match="seccomp"):
        box.seccomp(f'{{"defaultAction": "SCMP_ACT_{action}"}}').run("true")
