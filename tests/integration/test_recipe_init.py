"""An init of ours before the program: signals, orphans, and the end."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import containerlib as cl

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")


@pytest.fixture
def init(box: cl.ContainerRecipe) -> cl.ContainerRecipe:
    return box.init()


def test_init_is_first_and_the_program_its_child(init: cl.ContainerRecipe) -> None:
    done = init.run("sh", "-c", "cat /proc/1/comm; echo $$ $PPID; ls /proc/1/fd 2>&1 | wc -l")
    assert done.text.split()[:3] == ["init", "2", "1"]


@pytest.mark.parametrize("code", [0, 7, 255])
def test_init_ends_with_the_programs_code(init: cl.ContainerRecipe, code: int) -> None:
    assert init.run("sh", "-c", f"exit {code}", check=False).exit_code == code


def test_init_ends_as_a_shell_says_of_a_signal(init: cl.ContainerRecipe) -> None:
    assert init.run("sh", "-c", "kill -9 $$", check=False).exit_code == 137


def test_init_hands_signals_on(init: cl.ContainerRecipe) -> None:
    code = "trap 'echo usr1' USR1; trap 'echo term; exit 5' TERM; echo ready; while :; do sleep 0.05; done"
    with init.start("sh", "-c", code) as container:
        container.wait_for(log="ready")
        container.kill("USR1")
        container.wait_for(log="usr1")
        assert container.stop(timeout=30.0).exit_code == 5


def test_init_lets_a_program_without_handlers_be_stopped(init: cl.ContainerRecipe) -> None:
    """As the first process it would never get the signal."""
    with init.start("sleep", "1000") as container:
        assert container.stop(timeout=30.0).exit_code == 143


def test_init_reaps_those_that_lose_their_parent(init: cl.ContainerRecipe) -> None:
    code = "for i in 1 2 3 4 5; do (sh -c 'sleep 0.1 & exit' ); done; sleep 1; ps -o stat | grep -c Z"
    assert init.run("sh", "-c", code, check=False).text == "0\n"


def test_init_ends_what_the_program_leaves(
    init: cl.ContainerRecipe, left_nothing: Callable[[], None]
) -> None:
    init.run("sh", "-c", "sleep 1000 & exit 0")
    left_nothing()


def test_init_program_that_is_missing_says_so(init: cl.ContainerRecipe) -> None:
    with pytest.raises(cl.StageError, match="nonesuch") as caught:
        init.run("nonesuch")
    assert caught.value.exit_code == 127


def test_init_keeps_no_stream_open(init: cl.ContainerRecipe) -> None:
    with init.spawn("sh", "-c", "echo out; exec >&- 2>&-; read line; exit 3") as process:
        assert process.stdout.read() == b"out\n"
        process.stdin.close()
        assert process.wait(30.0).exit_code == 3


def test_init_leaves_the_terminal_to_the_program(init: cl.ContainerRecipe) -> None:
    recipe = init.tty()
    with recipe.spawn(
        "sh", "-c", "trap 'echo int; exit 4' INT; echo ready; while :; do sleep 0.05; done"
    ) as process:
        while b"ready" not in (line := process.stdout.readline()):
            assert line
        process.stdin.write(b"\x03")
        process.stdin.flush()
        assert process.wait(30.0).exit_code == 4


def test_init_program_is_in_the_foreground_of_the_terminal(init: cl.ContainerRecipe) -> None:
    """One in the background is stopped where it reads."""
    with init.tty().spawn("sh", "-c", "read line; echo got $line") as process:
        process.stdin.write(b"word\n")
        while b"got word" not in (line := process.stdout.readline()):
            assert line


def test_init_is_out_of_the_containers_reach(init: cl.ContainerRecipe) -> None:
    """It runs the helper: who could read or write that would have what every container starts with."""
    code = "cat /proc/1/exe > /x; echo > /proc/1/exe; cat /proc/1/mem; cat /proc/1/environ"
    done = init.run("sh", "-c", code, check=False)
    assert done.stdout == b""
    assert done.stderr.count(b"Permission denied") + done.stderr.count(b"can't create") >= 4


def test_init_stays_through_a_stop_and_a_start(init: cl.ContainerRecipe) -> None:
    container = init.start("sh", "-c", "cat /proc/1/comm", detach=True)
    container.wait(30.0)
    container.start()
    container.wait(30.0)
    assert [record.text for record in container.logs()] == ["init", "init"]
    container.remove()


def test_init_among_the_hosts_processes_adopts_its_own(init: cl.ContainerRecipe) -> None:
    code = "sh -c '(sleep 0.3; exec grep PPid /proc/self/status) & exit'; echo $PPID; sleep 2"
    first, _, second = init.pid("host").run("sh", "-c", code).text.split()
    assert first == second
