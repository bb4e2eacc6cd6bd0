"""Attaching to a container that runs: from any process, several at once, and again and again."""

from __future__ import annotations

import hashlib
import os
import select
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import Popen
from typing import BinaryIO

import pytest

import containerlib as cl
from containerlib.shim import read_log_bytes
from rig.bundles import until
from rig.lifetime import directory_of, quick, shim_of

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")
Script = Callable[[str], "Popen[str]"]

ECHO = "while read line; do echo got $line; done; echo end"


def logged(container: cl.Container) -> bytes:
    return read_log_bytes(str(directory_of(container)))[0]


@pytest.fixture
def echo(box: cl.ContainerRecipe) -> Iterator[cl.Container]:
    """It answers each line of its standard input."""
    container = box.name("echo").stdin().start("sh", "-c", ECHO, detach=True)
    yield container
    container.remove(force=True)


# ---- output ----


def test_attach_in_another_process_reads_what_is_written_from_then_on(
    echo: cl.Container, script: Script
) -> None:
    with echo.attach() as first:
        first.stdin.write(b"before\n")
        assert first.stdout.readline() == b"got before\n"
    code = """
    with engine.containers.get("echo").attach() as attached:
        attached.stdin.write(b"from there\\n")
        print(attached.stdout.readline())
    """
    with script(code) as other:
        assert other.communicate()[0] == "b'got from there\\n'\n"
    assert echo.state is cl.State.RUNNING


def test_attach_before_the_start_has_the_first_byte_and_the_exit_code(box: cl.ContainerRecipe) -> None:
    with box.create("sh", "-c", "echo out; echo err >&2; exit 7") as container:
        attached = container.attach()
        container.start()
        assert (attached.stdout.read(), attached.stderr.read()) == (b"out\n", b"err\n")
        assert attached.wait(10.0).exit_code == 7
        attached.close()


def test_two_attached_get_every_byte_alike_and_so_does_the_log(box: cl.ContainerRecipe) -> None:
    with box.create("sh", "-c", "head -c 20000000 /dev/urandom; echo done >&2") as container:
        clients = [container.attach() for _ in range(3)]
        digests: list[str] = []

        def read(stream: BinaryIO) -> None:
            digests.append(hashlib.file_digest(stream, "sha256").hexdigest())

        threads = [threading.Thread(target=read, args=(client.stdout,)) for client in clients]
        for thread in threads:
            thread.start()
        container.start()
        for thread in threads:
            thread.join()
        assert [client.stderr.read() for client in clients] == [b"done\n"] * 3
        for client in clients:
            assert client.wait(10.0).exit_code == 0
            client.close()
        assert digests == [hashlib.sha256(logged(container)).hexdigest()] * 3


def test_attached_in_the_middle_misses_and_repeats_nothing_from_then_on(box: cl.ContainerRecipe) -> None:
    """One that does not read holds the program; who comes then gets what is written after that."""
    count = "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); echo $i; done"
    with box.create("sh", "-c", count) as container:
        slow = container.attach(stderr=False)
        container.start()
        held_back(container)
        late = container.attach(stderr=False)
        texts: list[bytes] = []
        reader = threading.Thread(target=lambda: texts.append(late.stdout.read()))
        reader.start()
        everything = slow.stdout.read()
        reader.join()
        assert everything == b"".join(b"%d\n" % n for n in range(1, 60001))
        assert 0 < len(texts[0]) < len(everything)
        assert everything.endswith(texts[0])
        slow.close()
        late.close()


def held_back(container: cl.Container) -> int:
    """Waits until its log grows no more, and returns how large that is."""
    sizes = [-1]

    def is_at_rest() -> bool:
        time.sleep(0.3)
        sizes.append(len(logged(container)))
        return sizes[-1] > 0 and sizes[-1] == sizes[-2]

    until(is_at_rest)
    return sizes[-1]


def test_attached_who_does_not_read_stops_the_program_until_it_does_or_is_gone(
    box: cl.ContainerRecipe,
) -> None:
    with box.create("sh", "-c", "head -c 10000000 /dev/zero; echo end >&2") as container:
        slow, gone = container.attach(), container.attach()
        container.start()
        assert held_back(container) < 10_000_000
        gone.close()
        assert held_back(container) < 10_000_000
        assert slow.stdout.read(5_000_000) == bytes(5_000_000)
        assert container.state is cl.State.RUNNING
        slow.close()
        assert container.wait(10.0).exit_code == 0
        assert len(logged(container)) == 10_000_000


def test_stream_that_is_not_asked_for_is_empty_and_holds_nobody_back(box: cl.ContainerRecipe) -> None:
    with box.create("sh", "-c", "head -c 3000000 /dev/zero; echo end >&2") as container:
        with container.attach(stdin=False, stdout=False) as attached:
            container.start()
            assert (attached.stdout.read(), attached.stderr.read()) == (b"", b"end\n")
            assert attached.wait(10.0).exit_code == 0


def test_stream_that_the_program_has_closed_is_at_its_end(box: cl.ContainerRecipe) -> None:
    with box.start("sh", "-c", "exec >&-; echo closed >&2; exec sleep 600") as container:
        until(lambda: b"closed" in read_log_bytes(str(directory_of(container)))[1])
        with container.attach() as attached:
            assert attached.stdout.read() == b""


def test_stream_that_a_terminal_has_not_is_at_its_end_whatever_runs_next(box: cl.ContainerRecipe) -> None:
    with box.tty().restart("always").start("sleep", "600") as container:
        with container.attach() as attached:
            assert attached.stderr.read() == b""
            assert container.state is cl.State.RUNNING


def test_attached_who_does_not_read_has_the_rest_later_and_holds_up_no_end(box: cl.ContainerRecipe) -> None:
    """More than its pipe has room for, and not more than two: it grows when the program has ended."""
    with box.create("sh", "-c", "yes 0123456789 | head -c 121000") as container:
        with container.attach() as attached:
            container.start()
            assert container.wait(4.0).exit_code == 0
            assert attached.stdout.read() == b"0123456789\n" * 11000


def test_attached_who_never_reads_holds_up_no_end_for_long(box: cl.ContainerRecipe) -> None:
    """What is left in a pipe that is as wide as it comes to be is more than another may hold without privilege."""
    with box.create("sh", "-c", "yes 0123456789 | head -c 100000000") as container:
        with container.attach() as attached:
            container.start()
            read = attached.stdout.read(4_000_000)
            held_back(container)
            container.kill()
            assert container.wait(20.0).signal == 9
            read += attached.stdout.read()
            assert logged(container).startswith(read)


# ---- detaching ----


def test_detached_and_attached_again_a_hundred_times_it_is_served_and_keeps_nothing(
    echo: cl.Container,
) -> None:
    shim = Path(f"/proc/{shim_of(echo)}/fd")
    before = len(list(shim.iterdir()))
    for number in range(100):
        with echo.attach() as attached:
            attached.stdin.write(b"%d\n" % number)
            assert attached.stdout.readline() == b"got %d\n" % number
    until(lambda: len(list(shim.iterdir())) <= before)
    assert echo.state is cl.State.RUNNING


def test_detached_it_is_even_where_a_child_still_has_the_reading_end(box: cl.ContainerRecipe) -> None:
    with box.create("sh", "-c", "head -c 3000000 /dev/zero") as container:
        attached = container.attach()
        with subprocess.Popen(["sleep", "600"], stdin=attached.stdout) as heir:
            try:
                container.start()
                attached.close()
                assert container.wait(10.0).exit_code == 0
            finally:
                heir.kill()


def test_attached_who_closes_a_stream_only_ends_its_own_copy(echo: cl.Container) -> None:
    with echo.attach() as deaf, echo.attach() as mine:
        deaf.stdout.close()
        for line in (b"one", b"two"):
            deaf.stdin.write(line + b"\n")
            assert mine.stdout.readline() == b"got " + line + b"\n"


def test_attached_client_that_is_killed_only_ends_its_own_copy(echo: cl.Container, script: Script) -> None:
    code = """
    attached = engine.containers.get("echo").attach()
    attached.stdin.write(b"one\\n")
    print(attached.stdout.readline(), flush=True)
    import time; time.sleep(60)
    """
    with echo.attach() as mine, script(code) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "b'got one\\n'\n"
        other.kill()
        other.wait()
        mine.stdin.write(b"two\n")
        assert [mine.stdout.readline() for _ in range(2)] == [b"got one\n", b"got two\n"]


def test_more_than_can_be_attached_are_told_so_until_one_goes(echo: cl.Container) -> None:
    clients = [echo.attach() for _ in range(32)]
    with pytest.raises(cl.Conflict, match="as many as can be"):
        echo.attach()
    clients.pop().close()

    def again() -> bool:
        try:
            clients.append(echo.attach())
        except cl.Conflict:
            return False
        return True

    until(again)
    clients[0].stdin.write(b"all\n")
    assert [client.stdout.readline() for client in clients] == [b"got all\n"] * 32
    for client in clients:
        client.close()


def test_attached_that_was_let_go_of_says_so(echo: cl.Container) -> None:
    attached = echo.attach()
    attached.close()
    attached.close()
    assert attached.poll() is None
    assert "sh -c" in repr(attached)
    for verb in (attached.terminate, attached.wait, lambda: attached.resize(rows=1, columns=1)):
        with pytest.raises(cl.Conflict, match="let go of"):
            verb()
    assert echo.state is cl.State.RUNNING


# ---- input ----


def test_stdin_goes_on_from_client_to_client_and_ends_when_one_says_so(echo: cl.Container) -> None:
    with echo.attach() as first:
        first.stdin.write(b"one\n")
        first.stdin.close()
        assert first.stdout.readline() == b"got one\n"
    with echo.attach() as second:
        second.stdin.write(b"two\n")
        second.close_stdin()
        assert second.stdout.read() == b"got two\nend\n"
        assert second.wait(10.0).exit_code == 0


def test_stdin_ended_by_one_waits_for_the_others_and_is_over_for_later_ones(echo: cl.Container) -> None:
    with echo.attach() as first, echo.attach() as second:
        first.close_stdin()
        second.stdin.write(b"still\n")
        assert second.stdout.readline() == b"got still\n"
        with echo.attach() as third:
            with pytest.raises(BrokenPipeError, match="keeps it open"):
                third.stdin.write(b"x")
            with pytest.raises(cl.Conflict, match="standard input"):
                third.close_stdin()
        second.stdin.close()
        assert first.stdout.read() == b"got still\nend\n"


def test_stdin_that_nothing_keeps_open_takes_no_input(box: cl.ContainerRecipe) -> None:
    with box.start("sleep", "600") as container, container.attach() as attached:
        with pytest.raises(BrokenPipeError, match="keeps it open"):
            attached.stdin.write(b"x")


def test_stdin_set_not_to_wait_by_one_still_waits_for_another(echo: cl.Container) -> None:
    with echo.attach() as first, echo.attach() as second:
        os.set_blocking(first.stdin.fileno(), False)
        assert os.get_blocking(second.stdin.fileno())


def test_stdin_of_20_mib_arrives_whole(box: cl.ContainerRecipe) -> None:
    data = os.urandom(20 << 20)
    with box.stdin().start("sha256sum") as container, container.attach() as attached:
        view = memoryview(data)
        while view:
            view = view[attached.stdin.write(view) :]
        attached.close_stdin()
        assert attached.stdout.read().split()[0].decode() == hashlib.sha256(data).hexdigest()


# ---- terminals ----


@pytest.mark.parametrize("kept_open", [False, True])
def test_terminal_is_talked_to_by_several_and_takes_a_size(box: cl.ContainerRecipe, kept_open: bool) -> None:
    with box.tty().stdin(kept_open).start("sh", detach=True) as container:
        try:
            with container.attach() as first, container.attach() as second:
                assert second.stderr.read() == b""
                first.resize(rows=41, columns=123)
                second.stdin.write(b"stty size; echo don''e\n")
                for client in (first, second):
                    assert b"41 123" in read_until(client, b"done")
                with pytest.raises(cl.Conflict, match="a key"):
                    first.close_stdin()
            with container.attach() as again:
                again.stdin.write(b"exit 5\n")
                assert again.wait(10.0).exit_code == 5
        finally:
            container.remove(force=True)


def read_until(process: cl.Process, text: bytes) -> bytes:
    found = b""
    while text not in found and select.select([process.stdout], [], [], 10.0)[0]:
        found += os.read(process.stdout.fileno(), 4096)
    return found


# ---- ends ----


def test_attached_sees_the_end_that_somebody_else_brings_about(echo: cl.Container) -> None:
    with echo.attach() as attached:
        assert attached.poll() is None
        echo.kill()
        assert attached.stdout.read() == b""
        assert attached.wait(10.0).signal == 9
    with pytest.raises(cl.Conflict, match="stopped"):
        echo.attach()


def test_attached_whose_supervisor_is_killed_is_at_its_end(echo: cl.Container) -> None:
    with echo.attach() as attached:
        os.kill(shim_of(echo), 9)
        assert attached.stdout.read() == b""
        assert attached.wait(10.0) == cl.ExitStatus(137, signal=9, supervisor_killed=True)


def test_attached_sends_signals(box: cl.ContainerRecipe) -> None:
    script = "trap 'exit 3' TERM; echo ready; while :; do sleep 0.01; done"
    with box.create("sh", "-c", script) as container, container.attach() as attached:
        container.start()
        assert attached.stdout.readline() == b"ready\n"
        attached.terminate()
        assert attached.wait(10.0).exit_code == 3


@pytest.mark.parametrize("kind", ["pipe", "terminal", "terminal alone"])
def test_attached_stays_so_when_the_container_is_started_again(box: cl.ContainerRecipe, kind: str) -> None:
    recipe = quick(box.restart("always")).stdin(kind != "terminal alone").tty(kind != "pipe")
    container = recipe.start("sh", "-c", "read line; echo got $line; exit 1", detach=True)
    try:
        with container.attach() as first, container.attach() as second:
            for number in range(5):
                first.stdin.write(b"%d\n" % number)
                for client in (first, second):
                    assert b"got" in read_until(client, b"got %d" % number)
                until(
                    lambda number=number: container.restart_count > number
                )  # what is typed before goes with the run
            container.stop(timeout=0.0)
            assert first.wait(10.0) == second.wait(10.0)
            first.stdout.read()
    finally:
        container.remove(force=True)


def test_container_that_is_paused_is_attached_to(echo: cl.Container) -> None:
    echo.pause()
    with echo.attach() as attached:
        attached.stdin.write(b"now\n")
        echo.resume()
        assert attached.stdout.readline() == b"got now\n"
